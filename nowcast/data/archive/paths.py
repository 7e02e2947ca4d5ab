"""Where a data module's archives come from: named files, or something that makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class ArchiveSource(Protocol):
    """Something that makes archives when they are first needed, such as synthetic echoes."""

    def paths(self) -> list[Path]:
        """The archives, made if they are not there yet."""
        ...


Archives = ArchiveSource | Sequence[str | ArchiveSource]


def archive_paths(archives: Archives) -> list[Path]:
    """The archive files that a setting names.

    Args:
        archives: Files, folders or globs, sources that make archives, or a list of both.

    Raises:
        FileNotFoundError: A folder or glob holds no archive.
        ValueError: No archive is named, or two have the same name.
    """
    if not isinstance(archives, Sequence):
        return archives.paths()
    if not archives:
        raise ValueError("data.archives is empty; name archives made by `nowcast prepare`")
    paths: list[Path] = []
    for one in archives:
        paths.extend(_named(one) if isinstance(one, str) else one.paths())
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f"data.archives: two archives have the same name: {sorted(names)}")
    return paths


@dataclass(frozen=True)
class Together:
    """Archives of several origins under names, by which a config adds, changes or drops one: `…parts.mine=my.nc`.

    Args:
        parts: Name → files, folder or glob, or a source that makes archives; None = left out.
    """

    parts: Mapping[str, str | ArchiveSource | None]

    def paths(self) -> list[Path]:
        """The archives of all parts, in their order.

        Raises:
            FileNotFoundError: A folder or glob holds no archive.
            ValueError: No part is named, or two archives have the same name.
        """
        return archive_paths([part for part in self.parts.values() if part is not None])


def _named(text: str) -> list[Path]:
    path = Path(text).expanduser()
    found = sorted(path.glob("*.nc")) if path.is_dir() else [path]
    if any(mark in text for mark in "*?["):
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor or "."))))
    if not found:
        raise FileNotFoundError(f"data.archives: no archive (*.nc) at {text}; see `nowcast prepare`")
    return found
