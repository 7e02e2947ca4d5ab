"""Makes sampling indices: every frame of an archive is read once."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.blocks import blocks, by_block
from nowcast.data.shares.journal import Journal
from nowcast.data.shares.listed import Windows
from nowcast.data.shares.sampling_index import Part, write_table
from nowcast.data.shares.statistics import Tiles, TileStatistics

log = logging.getLogger(__name__)

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


class Counting:
    """The indices of an archive in the making, which goes on where it was when it was killed.

    Args:
        archive: The archive.
        plans: Its indices that are not there yet.

    Attributes:
        todo: Blocks that are still to be counted for one of them or more.
    """

    def __init__(self, archive: Archive, plans: Sequence[Plan]) -> None:
        """Take up what was counted before."""
        self.archive, self.plans = archive, plans
        self.journals = [Journal(plan.path, archive, plan.windows, plan.tiles) for plan in plans]
        self.todo = [one for one in blocks(archive) if not all(journal.has(one) for journal in self.journals)]

    def write(self) -> Iterator[None]:
        """Write the indices; frames are read once for all of them, by several threads of a store.

        Yields:
            After each block of `todo`.

        Raises:
            DataFormatError: The archive cannot be read.
            OSError: The disk is full.
        """
        every = len(blocks(self.archive))
        if len(self.todo) < every:
            log.info("%s: %d of %d blocks were counted before", self.archive.name, every - len(self.todo), every)
        yield from by_block(self.archive, self._count, self.todo)
        for plan, journal in zip(self.plans, self.journals, strict=True):
            parts = _parts(plan, journal.frames)
            write_table(plan.path, self.archive, plan.windows, plan.stride, plan.step, parts)
            journal.path.unlink(missing_ok=True)

    def _count(self, block: slice) -> None:
        rain_rate = self.archive.read(block, slice(None), slice(None))
        for plan, journal in zip(self.plans, self.journals, strict=True):
            if not journal.has(block):
                journal.put(block, TileStatistics.of(rain_rate, plan.tiles))

    def close(self) -> None:
        """Close the journals."""
        for journal in self.journals:
            journal.close()


def blocks_left(archive: Archive, plans: Sequence[Plan]) -> int:
    """How many blocks of an archive are still to be counted for its indices."""
    with closing(Counting(archive, plans)) as counting:
        return len(counting.todo)


def write_indices_of(archive: Archive, plans: Sequence[Plan]) -> Iterator[None]:
    """`Counting.write`, from the beginning or from where it was killed."""
    with closing(Counting(archive, plans)) as counting:
        yield from counting.write()


def _parts(plan: Plan, frames: TileStatistics) -> Iterator[Part]:
    corners = [(rows.start, columns.start) for rows, columns in plan.tiles]
    for first in range(0, len(plan.starts), WINDOWS_AT_ONCE):
        some = plan.starts[first : first + WINDOWS_AT_ONCE]
        yield Part(some, corners, frames.windows(some, plan.windows.length, plan.windows.every))
