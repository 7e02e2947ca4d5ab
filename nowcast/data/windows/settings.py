"""What is set of windows: how long their steps are, which split they belong to, which of them training sees and how."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nowcast.data.windows.index import BlockSplit, Split

SplitMethod = Literal["blocks", "archives", "paper", "by_day", "all"]
Augmentation = Literal["none", "flips", "flips_rotations"]
SEASONS = ("DJF", "MAM", "JJA", "SON")  # three months each, from December on


@dataclass(frozen=True)
class SplitSettings:
    """Which windows belong to which split: `data.split` (docs/decisions/0007).

    Args:
        method: How archives become training, validation and test: blocks (random time blocks), archives (val_archives
            and test_archives by name), paper (random blocks drawn for each archive by itself; windows never cross a
            block's border), by_day (whole archives at random, windows as with paper), or all (everything is test: for
            evaluation only).
        val_archives: Names or globs of validation archives; empty = validation blocks of the training ones.
        test_archives: Names or globs of test archives.
        block_minutes: See BlockSplit.
        val_fraction: See BlockSplit.
        test_fraction: See BlockSplit; not for the methods archives and all.
        gap_minutes: See BlockSplit; 0 for the methods paper and by_day.
        shared_blocks: Archives of one time have the same blocks: no radar trains on the rain that another one tests.
        train_archives: Names or globs, with the method archives, of those that are trained on as a whole, where blocks
            of others are validation: synthetic rain is not to choose the epoch nor to fit the calibration.

    Raises:
        ValueError: A setting is out of range, or there are gaps where there can be none; the message names the key.
    """

    method: SplitMethod
    val_archives: Sequence[str]
    test_archives: Sequence[str]
    block_minutes: float
    val_fraction: float
    test_fraction: float
    gap_minutes: float
    # Checkpoints from before do not name these: what they trained on must stay what it was.
    shared_blocks: bool = False
    train_archives: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the values."""
        if self.method not in get_args(SplitMethod):
            raise ValueError(f"data.split.method must be blocks, archives, paper, by_day or all, got {self.method!r}")
        _check_above("split.block_minutes", self.block_minutes)
        if self.gap_minutes < 0:
            raise ValueError(f"data.split.gap_minutes must be at least 0, got {self.gap_minutes}")
        if self.method in ("paper", "by_day") and self.gap_minutes > 0:
            raise ValueError(f"data.split.method={self.method} has no gaps: set data.split.gap_minutes=0")
        if min(self.shares) < 0 or sum(self.shares) >= 1:
            raise ValueError(
                "data.split.val_fraction and data.split.test_fraction must be at least 0, and less than 1 together, "
                f"got {self.shares[0]} and {self.shares[1]}"
            )

    @property
    def named(self) -> dict[Split, Sequence[str]]:
        """Names or globs of the archives of each split, for the method archives."""
        return {"train": self.train_archives, "val": self.val_archives, "test": self.test_archives}

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the blocks that are validation and test."""
        return self.val_fraction, 0.0 if self.method in ("archives", "all") else self.test_fraction

    def blocks(self, seed: int) -> BlockSplit:
        """The draw of the blocks with a seed."""
        return BlockSplit(self.block_minutes, *self.shares, self.gap_minutes, seed)


@dataclass(frozen=True)
class WindowSettings:
    """Time step, cell size and starts of the windows of all splits: `data.windows`.

    Args:
        timestep_minutes: Time step of the windows; None = that of the archives.
        allow_mixed_timesteps: Accept archives whose time steps differ (timestep_minutes=None).
        cell_km: Average cells to this size; None = native.
        stride: Archive frames between the starts of two windows.

    Raises:
        ValueError: A setting is out of range; the message names the key.
    """

    timestep_minutes: float | None
    allow_mixed_timesteps: bool
    cell_km: float | None
    stride: int

    def __post_init__(self) -> None:
        """Check the values."""
        _check_above("windows.timestep_minutes", self.timestep_minutes)
        _check_above("windows.cell_km", self.cell_km)
        if self.stride < 1:
            raise ValueError(f"data.windows.stride must be at least 1, got {self.stride}")


@dataclass(frozen=True)
class SamplingSettings:
    """Which windows training draws, and how they are moved and turned: `data.sampling`.

    Args:
        random_crops: Move training tiles at random.
        augment: none, flips or flips_rotations.
        min_rain_fraction: Leave out tiles with less rain (share of cells ≥ 0.1 mm h-1).
        min_valid_fraction: Leave out tiles with less data.
        importance_floor: Draw windows with chance rain fraction + floor; None = all alike.
        samples_per_epoch: Windows per epoch; None = each once.
        archive_weights: Glob of archive names → relative chance of each archive that it matches (the last one that
            does), however many windows it has; None = by the chances of the windows alone.
        season_weights: DJF, MAM, JJA and SON → relative chance of each season, that of the month of a window's first
            frame in UTC, however many windows it has; archive_weights then hold within each season. None = as it comes.
        rain_factor_sigma: Multiply the rain of each window by exp(N(0, this)): rain that training did not hold, and
            radars that measure more or less.
        zoom: See rain that is up to so many times larger or smaller, by averaging more or fewer cells of the archive
            into one, as far as whole numbers of these go: of 3 cells, 1.5 makes 2, 3 or 4. 1 = as it is.
        crops_per_window: Tiles cut from a window each time it is read, which go into different batches: for stores
            whose chunks are much larger than the tiles (docs/decisions/0045). 1 = every tile is drawn by itself.

    Raises:
        ValueError: A setting is out of range; the message names the key.
    """

    random_crops: bool
    augment: Augmentation
    min_rain_fraction: float
    min_valid_fraction: float
    importance_floor: float | None
    samples_per_epoch: int | None
    archive_weights: Mapping[str, float] | None = None  # checkpoints from before name none of these
    rain_factor_sigma: float = 0.0
    zoom: float = 1.0
    crops_per_window: int = 1
    season_weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.augment not in get_args(Augmentation):
            raise ValueError(f"data.sampling.augment must be none, flips or flips_rotations, got {self.augment!r}")
        for name in ("min_rain_fraction", "min_valid_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.sampling.{name} must be from 0 to 1, got {getattr(self, name)}")
        _check_above("sampling.importance_floor", self.importance_floor)
        if self.archive_weights is not None and min(self.archive_weights.values(), default=0) < 0:
            raise ValueError(f"data.sampling.archive_weights must be 0 or more, got {dict(self.archive_weights)}")
        if self.season_weights is not None:
            _check_seasons(self.season_weights)
        if self.rain_factor_sigma < 0:
            raise ValueError(f"data.sampling.rain_factor_sigma must be at least 0, got {self.rain_factor_sigma}")
        if self.zoom < 1:
            raise ValueError(f"data.sampling.zoom must be at least 1, got {self.zoom}")
        if self.crops_per_window < 1:
            raise ValueError(f"data.sampling.crops_per_window must be at least 1, got {self.crops_per_window}")
        if self.samples_per_epoch is not None and self.samples_per_epoch < 1:
            raise ValueError(
                f"data.sampling.samples_per_epoch must be at least 1 or null, got {self.samples_per_epoch}"
            )

    def chances(
        self, archives: NDArray[np.int64], names: Sequence[str], rain: NDArray[Any], months: NDArray[np.integer[Any]]
    ) -> NDArray[Any] | None:
        """(N,) relative chance of windows.

        Args:
            archives: (N,) of the windows.
            names: Of the archives.
            rain: (N,) share of rain of the windows.
            months: (N,) of their first frames, 1 to 12.

        Returns:
            None where all windows are alike.

        Raises:
            ValueError: No archive, or no season, with windows has a weight above 0.
        """
        weights = None if self.importance_floor is None else rain + self.importance_floor
        if self.archive_weights is None and self.season_weights is None:
            return weights
        weights = np.ones(len(archives)) if weights is None else weights
        seasons = months.astype(np.int64) % 12 // 3
        if self.archive_weights is not None:
            each = np.array([_last_match(self.archive_weights, name) for name in names])
            _check_some("archive_weights", self.archive_weights, each, archives, names)
            groups = archives if self.season_weights is None else seasons * len(names) + archives
            weights = np.asarray(weights / np.bincount(groups, weights)[groups] * each[archives])
        if self.season_weights is not None:
            each = np.array([self.season_weights[name] for name in SEASONS])
            _check_some("season_weights", self.season_weights, each, seasons[weights > 0], SEASONS)
            sums = np.bincount(seasons, weights, minlength=len(SEASONS))
            weights = np.asarray(weights * np.divide(each, sums, where=sums > 0, out=np.zeros(len(each)))[seasons])
        return weights


def _check_some(
    key: str, given: Mapping[str, float], weights: NDArray[Any], there: NDArray[np.int64], names: Sequence[str]
) -> None:
    """Refuse weights of which none of those that are there, by their numbers, has one above 0."""
    numbers = np.unique(there)
    if not (weights[numbers] > 0).any():
        raise ValueError(
            f"data.sampling.{key}={dict(given)} gives nothing that there is a weight above 0; training has windows of "
            f"{', '.join(names[number] for number in numbers.tolist())}"
        )


def _check_seasons(weights: Mapping[str, float]) -> None:
    """Refuse what does not name every season: one that is left out by oversight would never be trained on."""
    typed = "'data.sampling.season_weights={DJF: 1, MAM: 1, JJA: 1, SON: 1}'"
    if not isinstance(weights, Mapping) or set(weights) != set(SEASONS):
        found = dict(weights) if isinstance(weights, Mapping) else weights
        raise ValueError(
            f"data.sampling.season_weights must give each of {', '.join(SEASONS)} a weight (0 leaves a season out), "
            f"got {found!r}; write {typed}"
        )
    if not all(isinstance(weight, int | float) and 0 <= weight < math.inf for weight in weights.values()):
        raise ValueError(f"data.sampling.season_weights must be numbers, 0 or more, got {dict(weights)}")


def _last_match(weights: Mapping[str, float], name: str) -> float:
    return next((weight for glob, weight in reversed(list(weights.items())) if fnmatchcase(name, glob)), 0.0)


def _check_above(key: str, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"data.{key} must be > 0, got {value}")


def check_pair(key: str, value: Any, meaning: str) -> None:  # noqa: ANN401 (whatever a config holds)
    """Refuse what is not a list of two numbers.

    Args:
        key: The config key.
        value: Its value.
        meaning: What the two are, such as "[first, last]".

    Raises:
        ValueError: Not two numbers; the message shows the key and how to write it.
    """
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(x, int | float) for x in value):
        raise ValueError(f"{key} must be a pair of numbers, {meaning}, got {value!r}; write '{key}={meaning}'")
