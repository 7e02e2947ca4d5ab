"""The part of an archive that windows are cut from."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.grid import CELL_TOLERANCE, cell_km
from nowcast.data.shares.listed import Windows
from nowcast.data.shares.tile_shares import archive_shares
from nowcast.data.windows.index import as_typed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Region:
    """The part of an archive that its windows are cut from, in cells of the archive after averaging.

    Args:
        archive: The archive.
        factor: (rows, columns) of archive cells averaged into one.
        every: Archive frames per time step.
    """

    archive: Archive
    factor: tuple[int, int]
    every: int

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) after averaging; an incomplete last row or column of blocks is dropped."""
        rows, columns = self.archive.grid.shape
        return rows // self.factor[0], columns // self.factor[1]

    @property
    def cell_km(self) -> float:
        """Height of an averaged cell."""
        return self.cell_sides_km[0]

    @property
    def cell_sides_km(self) -> tuple[float, float]:
        """Height and width of an averaged cell."""
        height, width = cell_km(self.archive.grid)
        return height * self.factor[0], width * self.factor[1]

    @property
    def dropped(self) -> tuple[int, int]:
        """(rows, columns) of the archive, at its lower and right edge, that make no whole block of `factor`."""
        rows, columns = self.archive.grid.shape
        return rows % self.factor[0], columns % self.factor[1]

    @property
    def grid(self) -> Grid:
        """Centres of the averaged cells."""
        native = self.archive.grid
        centres = [
            values[: size * factor].reshape(size, factor).mean(axis=1)
            for values, size, factor in zip((native.y, native.x), self.shape, self.factor, strict=True)
        ]
        return Grid(x=centres[1], y=centres[0], crs=native.crs)

    def cells(self, corner: tuple[int, int], tile: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the archive that a tile holds; fewer than the tile's where the grid ends.

        Args:
            corner: First row and column of the tile, in averaged cells.
            tile: (H, W) of the tile, in averaged cells.
        """
        rows, columns = (
            slice(first * factor, min(first + side, size) * factor)
            for first, side, size, factor in zip(corner, tile, self.shape, self.factor, strict=True)
        )
        return rows, columns

    def zoomed(self, most: float, draw: np.random.Generator) -> "Region":
        """This region with up to `most` times more or fewer cells a side averaged into one, where they are square."""
        side = self.factor[0]
        sides = range(math.ceil(side / most), int(side * most) + 1)
        return self if self.factor[1] != side else replace(self, factor=(int(draw.choice(sides)),) * 2)

    def facts(self, step: int, shares: tuple[float, float] | None = None) -> dict[str, Any]:
        """Plain facts to print: span, step, gaps, grid, unit, shares of rain and of no data.

        Args:
            step: Seconds between the frames of a window.
            shares: Of rain and of no data, where they are known; None = those of the tile summaries.
        """
        archive, (rain, no_data) = self.archive, shares or archive_shares(self.archive)
        return {
            "name": archive.name,
            "first": str(archive.times[0]),
            "last": str(archive.times[-1]),
            "frames": len(archive.times),
            "timestep_minutes": step / 60,
            "gaps": int((np.diff(archive.times).astype(int) != archive.timestep).sum()),
            "grid": list(self.shape),
            "dropped": list(self.dropped),
            "cell_km": self.cell_km,
            "stored": f"{archive.to_rain_rate.quantity} ({archive.to_rain_rate.quantity.units})",
            "rain_fraction": rain,
            "no_data_fraction": no_data,
        }


def check_cells(regions: Sequence[Region]) -> None:
    """Refuse archives whose cells differ in size, one network cannot learn one speed in two units; log what is dropped.

    Raises:
        ValueError: Naming each archive and its size.
    """
    sizes = [region.cell_km for region in regions]
    if max(sizes) > min(sizes) * (1 + 2 * CELL_TOLERANCE):
        found = ", ".join(f"{r.archive.name} {size:.3g} km" for r, size in zip(regions, sizes, strict=True))
        raise ValueError(f"cell sizes differ: {found}. Set data.windows.cell_km to average them to a common size")
    if cut := [region.dropped for region in regions if any(region.dropped)]:
        rows, columns = (max(sizes) for sizes in zip(*cut, strict=True))
        text = "averaging cells leaves out up to %d rows and %d columns at the lower and right edge of %d of %d grids"
        log.info(text, rows, columns, len(cut), len(regions))


def grids_below(key: str, crop: tuple[int, int] | None, regions: Sequence[Region]) -> int:
    """How many grids are smaller than the tiles that `data.<key>` asks for.

    Raises:
        ValueError: All are.
    """
    if crop is None or not regions:
        return 0
    below = sum(region.shape[0] < crop[0] or region.shape[1] < crop[1] for region in regions)
    if below == len(regions):
        largest = max(regions, key=lambda region: (min(region.shape), max(region.shape)))
        fits = [min(pair) for pair in zip(crop, largest.shape, strict=True)]
        if crop[0] == crop[1]:
            fits = [min(fits)] * 2
        raise ValueError(
            f"data.{key}={as_typed(crop)} is larger than every grid: the largest, {largest.archive.name}, has "
            f"{largest.shape[0]} x {largest.shape[1]} cells of {largest.cell_km:.3g} km. "
            f"Give data.{key}={as_typed(fits)} or less"
        )
    return below


def windows_of(region: Region, length: int, tile: tuple[int, int]) -> Windows:
    """What an index of windows of a region must list, whose tiles have so many (rows, columns)."""
    return Windows(length, region.every, tile[0] * region.factor[0], tile[1] * region.factor[1])
