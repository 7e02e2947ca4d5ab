"""Frames of files → shards of a store, each by one process."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, StorePath

from nowcast.data.archive.frame import DataFormatError, Frame, Reader
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.writer import pack, unpack_values
from nowcast.data.prepare.first_pass import digest_of, read_limited
from nowcast.data.prepare.ledger import Shard
from nowcast.data.prepare.report import Entry

NO_DATA = np.float32(np.nan)
AGAIN = "give the same command again"


@dataclass(frozen=True)
class ShardWork:
    """A shard to be written.

    Attributes:
        number: Which.
        start: Its first frame.
        entries: Its frames.
        kept: How many of them the store holds already, and are taken from there.
        stored: Of those: what the store holds, see Shard.
        digest: Of all, see Shard.
    """

    number: int
    start: int
    entries: Sequence[Entry]
    kept: int
    stored: bytes
    digest: bytes


@dataclass
class ShardWriter:
    """Writes shards of one store; goes to other processes.

    Args:
        store: The folder.
        field: Name of the array.
        document: Its metadata as Zarr stores them.
        reader: The format of the files.
        limits: Physical range of values.
    """

    store: Path
    field: str
    document: bytes
    reader: Reader
    limits: Limits

    def __call__(self, work: ShardWork) -> Shard:
        """Write a shard and read it back.

        Raises:
            DataFormatError: A file is no longer what it was, or what was written is not what is read.
        """
        array = self._array()
        block = np.empty((len(work.entries), *array.shape[1:]), dtype=np.float32)
        place = slice(work.start, work.start + len(work.entries))
        if work.kept:
            block[: work.kept] = array[work.start : work.start + work.kept]
            if stored_digests(block[: work.kept]) != work.stored[: 32 * work.kept]:
                raise DataFormatError(
                    self.shard_path(work.number),
                    "damaged: its frames are not those that were written. Remove the store and its ledger, and "
                    "prepare it anew from all files",
                )
        for k in range(work.kept, len(work.entries)):
            block[k] = self._values(work.entries[k])
        path = self.shard_path(work.number)
        if not work.kept:
            path.unlink(missing_ok=True)  # Zarr would read it first, be it whole or not
        try:
            array[place] = block
            with path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            free = shutil.disk_usage(self.store.parent).free
            raise OSError(
                f"{path}: cannot be written ({error}); {free / 1e6:.1f} MB are free on its disk. Make room and "
                f"{AGAIN}: what was written is kept"
            ) from error
        stored = stored_digests(block)
        for k in range(0, len(block), array.chunks[0]):  # few at a time: they stay in the processor's cache
            part = slice(work.start + k, min(work.start + k + array.chunks[0], place.stop))
            if stored_digests(np.asarray(array[part])) != stored[32 * k : 32 * (part.stop - work.start)]:
                raise DataFormatError(
                    path, f"was written, and reads as something else: is its disk sound? Then {AGAIN}"
                )
        return Shard(work.number, work.digest, stored, path.stat().st_size)

    def shard_path(self, number: int) -> Path:
        """Where a shard lies."""
        return self.store / self.field / "c" / str(number) / "0" / "0"

    def _values(self, entry: Entry) -> NDArray[np.float32]:
        """Values of a frame as 16 bits hold them, where it is packed."""
        frames = _frames(self.reader, self.limits, entry.path)
        if entry.index >= len(frames) or digest_of(frames[entry.index]) != entry.digest:
            raise DataFormatError(entry.path, f"changed while it was prepared; {AGAIN}")
        frame = frames[entry.index]
        try:
            return unpack_values(pack(frame), frame.packing)
        except ValueError as error:
            raise DataFormatError(entry.path, str(error)) from error

    def _array(self) -> "zarr.Array[Any]":
        metadata = ArrayV3Metadata.from_dict(json.loads(self.document))
        path = StorePath(LocalStore(self.store), self.field)
        config: Any = {"write_empty_chunks": True}
        return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=path, config=config))


def _frames(reader: Reader, limits: Limits, path: Path) -> list[Frame]:
    """Frames of a file, of which the next shard often needs further ones: those of the last one are kept."""
    if not path.is_file():
        raise DataFormatError(path, f"is gone, and the store needs a frame of it; put it back and {AGAIN}")
    key = repr((reader, limits, path, path.stat().st_mtime_ns))
    if key not in _last:
        _last.clear()
        _last[key] = read_limited(reader, limits, path)[0]
    return _last[key]


_last: dict[str, list[Frame]] = {}


def stored_digests(block: NDArray[Any]) -> bytes:
    """32 bytes for each frame of a block. NaN counts as one number, so that equal frames have equal bytes."""
    return b"".join(hashlib.sha256(np.where(np.isnan(one), NO_DATA, one).tobytes()).digest() for one in block)
