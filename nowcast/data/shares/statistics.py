"""Rain and gaps of tiles, of every frame and summed over the frames of windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import RAIN_THRESHOLD

Tiles = Sequence[tuple[slice, slice]]  # rows and columns of the archive


@dataclass(frozen=True)
class TileStatistics:
    """Of N frames or windows and K tiles.

    Args:
        valid: (N, K) int32 cells with a value.
        wet: (N, K) int32 cells with at least RAIN_THRESHOLD mm h-1.
        total: (N, K) float64 sum of the rain rates, mm h-1.
        most: (N, K) float32 largest rain rate, mm h-1; NaN where no cell has a value.
    """

    valid: NDArray[np.int32]
    wet: NDArray[np.int32]
    total: NDArray[np.float64]
    most: NDArray[np.float32]

    @classmethod
    def of(cls, rain_rate: NDArray[np.float32], tiles: Tiles) -> "TileStatistics":
        """Of frames (N, H, W) in mm h-1, NaN = no data."""
        one = cls.empty(len(rain_rate), len(tiles))
        known = np.isfinite(rain_rate)
        for number, tile in enumerate(tiles):
            values, valid = rain_rate[:, *tile], known[:, *tile]
            one.valid[:, number] = valid.sum(axis=(1, 2))
            one.wet[:, number] = ((values >= RAIN_THRESHOLD) & valid).sum(axis=(1, 2))
            one.total[:, number] = values.sum(axis=(1, 2), where=valid, dtype=np.float64)
            one.most[:, number] = values.max(axis=(1, 2), where=valid, initial=-np.inf)
        one.most[one.valid == 0] = np.nan
        return one

    @classmethod
    def empty(cls, count: int, tiles: int) -> "TileStatistics":
        """Of frames that are yet to be counted."""
        shape = count, tiles
        return cls(
            np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape), np.full(shape, np.nan, np.float32)
        )

    def put(self, at: slice, part: "TileStatistics") -> None:
        """Take over those of some frames."""
        for name in ("valid", "wet", "total", "most"):
            getattr(self, name)[at] = getattr(part, name)

    def windows(self, starts: NDArray[np.int64], length: int, every: int) -> "TileStatistics":
        """Those of windows that begin at these frames and hold `length`, `every` frames apart."""
        frames = [starts + number * every for number in range(length)]
        most = np.full((len(starts), self.most.shape[1]), np.nan, np.float32)
        for at in frames:
            most = np.fmax(most, self.most[at])
        sums = [np.sum([part[at] for at in frames], axis=0) for part in (self.valid, self.wet, self.total)]
        return TileStatistics(sums[0].astype(np.int32), sums[1].astype(np.int32), sums[2], most)
