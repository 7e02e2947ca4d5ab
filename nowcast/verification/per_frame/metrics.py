"""Streaming metrics for training and for scores of single frames.

Conventions: an event is rate >= threshold; statistics are summed over everything first, ratios are taken last; 0/0 is
NaN, never an epsilon; only cells where `mask` is True count; a forecast that is NaN over a valid observation counts as
no rain and is reported as missing.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from nowcast.forecasting.forecast import Field
from nowcast.verification.scores.categorical import COUNTS, Categorical, categorical_scores
from nowcast.verification.scores.family import Best
from nowcast.verification.scores.lead_means import mean_over
from nowcast.verification.scores.sums import by_lead_time


class Contingency(Metric):
    """Counts of hits, misses, false alarms and correct negatives by threshold and lead time.

    Args:
        thresholds: K rain rates in mm h-1, rising.
        lead_times: T, number of lead times.

    Attributes:
        counts: (4, K, T) int64 in the order of COUNTS.
        missing_forecasts: (T,) int64, NaN forecasts over valid observations.

    Raises:
        ValueError: Thresholds do not rise.
    """

    full_state_update = False
    counts: Tensor
    missing_forecasts: Tensor

    def __init__(self, thresholds: Sequence[float], lead_times: int) -> None:
        """Start from zero counts."""
        super().__init__()
        self.family, self.lead_times = Categorical(thresholds), lead_times
        shape = (4, len(thresholds), lead_times)
        self.add_state("counts", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("missing_forecasts", torch.zeros(lead_times, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            forecast: (B, T, C, H, W) mm h-1; NaN = missing.
            observed: (B, T, C, H, W) mm h-1.
            mask: (B, T, C, H, W) bool, True = valid observation.

        Raises:
            ValueError: Shapes differ, or an observation is NaN where the mask is True.
        """
        for number, lead in enumerate(by_lead_time(Field(forecast), observed, mask, self.lead_times)):
            counts = self.family.statistics(lead.mean, lead.observed, lead.mask)["counts"]  # (B, K, 4)
            self.counts[:, :, number] += counts.sum(0).T.to(torch.int64)
            self.missing_forecasts[number] += lead.missing.sum()

    def compute(self) -> dict[str, Tensor]:
        """Counts (int64) and scores (float64) by name, each (K, T); 0/0 is NaN."""
        return dict(zip(COUNTS, self.counts, strict=True)) | categorical_scores(self.counts.movedim(0, -1))

    def mean_over_lead_times(self) -> dict[str, list[float]]:
        """CSI and bias by threshold, means over the lead times with observed events; NaN without any.

        Those are the same for every forecast of the same windows, so that epochs can be compared: where nothing is
        observed, CSI is 0 with one false alarm and undefined without.
        """
        scores = {name: value.cpu().numpy() for name, value in self.compute().items()}  # of all processes
        observed = scores["hits"] + scores["misses"] > 0  # (K, T)
        return {name: mean_over(scores[name], observed, axis=1)[:, 0].tolist() for name in ("csi", "bias")}


class LeadTimeScores(Metric):
    """Scores that belong to single frames and are averaged over them, lead time by lead time.

    Subclasses name their scores in `best` and give a value per sequence and lead time to `add`.

    Args:
        lead_times: T.
    """

    full_state_update = False
    best: ClassVar[dict[str, Best]]
    summed: ClassVar[frozenset[str]] = frozenset()  # scores whose overall value is the sum over lead times
    totals: Tensor
    frames: Tensor

    def __init__(self, lead_times: int) -> None:
        """Start from nothing."""
        super().__init__()
        self.lead_times = lead_times
        self.add_state("totals", torch.zeros(len(self.best), lead_times, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("frames", torch.zeros(lead_times, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, forecast: Tensor, observed: Tensor, mask: Tensor, logits: Tensor | None) -> None:
        """Add a batch of forecasts."""
        raise NotImplementedError

    def add(self, values: dict[str, Tensor], counted: Tensor) -> None:
        """Add scores (B, T) of each name in `best` where `counted` (B, T) is True.

        Raises:
            ValueError: Another number of lead times.
        """
        if counted.shape[1] != self.lead_times:
            raise ValueError(f"expected {self.lead_times} lead times, got {counted.shape[1]}")
        for index, name in enumerate(self.best):
            self.totals[index] += torch.where(counted, values[name].double(), 0.0).sum(dim=0)
        self.frames += counted.sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """Name → (T,) float64, NaN for lead times without a frame."""
        return dict(zip(self.best, self.totals / self.frames, strict=True))

    def overall(self) -> dict[str, float]:
        """Name → one number: the mean over all lead times, or their sum where `summed` says so; NaN without one."""
        scores = self.compute()
        return {name: float(v.sum() if name in self.summed else v.mean()) for name, v in scores.items()}
