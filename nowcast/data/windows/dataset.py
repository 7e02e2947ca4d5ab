"""Windows of radar archives as tensors of rain rate."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from nowcast.data.archive.grid import area_average
from nowcast.data.shares.climate import climate, months_of
from nowcast.data.shares.listed import SamplingIndex
from nowcast.data.shares.tile_shares import crop_shares, window_counts
from nowcast.data.windows.index import owned_from, tile_corners
from nowcast.data.windows.region import Region, windows_of
from nowcast.data.windows.sample import Distances, Sample, turn
from nowcast.data.windows.settings import Augmentation, SamplingSettings

Listing = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]  # samples, shares of rain and of data


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
        index: Says how much rain and how many gaps windows hold; None = tile summaries of the archives do.

    The number of a sample encodes the draw and the position (sampling.EpochSampler), so that workers need no shared
    state to know the epoch, and a window that is drawn twice in one is moved and turned anew.
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
        index: SamplingIndex | None = None,
    ) -> None:
        """List the samples; no frame is read."""
        self.regions = regions
        self.input_steps, self.forecast_steps = input_steps, forecast_steps
        self.crop, self.jitter, self.augment, self.seed = crop, jitter, augment, seed
        self.rain_factor_sigma, self.zoom = rain_factor_sigma, zoom
        self.min_rain_fraction, self.min_valid_fraction = min_rain_fraction, min_valid_fraction
        self.there: list[NDArray[np.float64]] = []
        found = [self._list(index, number, *each) for number, each in enumerate(zip(regions, starts, strict=True))]
        nothing = np.empty((0, 6), dtype=np.int64), np.empty(0), np.empty(0)
        self.samples, self.rain_fraction, self.valid_fraction = map(np.concatenate, zip(nothing, *found, strict=True))

    @property
    def length(self) -> int:
        """Frames in a window."""
        return self.input_steps + self.forecast_steps

    @property
    def windows(self) -> NDArray[np.int64]:
        """(N,) number of the window of each sample, rising from 0: samples of one are of the same frames."""
        changed = (np.diff(self.samples[:, :2], axis=0) != 0).any(axis=1)
        return np.concatenate([[0], np.cumsum(changed)])[: len(self.samples)]

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

    @property
    def months(self) -> NDArray[np.int8]:
        """(N,) month of the first frame of each sample, 1 to 12."""
        months = np.empty(len(self.samples), dtype=np.int8)
        for number, region in enumerate(self.regions):
            mine = self.samples[:, 0] == number
            months[mine] = months_of(region.archive.times)[self.samples[mine, 1]]
        return months

    def chances(self, sampling: SamplingSettings) -> NDArray[np.float64] | None:
        """(N,) relative chance of each sample in training; None where all are alike."""
        names = [region.archive.name for region in self.regions]
        return sampling.chances(self.samples[:, 0], names, self.rain_fraction, self.months)

    def cells(self, region: Region) -> int:
        """Averaged cells of a frame of a sample, without those beyond the grid."""
        height, width = self.shape_of(region)
        return min(height, region.shape[0]) * min(width, region.shape[1])

    def _kept(
        self, region: Region, starts: NDArray[np.int64], rain: NDArray[np.float64], valid: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Which windows hold enough rain and data, by their shares of both; all of them count as what there is."""
        self.there.append(climate(months_of(region.archive.times)[starts], rain, valid, self.cells(region)))
        keep = (rain >= self.min_rain_fraction) & (valid >= self.min_valid_fraction)
        return keep & (valid > 0) if self.min_valid_fraction > 0 else keep

    def _list(self, index: SamplingIndex | None, number: int, region: Region, starts: NDArray[np.int64]) -> Listing:
        """Rows (archive, start, y, x, owned y, owned x) of one archive, with their shares of rain and of data."""
        if index is None:
            return self._of_summaries(number, region, starts)
        return self._of_index(index, number, region, starts)

    def _of_summaries(self, number: int, region: Region, starts: NDArray[np.int64]) -> Listing:
        height, width = self.shape_of(region)
        ys, xs = tile_corners(region.shape[0], height), tile_corners(region.shape[1], width)
        samples, rain, valid = [], [], []
        counts = window_counts(region.archive, starts, self.length, region.every)
        for i, y in enumerate(ys):
            for j, x in enumerate(xs):
                owned = owned_from(ys, i, height), owned_from(xs, j, width)
                native = region.cells((y, x), (height, width))
                wet, observed = crop_shares(counts, self.length, region.archive.grid.shape, *native)
                constant = np.broadcast_to([y, x, *owned], (len(starts), 4))
                samples.append(np.column_stack([np.full(len(starts), number), starts, constant]))
                rain.append(wet)
                valid.append(observed)
        order = np.argsort(np.tile(np.arange(len(starts)), len(ys) * len(xs)), kind="stable")
        every = np.concatenate(samples).astype(np.int64)[order]
        shares, known = np.concatenate(rain)[order], np.concatenate(valid)[order]
        keep = self._kept(region, every[:, 1], shares, known)
        return every[keep], shares[keep], known[keep]

    def _of_index(self, index: SamplingIndex, number: int, region: Region, starts: NDArray[np.int64]) -> Listing:
        tile = self.shape_of(region)
        listed = index.listed(region.archive, windows_of(region, self.length, tile), starts)
        rows, columns = region.cells((0, 0), tile)  # fewer than the tile's where the grid is smaller
        cells = self.length * rows.stop * columns.stop
        rain = np.divide(listed.wet, listed.valid, where=listed.valid > 0, out=np.zeros(len(listed.wet)))
        valid = listed.valid / cells
        keep = self._kept(region, listed.start, rain, valid)
        corners = [
            part[keep].astype(np.int64) // factor
            for part, factor in zip((listed.y, listed.x), region.factor, strict=True)
        ]
        owned = [_owned(first, size, side) for first, size, side in zip(corners, region.shape, tile, strict=True)]
        if not index.complete:  # its tiles may lie anywhere, and the one before may not be listed
            owned = [np.zeros_like(part) for part in owned]
        rows_of = np.column_stack([np.full(len(corners[0]), number), listed.start[keep], *corners, *owned])
        return rows_of, rain[keep], valid[keep]

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


def _owned(first: NDArray[np.int64], size: int, tile: int) -> NDArray[np.int64]:
    """(N,) cells of tiles that belong to the tile before, along an axis; none of tiles that lie elsewhere."""
    owned = np.zeros(max(size, 1), dtype=np.int64)
    corners = tile_corners(size, tile)
    for number, corner in enumerate(corners):
        owned[corner] = owned_from(corners, number, tile)
    return owned[first]


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
