"""Makes sampling indices: every frame of an archive is read once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.shares.listed import Windows
from nowcast.data.shares.sampling_index import Part, write_table
from nowcast.data.shares.statistics import Tiles, TileStatistics

CELLS_AT_ONCE = 20_000_000  # of a thread: a block of frames in memory
WINDOWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Plan:
    """An index that is to be made.

    Args:
        path: Where to.
        windows: Length of the windows and size of the tiles.
        tiles: Rows and columns of each tile; of those that the end of the grid cuts short the rest has no data.
        starts: (N,) first frames of the windows.
        stride: Frames between two of them.
        step: Seconds between two frames of a window.
    """

    path: Path
    windows: Windows
    tiles: Tiles
    starts: NDArray[np.int64]
    stride: int
    step: int


def blocks(archive: Archive) -> list[slice]:
    """Frames that are read at once: whole chunks, as many as fit."""
    count, (rows, columns) = len(archive.times), archive.grid.shape
    together = archive.frames_at_once
    step = together * max(1, CELLS_AT_ONCE // (rows * columns * together))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def write_indices_of(archive: Archive, plans: Sequence[Plan]) -> Iterator[None]:
    """Write the indices of an archive, whose frames are read once for all of them, by several threads of a store.

    Yields:
        After each of its `blocks`.

    Raises:
        DataFormatError: The archive cannot be read.
    """
    frames = [TileStatistics.empty(len(archive.times), len(plan.tiles)) for plan in plans]

    def count(block: slice) -> None:
        rain_rate = archive.read(block, slice(None), slice(None))
        for plan, result in zip(plans, frames, strict=True):
            result.put(block, TileStatistics.of(rain_rate, plan.tiles))

    pool = ThreadPoolExecutor(archive.readers)
    try:
        yield from pool.map(count, blocks(archive))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest need not be read
    for plan, counted in zip(plans, frames, strict=True):
        write_table(plan.path, archive, plan.windows, plan.stride, plan.step, _parts(plan, counted))


def _parts(plan: Plan, frames: TileStatistics) -> Iterator[Part]:
    corners = [(rows.start, columns.start) for rows, columns in plan.tiles]
    for first in range(0, len(plan.starts), WINDOWS_AT_ONCE):
        some = plan.starts[first : first + WINDOWS_AT_ONCE]
        yield Part(some, corners, frames.windows(some, plan.windows.length, plan.windows.every))
