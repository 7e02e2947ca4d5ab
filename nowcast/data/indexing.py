"""Sampling indices of archives: which windows hold rain, found once and read ever after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.shares.build import Plan, blocks_left, write_indices_of
from nowcast.data.shares.listed import Listed, Windows
from nowcast.data.shares.sampling_index import read_table
from nowcast.data.windows.index import tile_corners, window_starts
from nowcast.data.windows.region import Region, windows_of
from nowcast.files import made_by_one
from nowcast.progress import Track


@dataclass(frozen=True)
class SamplingIndices:
    """What `data.index` names.

    Args:
        path: A folder of ours, with a file for each archive, length of windows and size of tiles; or a file, of mlcast
            or ours, that may list a part of the windows and other tiles.
    """

    path: Path

    @property
    def complete(self) -> bool:
        """Whether all windows are listed, so that evaluations can be made of it, too."""
        return not self.path.is_file()

    def make(
        self, regions: Sequence[Region], steps: Sequence[int], length: int, tiles: Sequence[tuple[int, int] | None],
        stride: int, track: Track,
    ) -> None:  # fmt: skip
        """Write what is not there yet; another process that is about it is waited for, a killed one gone on with.

        Args:
            regions: Of the archives.
            steps: Seconds between two frames of a window, of each.
            length: Frames of a window.
            tiles: (H, W) of tiles in averaged cells; None = the whole grid.
            stride: Archive frames between the starts of two windows.
            track: Progress bar.

        Raises:
            DataFormatError: An archive cannot be read.
            ValueError: There are several archives, and the index is a file, which is of one.
        """
        if not self.complete and len(regions) > 1:
            names = ", ".join(region.archive.name for region in regions)
            raise ValueError(
                f"data.index={self.path} is a file, which is of one archive, and there are {names}: name a folder, "
                "such as data.index=data/index, in which what is missing is made"
            )
        if not self.complete or not any(_plans(self.path, regions, steps, length, tiles, stride)):
            return
        with made_by_one(self.path):
            found = list(_plans(self.path, regions, steps, length, tiles, stride))  # another process may have made some
            for _ in track(_made(found), "counting rain and gaps", sum(blocks_left(*one) for one in found)):
                pass

    def listed(self, archive: Archive, windows: Windows, starts: NDArray[np.int64]) -> Listed:
        """What is said of the windows of an archive that begin at these frames.

        Raises:
            DataFormatError: The file is no such index, or does not list all windows.
        """
        path = windows.path(self.path, archive) if self.complete else self.path
        listed = read_table(path, archive, windows).of(starts, len(archive.times))
        missing = np.setdiff1d(starts, listed.start) if self.complete else starts[:0]
        if len(missing):
            raise DataFormatError(
                path,
                f"lists no window from {archive.times[missing[0]]}, and {len(missing) - 1} more: it was made with "
                "another data.windows.stride; choose another data.index, or delete it, and it is made again",
            )
        return listed

    def shares(self, region: Region, length: int, tile: tuple[int, int] | None) -> tuple[float, float]:
        """Share of rainy among valid cells, and of cells without data, over all that is listed of an archive."""
        size = tile or region.shape
        windows = windows_of(region, length, size)
        listed = read_table(windows.path(self.path, region.archive), region.archive, windows)
        rows, columns = region.cells((0, 0), size)
        cells = len(listed.valid) * length * rows.stop * columns.stop
        valid = int(listed.valid.sum(dtype=np.int64))
        return int(listed.wet.sum(dtype=np.int64)) / max(valid, 1), 1 - valid / max(cells, 1)


def _plans(
    folder: Path, regions: Sequence[Region], steps: Sequence[int], length: int,
    tiles: Sequence[tuple[int, int] | None], stride: int,
) -> Iterator[tuple[Archive, list[Plan]]]:  # fmt: skip
    """The archives of which something is not there, and what that is."""
    for region, step in zip(regions, steps, strict=True):
        shapes = dict.fromkeys(tile or region.shape for tile in tiles)
        plans = [_plan(folder, region, step, length, tile, stride) for tile in shapes]
        if missing := [plan for plan in plans if not plan.path.exists()]:
            yield region.archive, missing


def _plan(folder: Path, region: Region, step: int, length: int, tile: tuple[int, int], stride: int) -> Plan:
    windows = windows_of(region, length, tile)
    rows, columns = (tile_corners(size, side) for size, side in zip(region.shape, tile, strict=True))
    cells = [region.cells((y, x), tile) for y in rows for x in columns]
    starts = window_starts(region.archive.times, length, step, region.every, stride)
    return Plan(windows.path(folder, region.archive), windows, cells, starts, stride, step)


def _made(plans: Sequence[tuple[Archive, list[Plan]]]) -> Iterator[None]:
    for archive, of_archive in plans:
        yield from write_indices_of(archive, of_archive)
