"""What is set of windows: how long their steps are, which split they belong to, which of them training sees and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from nowcast.data.windows.index import BlockSplit

SplitMethod = Literal["blocks", "archives", "paper", "by_day", "all"]
Augmentation = Literal["none", "flips", "flips_rotations"]


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
    shared_blocks: bool = False  # checkpoints from before do not name it: what they trained on must stay what it was

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

    Raises:
        ValueError: A setting is out of range; the message names the key.
    """

    random_crops: bool
    augment: Augmentation
    min_rain_fraction: float
    min_valid_fraction: float
    importance_floor: float | None
    samples_per_epoch: int | None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.augment not in get_args(Augmentation):
            raise ValueError(f"data.sampling.augment must be none, flips or flips_rotations, got {self.augment!r}")
        for name in ("min_rain_fraction", "min_valid_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.sampling.{name} must be from 0 to 1, got {getattr(self, name)}")
        _check_above("sampling.importance_floor", self.importance_floor)
        if self.samples_per_epoch is not None and self.samples_per_epoch < 1:
            raise ValueError(
                f"data.sampling.samples_per_epoch must be at least 1 or null, got {self.samples_per_epoch}"
            )


def _check_above(key: str, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"data.{key} must be > 0, got {value}")
