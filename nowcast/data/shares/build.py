"""Makes sampling indices: every frame of an archive is read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.blocks import by_block
from nowcast.data.shares.listed import Windows
from nowcast.data.shares.sampling_index import Part, write_table
from nowcast.data.shares.statistics import Tiles, TileStatistics

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

    yield from by_block(archive, count)
    for plan, counted in zip(plans, frames, strict=True):
        write_table(plan.path, archive, plan.windows, plan.stride, plan.step, _parts(plan, counted))


def _parts(plan: Plan, frames: TileStatistics) -> Iterator[Part]:
    corners = [(rows.start, columns.start) for rows, columns in plan.tiles]
    for first in range(0, len(plan.starts), WINDOWS_AT_ONCE):
        some = plan.starts[first : first + WINDOWS_AT_ONCE]
        yield Part(some, corners, frames.windows(some, plan.windows.length, plan.windows.every))
