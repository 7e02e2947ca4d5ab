"""What is known of a store that is being made: files that were read, shards that were written, frames that it holds.

A SQLite file in the folder `<store>.ledger` beside the store. A killed process leaves it as it was after its last
transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Frame, Grid, Packing
from nowcast.data.prepare.first_pass import EMPTY, FileScan
from nowcast.data.prepare.report import Counts, Entry
from nowcast.units import ZR, Quantity

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS grids (digest TEXT PRIMARY KEY, x BLOB NOT NULL, y BLOB NOT NULL, crs TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL, found TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames (
    number INTEGER PRIMARY KEY, time INTEGER NOT NULL UNIQUE, path TEXT NOT NULL, place INTEGER NOT NULL,
    digest BLOB NOT NULL, counts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shards (
    number INTEGER PRIMARY KEY, digest BLOB NOT NULL, stored BLOB NOT NULL, size INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Shard:
    """A shard that was written.

    Attributes:
        number: Which.
        digest: Of the frames that it was made from.
        stored: 32 bytes a frame: SHA-256 of the values that it holds.
        size: Its bytes.
    """

    number: int
    digest: bytes
    stored: bytes
    size: int


class Ledger:
    """The ledger of a store.

    Args:
        folder: Its folder, which is made.

    Raises:
        DataFormatError: It is damaged.
    """

    def __init__(self, folder: Path) -> None:
        """Open it, or begin it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "ledger.sqlite"
        self._grids: dict[str, Grid] = {}
        with self._said_by_name():
            self._base = sqlite3.connect(self.path, isolation_level=None)
            self._base.executescript(SCHEMA)

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._base.close()

    @contextmanager
    def _said_by_name(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataFormatError(
                self.path,
                f"the ledger of the store cannot be used ({error}); where it is damaged, remove the store and its "
                "ledger, and prepare it anew",
            ) from error

    @contextmanager
    def _at_once(self) -> Iterator[sqlite3.Connection]:
        """All that is done in the block, or nothing."""
        with self._said_by_name():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._said_by_name():
            return self._base.execute(query, values).fetchall()

    def fact(self, name: str) -> Any:  # noqa: ANN401
        """What was noted under a name; None where nothing was."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def note(self, **facts: object) -> None:
        """Note facts by their names."""
        with self._at_once() as base:
            _note(base, facts)

    def knows(self, path: Path) -> bool:
        """Whether a file was read, and is as it was then."""
        return bool(self._found(path))

    def scan(self, path: Path) -> FileScan:
        """What was found in a file that is known."""
        found = json.loads(self._found(path)[0][0])
        frames = [self._frame(one) for one in found["frames"]]
        digests = [bytes.fromhex(one["digest"]) for one in found["frames"]]
        counts = [Counts(*one["counts"]) for one in found["frames"]]
        error = None if found["error"] is None else DataFormatError(Path(found["error"][0]), found["error"][1])
        return FileScan(path, frames, digests, counts, error)

    def _found(self, path: Path) -> list[tuple[Any, ...]]:
        state = path.stat()
        key = (str(path.absolute()), state.st_size, state.st_mtime_ns)
        return self._rows("SELECT found FROM files WHERE path = ? AND size = ? AND changed = ?", *key)

    def _frame(self, plain: Mapping[str, Any]) -> Frame:
        if plain["grid"] not in self._grids:
            x, y, crs = self._rows("SELECT x, y, crs FROM grids WHERE digest = ?", plain["grid"])[0]
            self._grids[plain["grid"]] = Grid(np.frombuffer(x), np.frombuffer(y), crs)
        return Frame(
            time=np.datetime64(plain["time"], "s"),
            quantity=Quantity(plain["quantity"]),
            values=EMPTY,
            grid=self._grids[plain["grid"]],
            packing=None if plain["packing"] is None else Packing(*plain["packing"]),
            period=plain["period"],
            no_echo=plain["no_echo"],
            zr=None if plain["zr"] is None else ZR(*plain["zr"]),
            assumptions=tuple(plain["assumptions"]),
        )

    def add_scans(self, scans: Iterable[FileScan]) -> None:
        """Keep what was found in files."""
        with self._at_once() as base:
            for found in scans:
                state = found.path.stat()
                frames = [
                    _plain(base, frame) | {"digest": digest.hex(), "counts": list(counts)}
                    for frame, digest, counts in zip(found.frames, found.digests, found.counts, strict=True)
                ]
                error = None if found.error is None else [str(found.error.args[0]), found.error.problem]
                text = json.dumps({"frames": frames, "error": error})
                values = (str(found.path.absolute()), state.st_size, state.st_mtime_ns, text)
                base.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def first(self) -> Frame | None:
        """A frame of the store without its values; None before there is one."""
        plain = self.fact("first")
        return None if plain is None else self._frame(plain)

    def frames(self) -> list[Entry]:
        """The frames that the store holds, in time order."""
        rows = self._rows("SELECT time, path, place, digest, counts FROM frames ORDER BY number")
        return [
            Entry(np.datetime64(time, "s"), Path(path), place, digest, Counts(*json.loads(counts)))
            for time, path, place, digest, counts in rows
        ]

    def add_frames(self, first: Frame, entries: Sequence[Entry], after: int, **facts: object) -> None:
        """Say at once that the store holds further frames, and what changes with them.

        Args:
            first: Any frame of the store.
            entries: Those to add, in time order.
            after: Frames that it holds already.
            facts: What to note.
        """
        with self._at_once() as base:
            rows = [
                (number, seconds_of(one), str(one.path.absolute()), one.index, one.digest, json.dumps(list(one.counts)))
                for number, one in enumerate(entries, after)
            ]
            base.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)", rows)
            _note(base, {"first": _plain(base, first), **facts})

    def shards(self) -> dict[int, Shard]:
        """Shards that were written, by number."""
        return {row[0]: Shard(*row) for row in self._rows("SELECT number, digest, stored, size FROM shards")}

    def add_shard(self, shard: Shard) -> None:
        """Note a shard that was written."""
        with self._at_once() as base:
            values = (shard.number, shard.digest, shard.stored, shard.size)
            base.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)", values)

    def inputs_of_shards(self, frames_per_shard: int) -> dict[int, list[str]]:
        """Which files went into which shard."""
        found: dict[int, list[str]] = {}
        rows = self._rows("SELECT DISTINCT number / ?, path FROM frames ORDER BY number", frames_per_shard)
        for number, path in rows:
            found.setdefault(number, []).append(path)
        return found


def seconds_of(entry: Entry) -> int:
    """The time of a frame since 1970."""
    return int(entry.time.astype("datetime64[s]").astype(np.int64))


def _note(base: sqlite3.Connection, facts: Mapping[str, object]) -> None:
    rows = [(name, json.dumps(value)) for name, value in facts.items()]
    base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)


def _plain(base: sqlite3.Connection, frame: Frame) -> dict[str, Any]:
    """A frame without its values in plain ones; its grid is kept once."""
    grid = frame.grid
    digest = sha256(grid.x.tobytes() + grid.y.tobytes() + grid.crs.encode()).hexdigest()
    values = (digest, grid.x.astype(np.float64).tobytes(), grid.y.astype(np.float64).tobytes(), grid.crs)
    base.execute("INSERT OR IGNORE INTO grids VALUES (?, ?, ?, ?)", values)
    return {
        "time": str(frame.time.astype("datetime64[s]")),
        "quantity": frame.quantity.value,
        "grid": digest,
        "packing": None if frame.packing is None else [frame.packing.scale, frame.packing.offset],
        "period": frame.period,
        "no_echo": frame.no_echo,
        "zr": None if frame.zr is None else [frame.zr.a, frame.zr.b],
        "assumptions": list(frame.assumptions),
    }
