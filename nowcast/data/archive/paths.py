"""Where a data module's archives come from: named files, or something that makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nowcast.config.command_line.arguments import (
    archive_name,
    is_address,
    is_store,
    refuse_secret_address,
    refuse_unfinished,
)

ENDINGS = (".nc", ".zarr", ".icechunk")  # of archives in a folder


class ArchiveSource(Protocol):
    """Something that makes archives when they are first needed, such as synthetic echoes."""

    def paths(self) -> Sequence[Path | str]:
        """The archives, made if they are not there yet: files, or folders and addresses of Zarr stores."""
        ...


Archives = ArchiveSource | Sequence[str | ArchiveSource]


def archive_paths(archives: Archives) -> list[Path | str]:
    """The archives that a setting names: files, folders of Zarr stores, or their addresses as they are.

    Args:
        archives: Files, folders, globs or addresses, sources that make archives, or a list of both.

    Raises:
        FileNotFoundError: A folder or glob holds no archive.
        ValueError: No archive is named, two have the same name, or an address holds credentials.
    """
    if not isinstance(archives, Sequence):
        return list(archives.paths())
    if not archives:
        raise ValueError("data.archives is empty; name archives made by `nowcast prepare`")
    paths: list[Path | str] = []
    for one in archives:
        paths.extend(_named(one) if isinstance(one, str) else one.paths())
    names = [archive_name(path) for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f"data.archives: two archives have the same name: {sorted(names)}")
    return paths


@dataclass(frozen=True)
class Together:
    """Archives of several origins under names, by which a config adds, changes or drops one: `…parts.mine=my.nc`.

    Args:
        parts: Name → files, folder, glob or address, or a source that makes archives; None = left out.
    """

    parts: Mapping[str, str | ArchiveSource | None]

    def paths(self) -> list[Path | str]:
        """The archives of all parts, in their order.

        Raises:
            FileNotFoundError: A folder or glob holds no archive.
            ValueError: No part is named, or two archives have the same name.
        """
        return archive_paths([part for part in self.parts.values() if part is not None])


def _named(text: str) -> Sequence[Path | str]:
    if is_address(text):
        refuse_secret_address(text)
        return [text.rstrip("/")]
    path = Path(text).expanduser()
    refuse_unfinished(path)
    inside = [one for ending in ENDINGS for one in path.glob(f"*{ending}")]
    found = sorted(inside) if path.is_dir() and not is_store(path) else [path]
    if any(mark in text for mark in "*?["):
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor or "."))))
    if not found:
        raise FileNotFoundError(
            f"data.archives: no archive (*.nc, *.zarr, *.icechunk) at {text}; see `nowcast prepare`"
        )
    return found
