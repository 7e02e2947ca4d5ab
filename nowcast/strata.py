"""Which group a window belongs to: blocks to draw from, and strata to look at one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.dataset import Sample

SEASONS = ("DJF", "MAM", "JJA", "SON")
HOURS = tuple(f"{hour:02d} UTC" for hour in range(24))


@dataclass(frozen=True)
class Strata:
    """How windows are grouped.

    Args:
        block: What counts as independent: "day" (a UTC day of an archive) or "archive" (an event).
        intensity_edges: Mean observed rain rates of a window in mm h-1 that divide the strata of intensity, rising.

    Raises:
        ValueError: An unknown block.
    """

    block: Literal["day", "archive"]
    intensity_edges: Sequence[float]

    def __post_init__(self) -> None:
        """Check the block."""
        if self.block not in ("day", "archive"):
            raise ValueError(f"strata.block must be day or archive, got {self.block!r}")


class Groups:
    """Numbers the groups of windows: block, event, hour, season and intensity.

    Args:
        strata: How.
        archives: (name, times) of each archive, in the order of a sample's `archive`.

    Attributes:
        labels: Grouping → labels of its groups.
    """

    def __init__(self, strata: Strata, archives: Sequence[tuple[str, NDArray[np.datetime64]]]) -> None:
        """Find every day of every archive."""
        self.strata = strata
        names = tuple(name for name, _ in archives)
        days = [
            (number, int(day))
            for number, (_, times) in enumerate(archives)
            for day in np.unique(times.astype("datetime64[D]").astype(np.int64))
        ]
        self._block = {key: number for number, key in enumerate(days)}
        dates = tuple(f"{names[archive]} {np.datetime64(day, 'D')}" for archive, day in days)
        edges = [f"{edge:g}" for edge in strata.intensity_edges]
        intensities = tuple(
            f"{low}-{high} mm/h" if low and high else f"below {high} mm/h" if high else f"from {low} mm/h"
            for low, high in zip(["", *edges], [*edges, ""], strict=True)
        )
        self.labels: dict[str, tuple[str, ...]] = {
            "block": dates if strata.block == "day" else names,
            "event": names,
            "hour": HOURS,
            "season": SEASONS,
            "intensity": intensities,
        }

    def numbers(self, batch: Sample, mask: Tensor) -> dict[str, Tensor]:
        """Grouping → (B,) int64 number of each window's group, by its last input and its mean observed rain.

        Args:
            batch: The windows.
            mask: (B, T, C, H, W) bool on the CPU, cells that count.
        """
        archive, seconds = batch["archive"].long().cpu(), batch["init_time"].cpu()
        times = seconds.numpy().astype("datetime64[s]")
        days = times.astype("datetime64[D]").astype(np.int64)
        months = times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        block = [self._block[key] for key in zip(archive.tolist(), days.tolist(), strict=True)]
        valid = mask.flatten(1)
        rain = torch.where(valid, batch["targets"].flatten(1), 0.0).sum(1) / valid.sum(1).clamp(min=1)
        edges = torch.tensor(list(self.strata.intensity_edges), dtype=rain.dtype, device=rain.device)
        return {
            "block": torch.tensor(block) if self.strata.block == "day" else archive,
            "event": archive,
            "hour": seconds // 3600 % 24,
            "season": torch.from_numpy(months % 12 // 3),
            "intensity": torch.bucketize(rain, edges, right=True).cpu(),
        }
