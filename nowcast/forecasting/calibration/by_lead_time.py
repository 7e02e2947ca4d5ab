"""What calibrations share: a table with a row for each lead time."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.forecast import FieldForecast
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling

log = logging.getLogger(__name__)


class Calibration(nn.Module, ABC):
    """Something that is applied to what a head says, by lead time.

    Args:
        lead_times: T lead times of the fit, rising; or their number where nothing else is known of them.
        row: What stands in the table for each lead time until one is loaded or fitted.
    """

    table: Tensor  # (T, …)

    def __init__(self, lead_times: Sequence[float] | int, row: Tensor) -> None:
        """Start with the same row for all."""
        super().__init__()
        count = lead_times if isinstance(lead_times, int) else len(lead_times)
        self.lead_times = None if isinstance(lead_times, int) else tuple(lead_times)
        self.register_buffer("table", row.repeat(count, *[1] * row.ndim))

    @abstractmethod
    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The calibrated forecast of what a head says, (B, T, channels, H, W) in [0, 1], lead times in order.

        More lead times than the table has use its last row.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What its constructor takes beside `lead_times`."""

    def like(self, lead_times: Sequence[float] | int) -> Self:
        """One of the same kind for other lead times, not fitted."""
        return type(self)(lead_times, **self.settings())

    def node(self) -> dict[str, Any]:
        """Plain values that say what it is, for a checkpoint: `build` makes one of them that is not fitted."""
        kind = type(self)
        lead_times = len(self.table) if self.lead_times is None else list(self.lead_times)
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}", "lead_times": lead_times, **self.settings()}

    def decided_by(self, decision: str) -> Self:
        """The same, by which probabilities become one field of rain by another decision.

        Args:
            decision: "bias", "csi", "area" or a ratio of cost to loss.

        Raises:
            UsageError: It has no levels for that, or maps amounts, of which there is nothing to decide.
        """
        raise UsageError(
            f"decide={decision}: this checkpoint's calibration has no levels of decision, which are those of a network "
            "that says probabilities (head=exceedance): leave decide= out"
        )

    def at(self, lead_times: Sequence[float]) -> "Calibration":
        """The calibration of forecasts with other lead times, in the unit of the fit.

        A lead time of the fit keeps its row to the last bit, one between two of them gets their mean, weighted by
        nearness; before the first and after the last theirs is taken, which a warning says.
        """
        if self.lead_times is None:
            log.warning(
                "this calibration was fitted by number of step on windows whose time steps differ, and is applied by "
                "number of step; a checkpoint that is trained now holds one by lead time"
            )
            return self
        _say_what_was_not_fitted(self.lead_times, lead_times)
        places = np.interp(lead_times, self.lead_times, np.arange(len(self.lead_times)))
        lower = torch.from_numpy(np.floor(places + 1e-9).astype(np.int64)).to(self.table.device)
        part = (torch.from_numpy(places).to(self.table) - lower.to(self.table)).view(-1, *[1] * (self.table.ndim - 1))
        upper = (lower + 1).clamp(max=len(self.lead_times) - 1)
        between = self.table[lower] + part * (self.table[upper] - self.table[lower])
        mapped = self.like(lead_times).to(self.table.device)
        mapped.table.copy_(torch.where(part.abs() < 1e-6, self.table[lower], between))
        return mapped

    def rows(self, steps: int) -> Tensor:
        """The table's rows (steps, …) of the first steps of a forecast."""
        return self.table[torch.arange(steps, device=self.table.device).clamp(max=len(self.table) - 1)]


def interpolated(values: Tensor, table: Tensor) -> Tensor:
    """Values in [0, 1] mapped linearly between the equally spaced entries of a table of their own; NaN stays NaN.

    Args:
        values: (B, T, C, H, W).
        table: (T, L+1), or (T, C, L+1) with one for each channel.
    """
    steps, levels = table.shape[0], table.shape[-1] - 1
    apart = table.to(values.dtype).reshape(steps, -1, levels + 1)  # (T, 1 or C, L+1)
    position = values.nan_to_num(0.0).clamp(0, 1) * levels
    index = position.long().clamp(max=levels - 1)
    by_table = (index.transpose(0, 1), (position - index).transpose(0, 1))  # (T, B, C, H, W)
    if apart.shape[1] > 1:
        by_table = (by_table[0].transpose(1, 2), by_table[1].transpose(1, 2))  # (T, C, B, H, W)
    flat, part = (one.reshape(steps, apart.shape[1], -1) for one in by_table)
    low, high = apart.gather(2, flat), apart.gather(2, flat + 1)
    mapped = (low + (high - low) * part).view(by_table[0].shape)
    mapped = (mapped.transpose(1, 2) if apart.shape[1] > 1 else mapped).transpose(0, 1)
    return torch.where(values.isnan(), values, mapped)


def _say_what_was_not_fitted(fitted: Sequence[float], wanted: Sequence[float]) -> None:
    for beyond, words, nearest in (
        ([lead for lead in wanted if lead > fitted[-1] + 1e-6], "later than all", "last"),
        ([lead for lead in wanted if lead < fitted[0] - 1e-6], "earlier than all", "first"),
    ):
        if beyond:
            log.warning(
                "the calibration was fitted for lead times of %g to %g: %s %s %s, and calibrated as the %s",
                fitted[0], fitted[-1], ", ".join(f"{lead:g}" for lead in beyond), "is" if len(beyond) == 1 else "are",
                words, nearest,
            )  # fmt: skip
