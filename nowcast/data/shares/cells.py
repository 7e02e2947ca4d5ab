"""How often each cell and each frame of an archive hold data and rain: every frame is read once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import RAIN_THRESHOLD, Archive
from nowcast.data.archive.blocks import blocks, by_block
from nowcast.progress import Track


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Counts of N frames of (H, W) cells.

    Args:
        name: Of the archive.
        times: (N,) UTC, rising.
        valid: (H, W) int64 frames in which a cell has a value.
        wet: (H, W) int64 frames in which it has at least RAIN_THRESHOLD mm h-1.
        frame_valid: (N,) int64 cells with a value.
        frame_wet: (N,) int64 cells with at least RAIN_THRESHOLD mm h-1.
    """

    name: str
    times: NDArray[np.datetime64]
    valid: NDArray[np.int64]
    wet: NDArray[np.int64]
    frame_valid: NDArray[np.int64]
    frame_wet: NDArray[np.int64]

    @property
    def coverage(self) -> NDArray[np.float64]:
        """(H, W) share of the frames in which a cell has a value."""
        return np.asarray(self.valid / len(self.times))

    @property
    def wet_share(self) -> NDArray[np.float64]:
        """(H, W) share of the frames with a value in which a cell is wet; NaN where it never has one."""
        nothing = np.full(self.valid.shape, np.nan)
        return np.asarray(np.divide(self.wet, self.valid, where=self.valid > 0, out=nothing))


@dataclass(frozen=True)
class Suspects:
    """Which cells of an archive are not to be trusted, by how often they hold data and rain.

    Args:
        wet_above: Share of the frames with a value above which a wet cell is suspected of clutter.
        seen_in: Share of the frames: cells with a value in fewer have no coverage, and are suspected of nothing.

    Raises:
        ValueError: A share that is none.
    """

    wet_above: float
    seen_in: float

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("wet_above", "seen_in"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"suspects.{name} must be from 0 to 1, got {getattr(self, name)}")

    def clutter(self, counts: CellCounts) -> NDArray[np.bool_]:
        """(H, W) cells that are wet too often."""
        return np.asarray((np.nan_to_num(counts.wet_share) > self.wet_above) & ~self.uncovered(counts))

    def uncovered(self, counts: CellCounts) -> NDArray[np.bool_]:
        """(H, W) cells that hold a value too seldom, or never."""
        return np.asarray((counts.coverage < self.seen_in) | (counts.valid == 0))


def count_cells(archive: Archive, track: Track) -> CellCounts:
    """Count an archive, by several threads of a store.

    Args:
        archive: The archive.
        track: Progress bar.

    Raises:
        DataFormatError: It cannot be read.
    """
    count, shape = len(archive.times), archive.grid.shape
    found = CellCounts(
        archive.name, archive.times, *(np.zeros(size, np.int64) for size in (shape, shape, count, count))
    )

    def of_block(block: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rain_rate = archive.read(block, slice(None), slice(None))
        known = np.isfinite(rain_rate)
        wet = known & (rain_rate >= RAIN_THRESHOLD)
        found.frame_valid[block], found.frame_wet[block] = known.sum(axis=(1, 2)), wet.sum(axis=(1, 2))
        return known.sum(axis=0), wet.sum(axis=0)

    for valid, wet in track(by_block(archive, of_block), f"counting {archive.name}", len(blocks(archive))):
        found.valid[:] += valid
        found.wet[:] += wet
    return found
