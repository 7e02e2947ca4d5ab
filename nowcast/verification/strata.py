"""Which group a window belongs to: blocks to draw from, and strata to look at one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.windows.sample import Sample
from nowcast.data.windows.settings import SEASONS

HOURS = tuple(f"{hour:02d} UTC" for hour in range(24))


@dataclass(frozen=True)
class Strata:
    """How windows are grouped.

    Args:
        block: What counts as independent: "day" (a UTC day, of whatever archives) or "archive" (an event; archives that
            share a day are one).
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
        """Find the days of all archives."""
        self.strata = strata
        names = tuple(name for name, _ in archives)
        days = [np.unique(_days(times)).tolist() for _, times in archives]
        every = sorted({day for of_archive in days for day in of_archive})
        self._block_of_day = {day: number for number, day in enumerate(every)}
        self._block_of_archive = torch.tensor(sharing_days(days))
        blocks = [str(np.datetime64(day, "D")) for day in every]
        if strata.block == "archive":
            blocks = [
                " + ".join(
                    name for name, own in zip(names, self._block_of_archive.tolist(), strict=True) if own == number
                )
                for number in range(int(self._block_of_archive.max()) + 1)
            ]
        edges = [f"{edge:g}" for edge in strata.intensity_edges]
        intensities = tuple(
            f"{low}-{high} mm/h" if low and high else f"below {high} mm/h" if high else f"from {low} mm/h"
            for low, high in zip(["", *edges], [*edges, ""], strict=True)
        )
        self.labels: dict[str, tuple[str, ...]] = {
            "block": tuple(blocks),
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
        months = times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        valid = mask.flatten(1)
        rain = torch.where(valid, batch["targets"].flatten(1), 0.0).sum(1) / valid.sum(1).clamp(min=1)
        edges = torch.tensor(list(self.strata.intensity_edges), dtype=rain.dtype, device=rain.device)
        return {
            "block": self._blocks(archive, times),
            "event": archive,
            "hour": seconds // 3600 % 24,
            "season": torch.from_numpy(months % 12 // 3),
            "intensity": torch.bucketize(rain, edges, right=True).cpu(),
        }

    def _blocks(self, archive: Tensor, times: NDArray[np.datetime64]) -> Tensor:
        if self.strata.block == "archive":
            return self._block_of_archive[archive]
        return torch.tensor([self._block_of_day[day] for day in _days(times).tolist()])


def _days(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """UTC days since 1970."""
    return times.astype("datetime64[D]").astype(np.int64)


def sharing_days(days: Sequence[Sequence[int]]) -> list[int]:
    """Number of the block of each archive: those that share a day are one, and so are those that share it with these.

    Args:
        days: Of each archive.
    """
    blocks: list[int] = []
    known: list[set[int]] = []  # days of each block
    for own in days:
        touched = [number for number, shared in enumerate(known) if not shared.isdisjoint(own)]
        number = touched[0] if touched else len(known)
        if not touched:
            known.append(set())
        known[number] |= set(own).union(*(known[other] for other in touched))
        blocks = [number if block in touched else block for block in blocks] + [number]
        for other in touched[1:]:
            known[other] = set()
    order = {block: place for place, block in enumerate(dict.fromkeys(blocks))}
    return [order[block] for block in blocks]
