"""Fits the frequency calibration on validation data, and scores a forecast as if it had been applied."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from nowcast.forecasting.calibration.frequency import FrequencyCalibration


class CalibrationFit(Metric):
    """Histograms of forecast and observed grey values, from which the calibration is fitted.

    Args:
        lead_times: T lead times, rising; or their number.
        levels: K intervals over [0, 1].
    """

    full_state_update = False
    histograms: tuple[str, ...] = ("forecast", "observed")
    forecast: Tensor
    observed: Tensor

    def __init__(self, lead_times: Sequence[float] | int, levels: int) -> None:
        """Start from empty histograms."""
        super().__init__()
        self.lead_times, self.levels = lead_times, levels
        self.rows = range(lead_times if isinstance(lead_times, int) else len(lead_times))
        for name in self.histograms:
            self.add_state(name, torch.zeros(len(self.rows), levels + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """Add a batch of grey values (B, T, C, H, W); only cells where mask is True count.

        Args:
            said: Grey values that were forecast.
            target: Grey values that were observed.
            mask: Which cells count.
            rows: Which lead time of the fit each of the batch is; None = all of them, in order.

        Raises:
            ValueError: The number of lead times is not that of the fit.
        """
        rows = self.rows if rows is None else rows
        if said.shape[1] != len(rows):
            raise ValueError(f"expected {len(rows)} lead times, got {said.shape[1]}")
        for state, values in ((self.forecast, said), (self.observed, target)):
            self.count(state, values, mask, rows)

    def count(self, state: Tensor, values: Tensor, mask: Tensor, rows: Sequence[int]) -> None:
        """Add grey values (B, T, C, H, W) to (lead times, K+1) counts of classes."""
        # Class 0 holds grey 0 alone (no rain at all); class k the interval ((k-1)/K, k/K].
        classes = (values.nan_to_num(0.0) * self.levels).ceil().long().clamp(0, self.levels)
        classes = torch.where(mask, classes, self.levels + 1)
        for lead, row in enumerate(rows):
            counted = torch.bincount(classes[:, lead].flatten(), minlength=self.levels + 2)
            state[row] += counted[: self.levels + 1]

    def compute(self) -> Tensor:
        """The table of the fitted calibration, (T, K+1)."""
        return torch.stack([_match(f, o) for f, o in zip(self.forecast.double(), self.observed.double(), strict=True)])

    def fit(self) -> FrequencyCalibration:
        """The calibration; a lead time without any valid cell keeps the identity."""
        calibration = FrequencyCalibration(self.lead_times, self.levels)
        calibration.table.copy_(self.compute())
        return calibration


class CalibratedCsi(CalibrationFit):
    """CSI that a forecast has after the calibration that is fitted on the very same cells, without a second pass.

    A class of grey values is divided where its mapped values, linear in the class, reach the threshold, as if forecasts
    lay evenly in it, and events among them.

    Args:
        threshold: Grey value of the event.
        lead_times: See CalibrationFit.
        levels: See CalibrationFit.
    """

    histograms = ("forecast", "observed", "wet")
    wet: Tensor  # forecasts where the event was observed

    def __init__(self, threshold: float, lead_times: Sequence[float] | int, levels: int) -> None:
        """Start from empty histograms."""
        super().__init__(lead_times, levels)
        self.threshold = threshold

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """See CalibrationFit."""
        super().update(said, target, mask, rows)
        self.count(self.wet, said, mask & (target >= self.threshold), self.rows if rows is None else rows)

    def compute(self) -> Tensor:
        """(T,) CSI, of one lead time a number; NaN where the event was never observed."""
        table = super().compute().double()
        low, high = table[:, :-1], table[:, 1:]
        steep = high > low
        part = torch.where(steep, (high - self.threshold) / (high - low).clamp(min=1e-12), high >= self.threshold)
        said = torch.cat([(table[:, :1] >= self.threshold).double(), part.clamp(0, 1)], dim=1)  # share of each class
        hits, forecasts = (self.wet * said).sum(1), (self.forecast * said).sum(1)
        events = self.wet.sum(1)
        return torch.where(events > 0, hits / (forecasts + events - hits), torch.nan)


def _match(forecast: Tensor, observed: Tensor) -> Tensor:
    """Mapped value at each level so that exceedance frequencies agree: (K+1,) counts twice → (K+1,) grey.

    exceed_f(level) is the share of forecasts above it; the mapped value is the grey that the same share of
    observations exceeds, by linear interpolation inside a class.
    """
    levels = len(forecast) - 1
    if forecast.sum() == 0 or observed.sum() == 0:
        return torch.linspace(0, 1, levels + 1, device=forecast.device)
    above_forecast = 1 - forecast.cumsum(0) / forecast.sum()  # share strictly above k/K
    above_observed = 1 - observed.cumsum(0) / observed.sum()
    # above_observed falls with k; find for each share the level that it is exceeded with.
    rising = above_observed.flip(0)
    position = torch.searchsorted(rising.contiguous(), above_forecast.contiguous(), right=True)
    upper = (levels + 1 - position).clamp(0, levels)  # smallest level exceeded by no more than the share
    lower = (upper - 1).clamp(min=0)
    gap = above_observed[lower] - above_observed[upper]
    part = torch.where(gap > 0, (above_observed[lower] - above_forecast) / gap, torch.ones_like(gap))
    value = (lower + part.clamp(0, 1) * (upper - lower)) / levels
    # A share at or above that of all observed rain means no rain.
    value = torch.where(above_forecast >= above_observed[0], torch.zeros_like(value), value)
    return value.cummax(0).values.float()
