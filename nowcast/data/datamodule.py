"""The Lightning data module over one or many radar archives."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import lightning
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.grid import averaging_factor
from nowcast.data.archive.paths import Archives, archive_paths
from nowcast.data.facts import caveat_of, facts_of
from nowcast.data.interface import Series
from nowcast.data.opened import open_archives
from nowcast.data.windows.dataset import RadarDataset, rainiest
from nowcast.data.windows.fitting import way_out
from nowcast.data.windows.index import SPLITS, NoWindowError, Split, as_typed, sides
from nowcast.data.windows.region import Region, check_cells, grids_below
from nowcast.data.windows.sample import Sample
from nowcast.data.windows.sampling import SameGridBatches, batches_done, make_loader, rank_of_process
from nowcast.data.windows.settings import SamplingSettings, SplitSettings, WindowSettings
from nowcast.data.windows.splits import Splitting
from nowcast.data.windows.stored import StoredSample, StoredWindows, to_rain_rates
from nowcast.data.windows.timesteps import choose_steps, common_lead_times, with_irregular_steps
from nowcast.data.windows.visits import training_loader
from nowcast.progress import track

if TYPE_CHECKING:
    from nowcast.data.indexing import SamplingIndices  # pyarrow is an extra

log = logging.getLogger(__name__)


class RadarDataModule(lightning.LightningDataModule):
    """Training, validation and test windows from radar archives.

    Args:
        archives: Files, folders, globs or addresses of archives, sources that make archives, or a list of both.
        split: Which windows are training, validation and test.
        windows: Time step, cells and starts of all windows.
        sampling: Which windows training draws, and how they are moved and turned.
        input_steps: Frames the model sees.
        forecast_steps: Frames it predicts.
        crop: Side(s) of the training tiles in cells; None = whole grids.
        eval_crop: The same for validation and test.
        batch_size: Windows per batch.
        workers: Loader processes; 0 = load in the main process. Results do not depend on it.
        seed: Seed of split, order, crops and augmentation.
        cache: none, or memmap: read from unpacked copies beside the archives, which are built once.
        index: Folder of sampling indices, which are made where they are not there and read in place of the frames; or a
            file of mlcast's, that training draws from.
        remote_cache_gb: GB on this disk for chunks of stores at addresses, of all runs together; 0 = none are kept.
        mask: Files or globs of cells that are no data, in all that is read, one for each grid; None = all cells count.

    Raises:
        ValueError: Settings contradict each other or the archives.
    """

    lead_unit: Literal["minutes"] = "minutes"
    quantity: Literal["rain_rate"] = "rain_rate"

    def __init__(
        self,
        archives: Archives,
        split: SplitSettings,
        windows: WindowSettings,
        sampling: SamplingSettings,
        input_steps: int,
        forecast_steps: int,
        crop: int | Sequence[int] | None,
        eval_crop: int | Sequence[int] | None,
        batch_size: int,
        workers: int,
        seed: int,
        cache: Literal["none", "memmap"] = "none",  # checkpoints from before this setting and the next do not name them
        index: str | None = None,
        remote_cache_gb: float = 0.0,  # nor these
        mask: str | Sequence[str] | None = None,
    ) -> None:
        """Keep the settings; archives are opened by `setup`."""
        super().__init__()
        self.archive_source = archives
        self.windows, self.sampling, self.splitting = windows, sampling, Splitting(split, seed)
        self.input_steps, self.forecast_steps = input_steps, forecast_steps
        self.crop, self.eval_crop = sides("crop", crop), sides("eval_crop", eval_crop)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.index = None if index is None else Path(index).expanduser()
        self.cache, self.remote_cache_gb, self.mask = cache, remote_cache_gb, mask
        self.regions: list[Region] = []
        self._tables: Tensor | None = None
        self._told: set[str] = set()
        self._datasets: dict[Split, RadarDataset] = {}
        self._check()

    def _check(self) -> None:
        for name in ("input_steps", "forecast_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name} must be at least 1, got {getattr(self, name)}")
        if self.sampling.augment == "flips_rotations" and (self.crop is None or self.crop[0] != self.crop[1]):
            raise ValueError(f"data.sampling.augment=flips_rotations needs a square data.crop, got {self.crop}")
        for name in ("zoom", "crops_per_window"):
            if (value := getattr(self.sampling, name)) > 1 and self.crop is None:
                raise ValueError(f"data.sampling.{name}={value:g} needs tiles: set data.crop=<cells>")
        if self.cache not in ("none", "memmap"):
            raise ValueError(f"data.cache must be none or memmap, got {self.cache!r}")
        if self.remote_cache_gb < 0:
            raise ValueError(f"data.remote_cache_gb must be at least 0, got {self.remote_cache_gb}")

    # -- archives ------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Make archives that a source generates, and unpacked copies, once per machine; `setup` opens them."""
        archive_paths(self.archive_source)
        if self.cache == "memmap":
            self._open_archives()
        if self.index is not None:
            self.setup()
            self._index("train")

    def setup(self, stage: str | None = None) -> None:
        """Open the archives and settle time step, cell size and windows; the stage does not matter."""
        if self.regions:
            return
        archives = self._open_archives()
        steps, every = choose_steps(archives, self.windows.timestep_minutes, self.windows.allow_mixed_timesteps)
        regions = [
            Region(archive, averaging_factor(archive, self.windows.cell_km), frames)
            for archive, frames in zip(archives, every, strict=True)
        ]
        check_cells(regions)
        self.steps = steps
        self.split_of_frame = self.splitting.assign(archives)
        self.regions = regions

    def _open_archives(self) -> list[Archive]:
        return open_archives(self.archive_source, self.cache, self.remote_cache_gb, self.mask)

    def starts(self, split: Split) -> list[NDArray[np.int64]]:
        """Per archive, first frames of the windows of a split."""
        length = self.input_steps + self.forecast_steps
        return [
            self.splitting.starts(split, region, step, frames, length, self.windows.stride)
            for region, step, frames in zip(self.regions, self.steps, self.split_of_frame, strict=True)
        ]

    def dataset(self, split: Split) -> RadarDataset:
        """Samples of a split; only training filters by rain, moves tiles and turns them.

        Raises:
            NoWindowError: The split has no window.
            ValueError: Its tiles are larger than every grid.
        """
        if split in self._datasets:
            return self._datasets[split]
        self.setup()
        training = split == "train"
        self._check_tiles("crop" if training or self.eval_crop == self.crop else "eval_crop")
        dataset = RadarDataset(
            self.regions,
            self.starts(split),
            input_steps=self.input_steps,
            forecast_steps=self.forecast_steps,
            crop=self.crop if training else self.eval_crop,
            jitter=training and self.sampling.random_crops and self.crop is not None,
            augment=self.sampling.augment if training else "none",
            rain_factor_sigma=self.sampling.rain_factor_sigma if training else 0.0,
            zoom=self.sampling.zoom if training else 1.0,
            min_rain_fraction=self.sampling.min_rain_fraction if training else 0.0,
            min_valid_fraction=self.sampling.min_valid_fraction if training else 1e-9,
            seed=self.seed,
            index=self._index(split),
        )
        if len(dataset) == 0:
            names = [with_irregular_steps(region.archive) for region in self.regions]
            frames = [len(region.archive.times) for region in self.regions]
            windows = [len(starts) for starts in self.starts(split)]
            found = zip(names, frames, windows, strict=True)
            raise NoWindowError(split, self.splitting.how, dataset.length, found, way_out(self, split, sum(windows)))
        self._datasets[split] = dataset  # to list millions of windows takes seconds
        return dataset

    def _index(self, split: Split) -> "SamplingIndices | None":
        """The sampling index, with all that is not there yet made; None where there is none, or for training only."""
        if self.index is None:
            return None
        from nowcast.data.indexing import SamplingIndices

        found, length = SamplingIndices(self.index), self.input_steps + self.forecast_steps
        found.make(self.regions, self.steps, length, (self.crop, self.eval_crop), self.windows.stride, track)
        return found if found.complete or split == "train" else None

    def _check_tiles(self, key: str) -> None:
        below = grids_below(key, getattr(self, key), self.regions)
        if below and key not in self._told:
            typed, grids = as_typed(getattr(self, key)), len(self.regions)
            text = "data.%s=%s is larger than %d of %d grids, whose tiles are filled up with no data"
            log.warning(text, key, typed, below, grids)
        self._told.add(key)

    @property
    def series(self) -> list[Series]:
        """The archives in the cells and time steps of the windows."""
        self.setup()
        return [
            Series(region.archive.name, region.archive.times, step, region.grid, region.cell_km)
            for region, step in zip(self.regions, self.steps, strict=True)
        ]

    def _used(self, split: Split) -> list[int]:
        """Numbers of the archives that have samples in a split; windows without data are none."""
        used: list[int] = np.unique(self.dataset(split).samples[:, 0]).tolist()
        return used

    def lead_times(self, split: Split) -> tuple[float, ...]:
        """Lead times of the windows of a split in minutes.

        Raises:
            NoWindowError: It has no window.
            ValueError: Its archives differ in time step, so that a step has no lead time in common.
        """
        used = self._used(split)
        return common_lead_times(
            split,
            self.splitting.how,
            [self.regions[n].archive.path for n in used],
            [self.steps[n] for n in used],
            self.forecast_steps,
        )

    def shapes(self, split: Split) -> tuple[tuple[int, int], ...]:
        """The different (H, W) of the windows of a split."""
        crop = self.crop if split == "train" else self.eval_crop
        return tuple(dict.fromkeys(crop or self.regions[number].shape for number in self._used(split)))

    def common_shape(self, split: Split) -> tuple[int, int] | None:
        """(H, W) of the windows of a split when all show the same cells, else None."""
        used = [self.regions[number] for number in self._used(split)]
        first, crop = used[0], self.crop if split == "train" else self.eval_crop
        same = all(region.shape == first.shape and region.grid.same_as(first.grid) for region in used)
        return first.shape if same and crop is None else None

    def examples(self, split: Split, count: int) -> list[int]:
        """The windows with the largest share of rainy cells, at most one of each archive, most rain first."""
        return rainiest(self.dataset(split), count)

    def origins(self, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) archive and (N,) seconds since 1970 of the last input of the windows of a split; nothing is read."""
        return self.dataset(split).origins

    @property
    def caveat(self) -> str:
        """What a reader of the scores must know of the split, and of what is left out."""
        self.setup()
        return caveat_of(self.splitting.how, [region.archive for region in self.regions])

    # -- loaders -------------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled, possibly weighted by rain; batches are to go through on_after_batch_transfer, as Lightning does."""
        dataset = self.dataset("train")
        weights = dataset.chances(self.sampling)
        samples = StoredWindows(dataset) if StoredWindows.are_possible(dataset) else dataset
        self._tables = samples.tables if isinstance(samples, StoredWindows) else None
        order = {"samples": self.sampling.samples_per_epoch, "weights": weights, "seed": self.seed, "done": self._done}
        crops, size, workers = self.sampling.crops_per_window, self.batch_size, self.workers
        return training_loader(dataset, samples, crops, size, workers, **order)

    def on_after_batch_transfer(self, batch: Sample | StoredSample, dataloader_idx: int) -> Sample:
        """Rain rates, which the device makes of stored values."""
        if self._tables is None or "stored" not in batch:
            return cast(Sample, batch)
        stored = cast(StoredSample, batch)
        self._tables = self._tables.to(stored["stored"].device)  # moves once
        sample = to_rain_rates(stored, self._tables, self.input_steps)
        if self.trainer is None:
            return sample
        return cast(Sample, self.trainer.precision_plugin.convert_input(sample))  # it saw integers only

    def _done(self) -> int:
        return batches_done(self.trainer) * self.batch_size

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation windows in order."""
        return self.ordered_loader("val")

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test windows in order."""
        return self.ordered_loader("test")

    def ordered_loader(self, split: Split) -> DataLoader[Sample]:
        """All windows of a split, once, in order.

        Raises:
            ValueError: Those of training, which move and turn at random.
        """
        if split == "train":
            raise ValueError("windows of training move and turn at random: only those of val and test come in order")
        dataset = self.dataset(split)
        return make_loader(
            dataset,
            self.workers,
            batch_sampler=SameGridBatches(dataset.samples[:, 0], self.batch_size, *rank_of_process()),
        )

    # -- provenance ----------------------------------------------------------------------------------------

    def provenance(self) -> dict[str, Any]:
        """Plain facts that travel in checkpoints: fingerprints, time step (s) and cell size (km)."""
        self.setup()
        return {
            "archives": {region.archive.name: region.archive.fingerprint for region in self.regions},
            "split": self.splitting.how,
            "timesteps_seconds": sorted(set(self.steps)),
            "cell_km": round(float(np.mean([region.cell_km for region in self.regions])), 4),
            "input_steps": self.input_steps,
            "forecast_steps": self.forecast_steps,
        } | facts_of([region.archive for region in self.regions])

    def describe(self) -> list[dict[str, Any]]:
        """Plain facts of each archive: span, step, gaps, grid, unit, shares of rain and of no data, windows."""
        self.setup()
        starts = {split: self.starts(split) for split in SPLITS}
        index, length = self._index("test"), self.input_steps + self.forecast_steps
        facts = []
        for number, (region, step) in enumerate(zip(self.regions, self.steps, strict=True)):
            shares = None if index is None else index.shares(region, length, self.crop)
            windows = {split: len(starts[split][number]) for split in SPLITS}
            facts.append(region.facts(step, shares) | {"windows": windows})
        return facts

    def write_split(self, path: Path) -> None:
        """Write which window belongs to which split as JSON: archive → split → first times of windows."""
        self.setup()
        manifest: dict[str, dict[str, list[str]]] = {}
        for split in SPLITS:
            for region, starts in zip(self.regions, self.starts(split), strict=True):
                times = np.datetime_as_string(region.archive.times[starts], unit="s").tolist()
                manifest.setdefault(region.archive.name, {})[split] = times
        path.write_text(json.dumps(manifest, indent=1) + "\n")
