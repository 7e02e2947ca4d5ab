"""Icechunk repositories: stores whose states are snapshots. One of them is read, whoever commits meanwhile."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from nowcast.config.command_line.arguments import is_address
from nowcast.files import how_to_install

try:
    import icechunk

    icechunk.set_logs_filter("error")  # of a folder it warns that several processes must not write at once: none does
except ModuleNotFoundError:  # an installation from before it was in the extra: other stores need none
    icechunk = None  # type: ignore[assignment]

BRANCH = "main"


def refuse_without_library(place: Path | str) -> None:
    """Refuse a repository that nothing here can read.

    Raises:
        ModuleNotFoundError: With what to install.
    """
    if icechunk is None:
        raise ModuleNotFoundError(
            f"{place} is an Icechunk repository, which needs icechunk; {how_to_install('cloud')}", name="icechunk"
        )


def open_snapshot(place: Path | str, snapshot: str | None, *, anonymous: bool) -> tuple[Store, str]:
    """The store of a snapshot, and which it is.

    Args:
        place: A folder, or an address s3://.
        snapshot: Which; None = the newest of the branch main.
        anonymous: Whether requests are not signed.

    Raises:
        IcechunkError: No such repository or snapshot, or it cannot be read.
    """
    repository = icechunk.Repository.open(_storage(place, anonymous))
    chosen = snapshot or repository.lookup_branch(BRANCH)
    return repository.readonly_session(snapshot_id=chosen).store, chosen


def _storage(place: Path | str, anonymous: bool) -> Any:  # noqa: ANN401 (icechunk may not be there)
    if not is_address(place):
        return icechunk.local_filesystem_storage(str(place))
    parts, endpoint = urlsplit(str(place)), os.environ.get("AWS_ENDPOINT_URL")
    return icechunk.s3_storage(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_url=endpoint,
        allow_http=(endpoint or "").startswith("http://"),
        force_path_style=endpoint is not None,
        anonymous=anonymous or None,
        from_env=None if anonymous else True,
    )


def raw_of(store: Store, key: str) -> bytes | None:
    """A key as it is; None where there is none."""
    found = sync(store.get(key, default_buffer_prototype()))
    return None if found is None else found.to_bytes()
