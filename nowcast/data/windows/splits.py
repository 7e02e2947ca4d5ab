"""Which windows of the archives belong to which split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.windows.index import (
    SPLITS,
    BlockSplit,
    Split,
    split_by_name,
    whole_archives,
    window_starts,
    windows_of_split,
    windows_within,
)
from nowcast.data.windows.region import Region
from nowcast.data.windows.settings import SplitMethod, SplitSettings


@dataclass(frozen=True)
class Splitting:
    """How archives become training, validation and test (docs/decisions/0007).

    Args:
        settings: `data.split`. Archives of the same time share their blocks (`shared_blocks`) or, with the method
            "by_day", their split; "paper" draws each alone.
        seed: Of the draw.
    """

    settings: SplitSettings
    seed: int

    @property
    def how(self) -> SplitMethod:
        """The method."""
        return self.settings.method

    @property
    def blocks(self) -> BlockSplit:
        """The draw of time blocks."""
        return self.settings.blocks(self.seed)

    def assign(self, archives: Sequence[Archive]) -> list[NDArray[np.int8]]:
        """Per archive, the split of each frame: 0 train, 1 val, 2 test, -1 none."""
        whole = self._whole(archives)
        drawn = [number for number, split in enumerate(whole) if split is None]
        by_blocks = dict(zip(drawn, self._by_blocks([archives[number] for number in drawn]), strict=True))
        return [
            by_blocks[number] if split is None else np.full(len(archives[number].times), split, dtype=np.int8)
            for number, split in enumerate(whole)
        ]

    def _whole(self, archives: Sequence[Archive]) -> list[int | None]:
        """The split of each archive that belongs to one as a whole, None of those that are cut into blocks."""
        names = [archive.name for archive in archives]
        if self.how == "all":
            return [SPLITS.index("test")] * len(names)
        if self.how == "by_day":
            groups = (
                of_one_time([archive.times for archive in archives], 0)
                if self.settings.shared_blocks
                else [[n] for n in range(len(names))]
            )
            first = {number: min(names[one] for one in group) for group in groups for number in group}
            of_day = whole_archives(sorted(set(first.values())), self.blocks)
            return [of_day[first[number]] for number in range(len(names))]
        if self.how != "archives":
            return [None] * len(names)
        named = [split_by_name(name, self.settings.named) for name in names]
        return [None if split is None else SPLITS.index(split) for split in named]

    def _by_blocks(self, archives: Sequence[Archive]) -> list[NDArray[np.int8]]:
        if self.how == "paper":
            return [self.blocks.of_archive(archive.name).assign(archive.times) for archive in archives]
        if not self.settings.shared_blocks:
            return [self.blocks.assign(archive.times) for archive in archives]
        found: dict[int, NDArray[np.int8]] = {}
        for group in of_one_time([archive.times for archive in archives], self.blocks.gap_minutes):
            times = np.unique(np.concatenate([archives[number].times for number in group]))
            split = self.blocks.assign(times)
            found |= {number: split[np.searchsorted(times, archives[number].times)] for number in group}
        return [found[number] for number in range(len(archives))]

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


def of_one_time(times: Sequence[NDArray[np.datetime64]], gap_minutes: float) -> list[list[int]]:
    """Numbers of the archives in groups: in one that overlap in time, or come closer than a gap, also through others.

    Args:
        times: Frames of each archive, rising.
        gap_minutes: How far apart frames of different splits are to be.
    """
    reach = np.timedelta64(max(round(gap_minutes * 60), 1), "s")
    groups: list[list[int]] = []
    end = np.datetime64("0000-01-01", "s")
    for number in sorted(range(len(times)), key=lambda number: times[number][0]):
        if times[number][0] - end < reach and groups:
            groups[-1].append(number)
        else:
            groups.append([number])
        end = max(end, times[number][-1])
    return groups
