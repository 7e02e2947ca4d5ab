"""Where a Zarr store lies: a folder, or an address that is read with the credentials of the environment alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import obstore
import zarr
from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore, HTTPStore, S3Store
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, ObjectStore, WrapperStore

from nowcast.config.command_line.arguments import REPOSITORY_MARK, is_address
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.zarr.snapshots import open_snapshot, raw_of, refuse_without_library

RETRIES = {  # a server that is busy answers 503: five further attempts, over a quarter of a minute
    "max_retries": 5,
    "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=5), "base": 2},
    "retry_timeout": timedelta(seconds=60),
}
PLAIN_MARKS = ("zarr.json", ".zmetadata", ".zgroup")  # one of which every store holds that is no repository
LONGEST = 300  # characters of what a library says
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
}
StoredArray = zarr.Array[Any]  # of Zarr 2 or 3
Raw = Callable[[str, int | None], bytes | None]  # key → its bytes, or so many at its end; None where there are none


class Opened(NamedTuple):
    """A store that is open for reading.

    Attributes:
        store: The store.
        raw: Reads a key of it as it is.
        snapshot: Which state of an Icechunk repository it is; None = it is none.
    """

    store: Store
    raw: Raw
    snapshot: str | None = None


class WholeBlosc(WrapperStore[Store]):
    """A store whose chunks are Blosc's: shorter ones than their header says are refused.

    The decoder does not look, and makes numbers of whatever lies in memory behind a chunk that was cut short.
    """

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """A chunk.

        Raises:
            ValueError: It is not whole.
        """
        chunk = await super().get(key, prototype, byte_range)
        if chunk is None or byte_range is not None:
            return chunk
        told = int.from_bytes(chunk.as_numpy_array()[12:16].tobytes(), "little")  # of a header of 16 bytes
        if len(chunk) < max(told, 16):
            raise ValueError(f"{key} was cut short, it has {len(chunk)} bytes of {max(told, 16)}")
        return chunk


def open_store(place: Path | str, snapshot: str | None = None) -> Opened:
    """Open a store for reading; nothing is read yet.

    Args:
        place: A folder, or an address s3://, gs://, https:// or http://.
        snapshot: Which state of an Icechunk repository; None = the newest.

    Raises:
        DataFormatError: The address cannot be meant, or a repository cannot be read.
        ModuleNotFoundError: It is an Icechunk repository, and icechunk is not installed.
    """
    if not is_address(place):
        folder = Path(place)
        if (folder / REPOSITORY_MARK).is_file():
            return _repository(place, snapshot)
        return Opened(LocalStore(folder, read_only=True), lambda key, last: _bytes_of(folder / key, last))
    with one_line(place, "cannot be opened"):
        objects = _objects(str(place))
    if str(place).startswith("s3://") and _holds_repository(place, objects):
        return _repository(place, snapshot)
    return Opened(ObjectStore(objects, read_only=True), lambda key, last: _object(place, objects, key, last))


def _holds_repository(place: Path | str, objects: Any) -> bool:  # noqa: ANN401 (a store of obstore)
    plain = any(_object(place, objects, key, None) is not None for key in PLAIN_MARKS)
    return not plain and _object(place, objects, REPOSITORY_MARK, None) is not None


def _repository(place: Path | str, snapshot: str | None) -> Opened:
    refuse_without_library(place)
    anonymous = not any(os.environ.get(name) for name in CREDENTIALS["s3"])
    what = (
        "is no Icechunk repository that can be opened" if snapshot is None else f"its snapshot {snapshot} is not there"
    )
    with one_line(place, what):
        store, found = open_snapshot(place, snapshot, anonymous=anonymous)
    return Opened(store, lambda key, last: raw_of(store, key), found)


def _objects(address: str) -> Any:  # noqa: ANN401 (a store of obstore)
    scheme = address.split("://")[0]
    # Requests to plain http are for servers of one's own; without it none is made.
    more: dict[str, Any] = {"retry_config": RETRIES, "client_options": {"allow_http": True, "timeout": "60s"}}
    if scheme in ("http", "https"):
        return HTTPStore.from_url(address, **more)
    if scheme == "s3":
        _refuse_half_a_key(address)
    anonymous = not any(os.environ.get(name) for name in CREDENTIALS[scheme])
    if scheme == "gs":
        return GCSStore.from_url(address, skip_signature=anonymous, **more)
    return S3Store.from_url(address, skip_signature=anonymous, **more)


def _refuse_half_a_key(address: str) -> None:
    pair = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    there = [name for name in pair if os.environ.get(name)]
    if len(there) == 1:
        (absent,) = set(pair) - set(there)
        raise DataFormatError(
            address, f"{there[0]} is set and {absent} is not: export both, or unset both for a store that is public"
        )


def _bytes_of(path: Path, last: int | None) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if last is not None:
            file.seek(-min(last, path.stat().st_size), os.SEEK_END)
        return file.read()


def _object(place: Path | str, objects: Any, key: str, last: int | None) -> bytes | None:  # noqa: ANN401
    with one_line(place, f"{key} cannot be read"):
        try:
            return _end(objects, key, last) if last else bytes(obstore.get(objects, key).bytes())
        except FileNotFoundError:
            return None


def _end(objects: Any, key: str, last: int) -> bytes:  # noqa: ANN401
    """So many bytes at the end of an object: not every server counts from there, or gives the whole as a part."""
    try:
        return bytes(obstore.get(objects, key, options={"range": {"suffix": last}}).bytes())
    except NotSupportedError:
        return bytes(obstore.get(objects, key).bytes())[-last:]


@contextmanager
def one_line(place: Path | str, what: str) -> Iterator[None]:
    """Say in one line what Zarr or a server raises; nothing else may be done in the block.

    Raises:
        DataFormatError: Any error.
    """
    try:
        yield
    except DataFormatError:
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise DataFormatError(place, f"{what}: access is denied; {_access(place)}") from error
    except Exception as error:  # Zarr, its codecs and servers raise nearly everything over damaged content
        raise DataFormatError(place, f"{what}: {_first_line(error)}{_advice(place)}") from error


def _access(place: Path | str) -> str:
    scheme = str(place).split("://")[0]
    if scheme not in CREDENTIALS:
        return "it is not public, or not there. Addresses of https are read without credentials"
    names = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}[scheme]
    return f"export {names}, or check the address (some servers say so of what is not there)"


def _first_line(error: Exception) -> str:
    text = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    text = text.removeprefix("x ")  # so begins what Icechunk says
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _advice(place: Path | str) -> str:
    return "; try again later, or take a copy of it" if is_address(place) else "; copy it again from its source"
