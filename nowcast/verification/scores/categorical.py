"""Scores of events: hits, misses, false alarms and correct negatives of a rain rate at or above a threshold.

Sources: Wilks, Statistical Methods in the Atmospheric Sciences, ch. 8; WWRP/WGNE Joint Working Group on Forecast
Verification Research, "Forecast verification: issues, methods and FAQ"; Ferro and Stephenson 2011,
doi:10.1175/WAF-D-10-05030.1 (SEDI).
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.classes import MOST_THRESHOLDS, classify, joint_counts
from nowcast.verification.scores.family import Axis, Best, in_order

COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")
BEST: dict[str, Best] = {
    "csi": "highest", "pod": "highest", "far": "lowest", "bias": "nearest one", "hss": "highest", "ets": "highest",
    "pofd": "lowest", "f1": "highest", "sedi": "highest",
}  # fmt: skip


def pod(hits: Tensor, misses: Tensor) -> Tensor:
    """Probability of detection = hits / (hits + misses), in [0, 1], best 1."""
    return hits / (hits + misses)


def far(hits: Tensor, false_alarms: Tensor) -> Tensor:
    """False alarm ratio = false alarms / (hits + false alarms), in [0, 1], best 0."""
    return false_alarms / (hits + false_alarms)


def pofd(false_alarms: Tensor, correct_negatives: Tensor) -> Tensor:
    """Probability of false detection = false alarms / (false alarms + correct negatives), in [0, 1], best 0."""
    return false_alarms / (false_alarms + correct_negatives)


def csi(hits: Tensor, misses: Tensor, false_alarms: Tensor) -> Tensor:
    """Critical success index (threat score) = hits / (hits + misses + false alarms), in [0, 1], best 1."""
    return hits / (hits + misses + false_alarms)


def f1(hits: Tensor, misses: Tensor, false_alarms: Tensor) -> Tensor:
    """F1 (Dice) = 2 hits / (2 hits + misses + false alarms), in [0, 1], best 1."""
    return 2 * hits / (2 * hits + misses + false_alarms)


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


def sedi(hits: Tensor, misses: Tensor, false_alarms: Tensor, correct_negatives: Tensor) -> Tensor:
    """Symmetric extremal dependence index, in [-1, 1], best 1; NaN where pod or pofd is 0 or 1.

    (ln F - ln H - ln(1-F) + ln(1-H)) / (ln F + ln H + ln(1-F) + ln(1-H)), H = pod, F = pofd.
    """
    h, f = pod(hits, misses), pofd(false_alarms, correct_negatives)
    inside = (h > 0) & (h < 1) & (f > 0) & (f < 1)
    h, f = torch.where(inside, h, torch.nan), torch.where(inside, f, torch.nan)
    less = f.log() - h.log() - (-f).log1p() + (-h).log1p()
    return less / (f.log() + h.log() + (-f).log1p() + (-h).log1p())


def categorical_scores(counts: Tensor) -> dict[str, Tensor]:
    """All categorical scores from counts (…, 4) in the order of COUNTS: name → (…) float64."""
    a, c, b, d = counts.double().unbind(-1)  # hits, misses, false alarms, correct negatives
    return {
        "csi": csi(a, c, b),
        "pod": pod(a, c),
        "far": far(a, b),
        "bias": bias(a, c, b),
        "hss": hss(a, c, b, d),
        "ets": ets(a, c, b, d),
        "pofd": pofd(b, d),
        "f1": f1(a, c, b),
        "sedi": sedi(a, c, b, d),
    }


class Categorical:
    """Contingency counts by threshold; an event is rate >= threshold.

    Args:
        thresholds: K rain rates in mm h-1, rising.

    Raises:
        ValueError: Thresholds do not rise, or are too many.
    """

    needs: Need = "single"

    def __init__(self, thresholds: Sequence[float]) -> None:
        """Keep the thresholds."""
        self.thresholds = in_order(tuple(thresholds), "verification.thresholds")
        number = len(self.thresholds)
        if number > MOST_THRESHOLDS:
            raise ValueError(f"verification.thresholds: at most {MOST_THRESHOLDS} thresholds, got {number}")

    @property
    def axes(self) -> dict[str, Axis]:
        """Thresholds in mm h-1, and the four outcomes."""
        return {"threshold": self.thresholds, "outcome": COUNTS}

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Counts (K, 4)."""
        return {"counts": ("threshold", "outcome")}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """Every score by threshold."""
        return dict.fromkeys(BEST, ("threshold",))

    @property
    def best(self) -> dict[str, Best]:
        """Which values are good."""
        return BEST

    def of_observed(self, observed: Tensor, mask: Tensor) -> Tensor:
        """Classes of the observation, uint8; one more than there are for cells that do not count."""
        return classify(observed, self.thresholds).masked_fill(~mask, len(self.thresholds) + 1)

    def statistics(
        self, forecast: Tensor, observed: Tensor, mask: Tensor, seen: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Counts (B, K, 4) of each sample."""
        # One joint histogram of intensity classes gives the counts of all thresholds at once.
        classes = self.of_observed(observed, mask) if seen is None else seen
        return {"counts": _counts(joint_counts(forecast, classes, self.thresholds)).double()}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, K); 0/0 is NaN."""
        return categorical_scores(sums["counts"])


def _counts(histogram: Tensor) -> Tensor:
    """(…, K, 4) counts from a (…, K+1, K+1) histogram of forecast × observed class."""
    # corner[i, j]: forecast >= i, observed >= j
    corner = histogram.flip(-2, -1).cumsum(-2).cumsum(-1).flip(-2, -1)
    hits = corner.diagonal(dim1=-2, dim2=-1)[..., 1:]
    forecast_events, observed_events, total = corner[..., 1:, 0], corner[..., 0, 1:], corner[..., :1, 0]
    misses, false_alarms = observed_events - hits, forecast_events - hits
    return torch.stack([hits, misses, false_alarms, total - hits - misses - false_alarms], dim=-1)


class MaxPooled:
    """CSI and bias after a maximum over square blocks of cells, which forgives small shifts.

    A block counts when any of its cells does; the maximum is over those. Incomplete blocks at the edge are dropped.

    Args:
        thresholds: K rain rates in mm h-1, rising.
        pools: Sides of the blocks in cells.

    Source: Gao et al. 2022 (Earthformer), arXiv:2207.05833, and its successors on SEVIR: CSI-pool4, CSI-pool16.
    """

    needs: Need = "single"

    def __init__(self, thresholds: Sequence[float], pools: Sequence[int]) -> None:
        """Keep thresholds and sides."""
        self.categorical, self.pools = Categorical(thresholds), in_order(tuple(pools), "pools")
        if self.pools[0] < 1:
            raise ValueError(f"pools must be at least 1 cell, got {list(pools)}")

    @property
    def axes(self) -> dict[str, Axis]:
        """Sides in cells, thresholds in mm h-1, the four outcomes."""
        return {"pool": self.pools, **self.categorical.axes}

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Counts (P, K, 4)."""
        return {"counts": ("pool", "threshold", "outcome")}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """By side and threshold."""
        return dict.fromkeys(self.best, ("pool", "threshold"))

    @property
    def best(self) -> dict[str, Best]:
        """Which values are good."""
        return {"pooled_csi": "highest", "pooled_bias": "nearest one"}

    def of_observed(self, observed: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """By side: the pooled observation, its mask, and its classes."""
        result = []
        for pool in map(int, self.pools):
            truth, valid = (_pooled(pool, field) for field in (observed, mask.to(observed.dtype)))
            result.append((truth, valid > 0, self.categorical.of_observed(truth, valid > 0)))
        return result

    def statistics(
        self,
        forecast: Tensor,
        observed: Tensor,
        mask: Tensor,
        seen: list[tuple[Tensor, Tensor, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Counts (B, P, K, 4) of each sample."""
        pooled = self.of_observed(observed, mask) if seen is None else seen
        counts = [
            self.categorical.statistics(_pooled(int(pool), forecast), *parts)["counts"]
            for pool, parts in zip(self.pools, pooled, strict=True)
        ]
        return {"counts": torch.stack(counts, dim=1)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, P, K)."""
        scores = categorical_scores(sums["counts"])
        return {"pooled_csi": scores["csi"], "pooled_bias": scores["bias"]}


def _pooled(pool: int, field: Tensor) -> Tensor:
    """Maxima over blocks; a field smaller than a block is filled up with cells that are dry and do not count."""
    height, width = field.shape[-2:]
    missing = (0, max(pool - width, 0), 0, max(pool - height, 0))
    if any(missing):
        field = F.pad(field, missing)
    rows, columns = field.shape[-2] // pool, field.shape[-1] // pool
    blocks = field[..., : rows * pool, : columns * pool].reshape(*field.shape[:-2], rows, pool, columns, pool)
    return blocks.amax(-3).amax(-1)  # several times as fast as max_pool2d on CPUs
