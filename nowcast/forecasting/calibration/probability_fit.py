"""Fits calibrations of probabilities, from tallies of probabilities and events by lead time and threshold."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from torch import Tensor
from torchmetrics import Metric

from nowcast.forecasting.calibration.levels import fitted_levels, level_of_bias_one, too_rare
from nowcast.forecasting.calibration.probability import LevelCalibration, ReliabilityCalibration
from nowcast.forecasting.forecast import HALF

log = logging.getLogger(__name__)


class Tallies(Metric):
    """How often each probability was forecast, and how often the event followed.

    Args:
        lead_times: T lead times, rising; or their number.
        thresholds: K.
        levels: L; class 0 holds probability 0 alone, class k the interval ((k-1)/L, k/L].
    """

    full_state_update = False
    forecasts: Tensor  # (T, K, L+1) int64
    events: Tensor  # (T, K, L+1) int64, of them

    def __init__(self, lead_times: Sequence[float] | int, thresholds: int, levels: int) -> None:
        """Start from nothing."""
        super().__init__()
        self.lead_times, self.thresholds, self.levels = lead_times, thresholds, levels
        self.steps = range(lead_times if isinstance(lead_times, int) else len(lead_times))
        empty = torch.zeros(len(self.steps), thresholds, levels + 1, dtype=torch.int64)
        for name in ("forecasts", "events"):
            self.add_state(name, empty.clone(), dist_reduce_fx="sum")

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """Add a batch.

        Args:
            said: Probabilities (B, T, K, H, W).
            target: 1 where the event was observed, else 0, of the same shape; NaN where the mask is False.
            mask: (B, T, 1, H, W) bool, which cells count.
            rows: Which lead time of the fit each of the batch is; None = all of them, in order.

        Raises:
            ValueError: The number of lead times is not that of the fit.
        """
        rows = self.steps if rows is None else rows
        if said.shape[1] != len(rows):
            raise ValueError(f"expected {len(rows)} lead times, got {said.shape[1]}")
        bins = self.levels + 2  # the last one is for cells that do not count
        classes = (said.nan_to_num(0.0) * self.levels).ceil().long().clamp(0, self.levels)
        classes = torch.where(mask, classes, self.levels + 1)
        classes = classes + bins * torch.arange(self.thresholds, device=said.device)[:, None, None]
        seen = target.nan_to_num(0.0)
        for lead, row in enumerate(rows):
            flat = classes[:, lead].flatten()
            for state, weights in ((self.forecasts, None), (self.events, seen[:, lead].flatten().double())):
                counts = torch.bincount(flat, weights, minlength=self.thresholds * bins)
                state[row] += counts.view(self.thresholds, bins)[:, :-1].round().long()

    def compute(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Forecasts and events (T, K, L+1)."""
        return self.forecasts.cpu().double().numpy(), self.events.cpu().double().numpy()


class LevelFit(Tallies):
    """Finds for each lead time and threshold the levels of all decisions.

    Args:
        lead_times: See Tallies.
        thresholds: K rain rates in mm h-1.
        levels: See Tallies.
        decisions: See LevelCalibration.
        decide: See LevelCalibration.
    """

    def __init__(
        self,
        lead_times: Sequence[float] | int,
        thresholds: Sequence[float],
        levels: int,
        decisions: Sequence[str],
        decide: str = "",
    ) -> None:
        """Start from nothing."""
        super().__init__(lead_times, len(thresholds), levels)
        self.rates, self.decisions, self.decide = thresholds, decisions, decide

    def fit(self) -> LevelCalibration:
        """The calibration (`fitted_levels`)."""
        forecasts, events = self.compute()
        self._say_what_is_too_rare(events)
        calibration = LevelCalibration(self.lead_times, self.thresholds, self.decisions, self.decide)
        calibration.table.copy_(torch.from_numpy(fitted_levels(forecasts, events, self.decisions)))
        return calibration

    def _say_what_is_too_rare(self, events: NDArray[np.float64]) -> None:
        for k in (k for k, rare in enumerate(too_rare(events)) if rare):
            log.warning(
                "at least %g mm/h was observed in %d cells of all validation windows and lead times, too few to fit "
                "levels of decision: %s",
                self.rates[k], events[:, k].sum(),
                f"those of {self.rates[k - 1]:g} mm/h are taken" if k else "0.5 is taken, or the ratio of cost to loss",
            )  # fmt: skip


class ReliabilityFit(Tallies):
    """Fits a rising reliability curve for each lead time and threshold."""

    def fit(self) -> ReliabilityCalibration:
        """The calibration; a threshold without any valid cell keeps the identity."""
        calibration = ReliabilityCalibration(self.lead_times, self.thresholds, self.levels)
        forecasts, events = self.compute()
        for row, column in np.ndindex(forecasts.shape[:2]):
            curve = _rising(forecasts[row, column], events[row, column])
            calibration.table[row, column] = torch.from_numpy(curve)
        return calibration


def _rising(forecasts: NDArray[np.float64], events: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L+1,) frequencies at 0, 1/L, …, 1 out of tallies by class; the least squares of all rising curves."""
    levels = len(forecasts) - 1
    grid = np.arange(levels + 1) / levels
    known = forecasts > 0
    if not known.any():
        return grid
    middles = np.maximum(grid - 0.5 / levels, 0)[known]
    rising = isotonic_regression(events[known] / forecasts[known], weights=forecasts[known])
    return np.asarray(np.interp(grid, middles, rising.x), dtype=np.float64)


class ProbabilityCsi(Tallies):
    """CSI of one threshold at the level of bias one, or at ½, without a second pass.

    Args:
        lead_times: See Tallies.
        place: Which of a head's thresholds.
        levels: See Tallies.
        reliable: At ½ of what ReliabilityFit maps to, in place of the level of bias one.
    """

    def __init__(self, lead_times: Sequence[float] | int, place: int, levels: int, *, reliable: bool) -> None:
        """Start from nothing."""
        super().__init__(lead_times, 1, levels)
        self.place, self.reliable = place, reliable

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """See Tallies; of all thresholds."""
        part = slice(self.place, self.place + 1)
        super().update(said[:, :, part], target[:, :, part], mask, rows)

    def compute(self) -> Tensor:  # type: ignore[override]
        """(T,) CSI, NaN where the event was not observed."""
        forecasts, events = super().compute()
        return torch.from_numpy(np.array([self._csi(f[0], e[0]) for f, e in zip(forecasts, events, strict=True)]))

    def _csi(self, forecasts: NDArray[np.float64], events: NDArray[np.float64]) -> float:
        grid = np.arange(self.levels + 1) / self.levels
        if self.reliable:
            level = float(np.interp(HALF, _rising(forecasts, events) + 1e-9 * grid, grid, right=np.inf))
        else:
            level = level_of_bias_one(forecasts, events)
        share = np.clip((grid - level) * self.levels, 0, 1)  # of a class that reaches the level
        share[0] = level <= 0
        hits, said, seen = (events * share).sum(), (forecasts * share).sum(), events.sum()
        return float(hits / (said + seen - hits)) if seen > 0 else float("nan")
