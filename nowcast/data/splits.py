"""Which windows of the archives belong to which split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive import Archive
from nowcast.data.dataset import Region
from nowcast.data.windows import (
    SPLITS,
    BlockSplit,
    Split,
    split_by_name,
    whole_archives,
    window_starts,
    windows_of_split,
    windows_within,
)

How = Literal["blocks", "archives", "paper", "by_day", "all"]


@dataclass(frozen=True)
class Splitting:
    """How archives become training, validation and test (docs/decisions/0007).

    Args:
        how: `data.split`.
        blocks: Shares and lengths of time blocks.
        val_archives: Names or globs of validation archives, for "archives".
        test_archives: The same of test archives.

    Raises:
        ValueError: An unknown way, or gaps where there can be none.
    """

    how: How
    blocks: BlockSplit
    val_archives: Sequence[str]
    test_archives: Sequence[str]

    def __post_init__(self) -> None:
        """Check the way."""
        if self.how not in ("blocks", "archives", "paper", "by_day", "all"):
            raise ValueError(f"data.split must be blocks, archives, paper, by_day or all, got {self.how!r}")
        if self.how in ("paper", "by_day") and self.blocks.gap_minutes > 0:
            raise ValueError(f"data.split={self.how} has no gaps: set data.gap_minutes=0")

    def assign(self, archives: Sequence[Archive]) -> list[NDArray[np.int8]]:
        """Per archive, the split of each frame: 0 train, 1 val, 2 test, -1 none."""
        drawn = whole_archives([archive.name for archive in archives], self.blocks) if self.how == "by_day" else {}
        return [self._of_frames(archive, drawn) for archive in archives]

    def _of_frames(self, archive: Archive, drawn: dict[str, int]) -> NDArray[np.int8]:
        if self.how == "all":
            return np.full(len(archive.times), SPLITS.index("test"), dtype=np.int8)
        if self.how == "by_day":
            return np.full(len(archive.times), drawn[archive.name], dtype=np.int8)
        if self.how == "paper":
            return self.blocks.of_archive(archive.name).assign(archive.times)
        named = split_by_name(archive.name, self.val_archives, self.test_archives)
        if self.how == "archives" and named is not None:
            return np.full(len(archive.times), SPLITS.index(named), dtype=np.int8)
        return self.blocks.assign(archive.times)

    def starts(
        self, split: Split, region: Region, step: int, of_frames: NDArray[np.int8], length: int, stride: int
    ) -> NDArray[np.int64]:
        """First archive frames of the windows of a split in one archive.

        Args:
            split: Which.
            region: Of the archive.
            step: Seconds between frames of a window.
            of_frames: Its part of `assign`.
            length: Frames in a window.
            stride: Archive frames between the starts of two windows.
        """
        times = region.archive.times
        every = window_starts(times, length, step, region.every, stride)
        starts = windows_of_split(every, length, region.every, of_frames, SPLITS.index(split))
        if self.how in ("paper", "by_day"):
            starts = windows_within(starts, length, region.every, self.blocks.block_of_frame(times))
        return starts
