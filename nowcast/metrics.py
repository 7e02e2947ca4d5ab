"""Verification scores as streaming metrics: statistics are summed over everything first, ratios are taken last.

Conventions: an event is rate >= threshold; 0/0 is NaN, never an epsilon; only cells where `mask` is True count; a
forecast that is NaN over a valid observation counts as no rain and is reported as missing.

Sources: Wilks, Statistical Methods in the Atmospheric Sciences, ch. 8; WWRP/WGNE Joint Working Group on Forecast
Verification Research, "Forecast verification: issues, methods and FAQ".
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")


def pod(hits: Tensor, misses: Tensor) -> Tensor:
    """Probability of detection = hits / (hits + misses), in [0, 1], best 1."""
    return hits / (hits + misses)


def far(hits: Tensor, false_alarms: Tensor) -> Tensor:
    """False alarm ratio = false alarms / (hits + false alarms), in [0, 1], best 0."""
    return false_alarms / (hits + false_alarms)


def csi(hits: Tensor, misses: Tensor, false_alarms: Tensor) -> Tensor:
    """Critical success index (threat score) = hits / (hits + misses + false alarms), in [0, 1], best 1."""
    return hits / (hits + misses + false_alarms)


def bias(hits: Tensor, misses: Tensor, false_alarms: Tensor) -> Tensor:
    """Frequency bias = (hits + false alarms) / (hits + misses), in [0, inf), best 1; NaN without observed events."""
    return torch.where(hits + misses > 0, (hits + false_alarms) / (hits + misses), torch.nan)


def hss(hits: Tensor, misses: Tensor, false_alarms: Tensor, correct_negatives: Tensor) -> Tensor:
    """Heidke skill score = 2(ad - bc) / ((a+c)(c+d) + (a+b)(b+d)), in [-1, 1], best 1.

    a hits, b false alarms, c misses, d correct negatives.
    """
    numerator = 2 * (hits * correct_negatives - false_alarms * misses)
    return numerator / (
        (hits + misses) * (misses + correct_negatives) + (hits + false_alarms) * (false_alarms + correct_negatives)
    )


def ets(hits: Tensor, misses: Tensor, false_alarms: Tensor, correct_negatives: Tensor) -> Tensor:
    """Equitable threat score (Gilbert skill score), in [-1/3, 1], best 1.

    (hits - r) / (hits + misses + false alarms - r), r = hits expected by chance.
    """
    total = hits + misses + false_alarms + correct_negatives
    by_chance = (hits + misses) * (hits + false_alarms) / total
    return (hits - by_chance) / (hits + misses + false_alarms - by_chance)


def categorical_scores(counts: Tensor) -> dict[str, Tensor]:
    """All categorical scores from counts (4, …) in the order of COUNTS: name → (…) float64."""
    a, c, b, d = counts.double()  # hits, misses, false alarms, correct negatives
    return {
        "csi": csi(a, c, b),
        "pod": pod(a, c),
        "far": far(a, b),
        "bias": bias(a, c, b),
        "hss": hss(a, c, b, d),
        "ets": ets(a, c, b, d),
    }


def _valid_pairs(
    forecast: Tensor, observed: Tensor, mask: Tensor, lead_times: int
) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """By lead time: its number, forecast and observed values of the valid cells, and how many forecasts are missing.

    One lead time after another, so that a batch of whole composites needs little memory beside itself.
    """
    if not forecast.shape == observed.shape == mask.shape or forecast.ndim != 5:
        raise ValueError(
            "forecast, observed and mask must be (B, T, C, H, W) alike, got "
            f"{tuple(forecast.shape)}, {tuple(observed.shape)}, {tuple(mask.shape)}"
        )
    if forecast.shape[1] != lead_times:
        raise ValueError(f"expected {lead_times} lead times, got {forecast.shape[1]}")
    for lead in range(lead_times):
        valid = mask[:, lead]
        predicted, truth = forecast[:, lead][valid], observed[:, lead][valid]  # (N,)
        if bool(truth.isnan().any()):
            raise ValueError("an observation is NaN where the mask says that it is valid")
        yield lead, predicted.nan_to_num(0.0), truth, predicted.isnan().sum()


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
    thresholds: Tensor
    counts: Tensor
    missing_forecasts: Tensor

    def __init__(self, thresholds: Sequence[float], lead_times: int) -> None:
        """Start from zero counts."""
        super().__init__()
        if len(thresholds) == 0 or sorted(set(thresholds)) != list(thresholds):
            raise ValueError(f"verification.thresholds must rise strictly, got {list(thresholds)}")
        self.lead_times = lead_times
        self.register_buffer("thresholds", torch.tensor(list(thresholds)), persistent=False)
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
        classes = len(self.thresholds) + 1
        for lead, predicted, truth, missing in _valid_pairs(forecast, observed, mask, self.lead_times):
            # One joint histogram of intensity classes gives the counts of all thresholds at once.
            joint = self._classify(predicted) * classes + self._classify(truth)
            histogram = torch.bincount(joint, minlength=classes**2).view(classes, classes)
            self.counts[:, :, lead] += self._counts(histogram)
            self.missing_forecasts[lead] += missing

    def _classify(self, rate: Tensor) -> Tensor:
        """Number of thresholds that a rate reaches."""
        return torch.bucketize(rate, self.thresholds.to(rate.dtype), out_int32=True, right=True)

    def _counts(self, histogram: Tensor) -> Tensor:
        """(4, K) counts from a (K+1, K+1) histogram of forecast × observed class."""
        corner = histogram.flip(0, 1).cumsum(0).cumsum(1).flip(0, 1)  # corner[i, j]: forecast >= i, observed >= j
        hits = corner.diagonal()[1:]
        forecast_events, observed_events, total = corner[1:, 0], corner[0, 1:], corner[0, 0]
        misses, false_alarms = observed_events - hits, forecast_events - hits
        return torch.stack([hits, misses, false_alarms, total - hits - misses - false_alarms])

    def compute(self) -> dict[str, Tensor]:
        """Counts (int64) and scores (float64) by name, each (K, T); 0/0 is NaN."""
        return dict(zip(COUNTS, self.counts, strict=True)) | categorical_scores(self.counts)


class ContinuousErrors(Metric):
    """Errors of the rain rate by lead time.

    Args:
        lead_times: T.

    Attributes:
        missing_forecasts: (T,) int64, NaN forecasts over valid observations.
    """

    full_state_update = False
    sums: Tensor
    missing_forecasts: Tensor

    def __init__(self, lead_times: int) -> None:
        """Start from zero sums."""
        super().__init__()
        self.lead_times = lead_times
        # n, Σf, Σo, Σf², Σo², Σfo, Σ|f-o|
        self.add_state("sums", torch.zeros(7, lead_times, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("missing_forecasts", torch.zeros(lead_times, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> None:
        """Add a batch; arguments as in `Contingency.update`."""
        for lead, predicted, truth, missing in _valid_pairs(forecast, observed, mask, self.lead_times):
            f, o = predicted.double(), truth.double()
            parts = (f.new_tensor(len(f)), f.sum(), o.sum(), f @ f, o @ o, f @ o, (f - o).abs().sum())
            self.sums[:, lead] += torch.stack(parts)
            self.missing_forecasts[lead] += missing

    def compute(self) -> dict[str, Tensor]:
        """Name → (T,) float64: mae, rmse, me (mm h-1), rainfall_mse (mm2 h-2), correlation, n; NaN without data.

        Correlation is Pearson's; NaN where forecast or observation is constant.
        """
        n, f, o, ff, oo, fo, absolute = self.sums
        mse = ((ff - 2 * fo + oo) / n).clamp(min=0)
        covariance = fo / n - f * o / n**2
        variances = (ff / n - (f / n) ** 2) * (oo / n - (o / n) ** 2)
        # Rounding leaves ~1e-16 of the squares as the variance of a constant field.
        constant = variances <= 1e-14 * (ff / n) * (oo / n)
        correlation = torch.where(constant, torch.nan, covariance / variances.clamp(min=0).sqrt())
        return {
            "mae": absolute / n,
            "rmse": mse.sqrt(),
            "me": (f - o) / n,
            "rainfall_mse": mse,
            "correlation": correlation,
            "n": n,
        }


class LeadTimeScores(Metric):
    """Scores that belong to single frames and are averaged over them, lead time by lead time.

    Subclasses name their scores in `best` and give a value per sequence and lead time to `add`.

    Args:
        lead_times: T.
    """

    full_state_update = False
    best: ClassVar[dict[str, str]]  # score → "highest" or "lowest"
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
        """Name → one number: the mean over lead times, or their sum where `summed` says so."""
        scores = self.compute()
        return {name: float(v.sum() if name in self.summed else v.mean()) for name, v in scores.items()}
