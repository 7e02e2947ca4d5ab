"""What was counted of an archive so far, kept on disk block by block, so that a counting that was killed goes on.

A file of records that are only appended: which frames, a checksum, and their statistics. A record that was cut short
or damaged ends what is believed; it and all behind it is cut off and counted again.
"""

import hashlib
import json
import struct
import threading
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.shares.listed import Windows
from nowcast.data.shares.statistics import Tiles, TileStatistics

ENDING = ".counted"  # behind the name of the index
RECORD = struct.Struct("<qqL")  # first frame, end, checksum of the statistics
FORMAT = 1
TYPES = {"valid": np.int32, "wet": np.int32, "total": np.float64, "most": np.float32}


class Journal:
    """The statistics of the frames of an archive, on disk and in memory; several threads may add to it.

    Args:
        index: The index that is made of it; the journal lies beside it.
        archive: What is counted.
        windows: What the index lists.
        tiles: The tiles.

    Attributes:
        path: Its file.
        frames: Statistics of all frames, 0 and NaN of those that are not counted yet.
        known: (N,) which are counted.
    """

    def __init__(self, index: Path, archive: Archive, windows: Windows, tiles: Tiles) -> None:
        """Take up what was counted before."""
        self.path, self._lock = journal_of(index), threading.Lock()
        self.frames = TileStatistics.empty(len(archive.times), len(tiles))
        self.known: NDArray[np.bool_] = np.zeros(len(archive.times), dtype=bool)
        self._tiles = len(tiles)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self.path.open("a+b", buffering=0)
        self._take_up(_header(archive, windows, tiles))

    def _take_up(self, header: bytes) -> None:
        self._file.seek(0)
        if self._file.read(len(header)) != header:  # nothing yet, or the counting of something else
            self._file.truncate(0)
            self._write(header)
            return
        sound = len(header)
        while (record := self._read_record()) is not None:
            sound = self._file.tell()
            at, part = record
            self.frames.put(at, part)
            self.known[at] = True
        self._file.truncate(sound)

    def _read_record(self) -> tuple[slice, TileStatistics] | None:
        """The next one; None = there is none that is whole."""
        start = self._file.read(RECORD.size)
        if len(start) < RECORD.size:
            return None
        first, stop, checksum = RECORD.unpack(start)
        if not 0 <= first < stop <= len(self.known):
            return None
        sizes = [(stop - first) * self._tiles * np.dtype(kind).itemsize for kind in TYPES.values()]
        content = self._file.read(sum(sizes))
        if len(content) < sum(sizes) or zlib.crc32(content) != checksum:
            return None
        places = np.cumsum([0, *sizes])
        parts = (
            np.frombuffer(content[place : place + size], dtype=kind).reshape(-1, self._tiles)
            for kind, place, size in zip(TYPES.values(), places.tolist(), sizes, strict=False)
        )
        return slice(first, stop), TileStatistics(*parts)

    def has(self, block: slice) -> bool:
        """Whether all frames of a block are counted."""
        return bool(self.known[block].all())

    def put(self, block: slice, part: TileStatistics) -> None:
        """Add a block.

        Raises:
            OSError: The disk is full.
        """
        arrays = (np.ascontiguousarray(getattr(part, name), dtype=kind) for name, kind in TYPES.items())
        content = b"".join(array.tobytes() for array in arrays)
        with self._lock:
            self.frames.put(block, part)
            self.known[block] = True
            self._write(RECORD.pack(block.start, block.stop, zlib.crc32(content)) + content)

    def _write(self, content: bytes) -> None:
        try:
            if self._file.write(content) != len(content):
                raise OSError("no space left on the device")
        except OSError as error:
            raise OSError(
                f"{self.path}: cannot be written ({error}); make room and give the same command again, which goes on "
                "with it, or choose another data.index"
            ) from error

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()


def journal_of(index: Path) -> Path:
    """Where what was counted for an index lies, until it is written."""
    return index.with_name(f"{index.name}{ENDING}")


def _header(archive: Archive, windows: Windows, tiles: Tiles) -> bytes:
    """What a journal is of, in one line."""
    cells = json.dumps([[part.start, part.stop] for tile in tiles for part in tile]).encode()
    facts = {"format": FORMAT, "seen": archive.seen, **asdict(windows), "tiles": hashlib.sha256(cells).hexdigest()}
    return json.dumps(facts, sort_keys=True).encode() + b"\n"
