"""Windows of radar archives as tensors of rain rate."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.grid import CELL_TOLERANCE, area_average, cell_km
from nowcast.data.windows.index import as_typed, owned_from, tile_corners
from nowcast.data.windows.sample import Distances, Sample, turn
from nowcast.data.windows.settings import Augmentation
from nowcast.data.windows.tile_shares import archive_shares, crop_shares, window_counts

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

    def facts(self, step: int) -> dict[str, Any]:
        """Plain facts to print: span, step, gaps, grid, unit, shares of rain and of no data.

        Args:
            step: Seconds between the frames of a window.
        """
        archive, (rain, no_data) = self.archive, archive_shares(self.archive)
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


class Cut(NamedTuple):
    """Where a sample is cut from.

    Attributes:
        archive: Index of its region.
        region: The region.
        start: First archive frame.
        corner: First row and column, in averaged cells.
        owned: Rows and columns that belong to an earlier tile of the same window.
        draw: What the augmentation is drawn from.
    """

    archive: int
    region: Region
    start: int
    corner: tuple[int, int]
    owned: tuple[int, int]
    draw: np.random.Generator


class RadarDataset(Dataset[Sample]):
    """Windows × tiles of one split.

    Args:
        regions: One per archive.
        starts: Per region, first archive frames of its windows.
        input_steps: Frames the model sees.
        forecast_steps: Frames it predicts.
        crop: (H, W) of the tiles in averaged cells; None = the whole grid.
        jitter: Move each tile at random by up to half its size (training).
        augment: Random flips, or flips and quarter turns (square crops only).
        min_rain_fraction: Leave out tiles of windows with a smaller share of rainy cells.
        min_valid_fraction: Leave out tiles of windows with a smaller share of valid cells.
        seed: Seed of jitter and augmentation.
        rain_factor_sigma: Multiply the rain of each window by exp(N(0, this)).
        zoom: Cells up to so many times larger or smaller, as far as those of the archive allow.

    An index encodes the draw and the position (sampling.EpochSampler), so that workers need no shared state to know the
    epoch, and a window that is drawn twice in one is moved and turned anew.
    """

    def __init__(
        self,
        regions: list[Region],
        starts: list[NDArray[np.int64]],
        *,
        input_steps: int,
        forecast_steps: int,
        crop: tuple[int, int] | None,
        jitter: bool,
        augment: Augmentation,
        min_rain_fraction: float,
        min_valid_fraction: float,
        seed: int,
        rain_factor_sigma: float = 0.0,
        zoom: float = 1.0,
    ) -> None:
        """List the samples; nothing but tile summaries is read."""
        self.regions = regions
        self.input_steps, self.forecast_steps = input_steps, forecast_steps
        self.crop, self.jitter, self.augment, self.seed = crop, jitter, augment, seed
        self.rain_factor_sigma, self.zoom = rain_factor_sigma, zoom
        rows, fractions = [], []
        for index, (region, begin) in enumerate(zip(regions, starts, strict=True)):
            samples, rain, valid = self._list(index, region, begin)
            keep = (rain >= min_rain_fraction) & (valid >= min_valid_fraction)
            if min_valid_fraction > 0:
                keep &= valid > 0
            rows.append(samples[keep])
            fractions.append(rain[keep])
        self.samples = np.concatenate(rows) if rows else np.empty((0, 6), dtype=np.int64)
        self.rain_fraction = np.concatenate(fractions) if fractions else np.empty(0)

    @property
    def length(self) -> int:
        """Frames in a window."""
        return self.input_steps + self.forecast_steps

    @property
    def origins(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) archive and (N,) seconds since 1970 of the last input frame, of each sample."""
        archives = self.samples[:, 0]
        init_times = np.empty(len(archives), dtype=np.int64)
        for number, region in enumerate(self.regions):
            mine = archives == number
            last = self.samples[mine, 1] + (self.input_steps - 1) * region.every
            init_times[mine] = region.archive.times[last].astype("datetime64[s]").astype(np.int64)
        return archives, init_times

    def _list(
        self, index: int, region: Region, starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Rows (archive, start, y, x, owned y, owned x) of one archive, with their rain and valid shares."""
        height, width = self.crop or region.shape
        ys, xs = tile_corners(region.shape[0], height), tile_corners(region.shape[1], width)
        samples, rain, valid = [], [], []
        counts = window_counts(region.archive, starts, self.length, region.every)
        for i, y in enumerate(ys):
            for j, x in enumerate(xs):
                owned = owned_from(ys, i, height), owned_from(xs, j, width)
                native = region.cells((y, x), (height, width))
                wet, observed = crop_shares(counts, self.length, region.archive.grid.shape, *native)
                constant = np.broadcast_to([y, x, *owned], (len(starts), 4))
                samples.append(np.column_stack([np.full(len(starts), index), starts, constant]))
                rain.append(wet)
                valid.append(observed)
        order = np.argsort(np.tile(np.arange(len(starts)), len(ys) * len(xs)), kind="stable")
        return (
            np.concatenate(samples).astype(np.int64)[order],
            np.concatenate(rain)[order],
            np.concatenate(valid)[order],
        )

    def __len__(self) -> int:
        """Number of samples in an epoch without weights."""
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """Read one window.

        Raises:
            DataFormatError: The archive can no longer be read.
        """
        cut = self.cut(index)
        native = cut.region.archive.read(*self.slices(cut))
        frames = fill_up(area_average(native, cut.region.factor), self.shape_of(cut.region), np.nan)
        mask = np.isfinite(frames[self.input_steps :])
        mask[:, : cut.owned[0]] = False
        mask[:, :, : cut.owned[1]] = False
        frames, mask = turn(cut.draw, self.augment, frames, mask)
        if self.rain_factor_sigma:
            frames = frames * np.float32(np.exp(cut.draw.normal(0, self.rain_factor_sigma)))
        rain_rate = torch.from_numpy(np.ascontiguousarray(frames)).unsqueeze(1)  # (T, 1, H, W)
        return Sample(
            inputs=rain_rate[: self.input_steps],
            targets=rain_rate[self.input_steps :],
            mask=torch.from_numpy(np.ascontiguousarray(mask)).unsqueeze(1),
            init_time=self.init_time(cut),
            archive=torch.tensor(cut.archive),
            **self.distances(cut),
        )

    def cut(self, index: int) -> Cut:
        """Where a sample is cut from; nothing is read."""
        which, start, y, x, *owned = self.samples[index % len(self)].tolist()
        region, draw = self.regions[which], np.random.default_rng((self.seed, index))
        if self.zoom > 1:
            before, region = region.factor, region.zoomed(self.zoom, draw)
            y, x = (first * old // new for first, old, new in zip((y, x), before, region.factor, strict=True))
        if self.jitter:
            corners = zip((y, x), self.shape_of(region), region.shape, strict=True)
            y, x = (_shift(draw, corner, tile, size) for corner, tile, size in corners)
            owned = [0, 0]
        return Cut(which, region, start, (y, x), (owned[0], owned[1]), draw)

    def shape_of(self, region: Region) -> tuple[int, int]:
        """(H, W) of the samples of a region."""
        return self.crop or region.shape

    def slices(self, cut: Cut) -> tuple[slice, slice, slice]:
        """Frames, rows and columns of the archive; fewer than the sample's where the grid ends."""
        region = cut.region
        rows, columns = region.cells(cut.corner, self.shape_of(region))
        return slice(cut.start, cut.start + (self.length - 1) * region.every + 1, region.every), rows, columns

    def init_time(self, cut: Cut) -> Tensor:
        """() int64, seconds since 1970 of the last input frame."""
        last = cut.region.archive.times[cut.start + (self.input_steps - 1) * cut.region.every]
        return torch.tensor(int(last.astype("datetime64[s]").astype(np.int64)))

    def distances(self, cut: Cut) -> Distances:
        """How far apart frames and cells are; zoomed rain is rain of another size, in cells like all others."""
        minutes = np.diff(cut.region.archive.times[[cut.start, cut.start + cut.region.every]]) / np.timedelta64(60, "s")
        sides = self.regions[cut.archive].cell_sides_km
        return Distances(step_minutes=torch.tensor(float(minutes[0])), cell_km=torch.tensor(sides))


def rainiest(dataset: RadarDataset, count: int) -> list[int]:
    """Positions of the windows with the largest share of rainy cells, at most one of each archive, most rain first."""
    chosen: dict[int, int] = {}
    for index in np.argsort(-dataset.rain_fraction, kind="stable").tolist():
        chosen.setdefault(int(dataset.samples[index, 0]), index)
    return list(chosen.values())[:count]


def fill_up(frames: NDArray[Any], shape: tuple[int, int], fill: float) -> NDArray[Any]:
    """(T, *shape): frames that the grid cuts short, filled with "no data" below and to the right."""
    missing = (shape[0] - frames.shape[1], shape[1] - frames.shape[2])
    if missing == (0, 0):
        return frames
    return np.pad(frames, ((0, 0), (0, missing[0]), (0, missing[1])), constant_values=fill)


def _shift(draw: np.random.Generator, corner: int, tile: int, size: int) -> int:
    if size <= tile:
        return 0
    return min(max(corner + int(draw.integers(-(tile // 2), tile // 2 + 1)), 0), size - tile)
