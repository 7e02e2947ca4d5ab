"""Counts and scores of pairs of fields, without a line of the program."""

import math

import numpy as np

COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")


class Tally:
    """Counts and sums of one model in one group, by lead time and threshold."""

    def __init__(self, leads, thresholds):
        self.counts = np.zeros((leads, thresholds, 4), dtype=np.int64)
        self.pairs = [[] for _ in range(leads)]  # (forecast, observed) arrays
        self.missing = np.zeros(leads, dtype=np.int64)
        self.windows = np.zeros(leads, dtype=np.int64)

    def add(self, lead, forecast, missing, observed, counted, thresholds):
        """One field; where the forecast is missing it is no rain."""
        self.missing[lead] += int((missing & counted).sum())
        self.windows[lead] += int(counted.any())
        said, seen = forecast[counted], observed[counted]
        for k, threshold in enumerate(np.asarray(thresholds, dtype=np.float32)):
            f, o = said >= threshold, seen >= threshold
            self.counts[lead, k] += [int((f & o).sum()), int((~f & o).sum()), int((f & ~o).sum()), int((~f & ~o).sum())]
        self.pairs[lead].append((said.astype(np.float64), seen.astype(np.float64)))


def errors_of(pairs):
    """n, mae, rmse, me, rainfall_mse and correlation of all cells of (forecast, observed) pairs."""
    f = np.concatenate([one for one, _ in pairs]) if pairs else np.empty(0)
    o = np.concatenate([other for _, other in pairs]) if pairs else np.empty(0)
    if len(f) == 0:
        return dict.fromkeys(("mae", "rmse", "me", "rainfall_mse", "correlation"), math.nan) | {"n": 0}
    mse = float(((f - o) ** 2).mean())
    varies = np.ptp(f) > 0 and np.ptp(o) > 0
    return {
        "n": len(f),
        "mae": float(abs(f - o).mean()),
        "rmse": math.sqrt(mse),
        "me": float((f - o).mean()),
        "rainfall_mse": mse,
        "correlation": float(np.corrcoef(f, o)[0, 1]) if varies else math.nan,
    }


def scores_of(hits, misses, false_alarms, correct_negatives):
    """The scores of one contingency table; NaN where undefined."""
    a, c, b, d = (float(value) for value in (hits, misses, false_alarms, correct_negatives))
    n = a + b + c + d

    def ratio(numerator, denominator):
        return numerator / denominator if denominator else math.nan

    chance = ratio((a + b) * (a + c), n)
    pod, pofd = ratio(a, a + c), ratio(b, b + d)
    sedi = math.nan
    if 0 < pod < 1 and 0 < pofd < 1:
        lf, lh, lnf, lnh = (math.log(value) for value in (pofd, pod, 1 - pofd, 1 - pod))
        sedi = (lf - lh - lnf + lnh) / (lf + lh + lnf + lnh)
    return {
        "csi": ratio(a, a + b + c),
        "pod": pod,
        "far": ratio(b, a + b),
        "bias": ratio(a + b, a + c),
        "hss": ratio(2 * (a * d - b * c), (a + c) * (c + d) + (a + b) * (b + d)),
        "ets": ratio(a - chance, a + b + c - chance) if n else math.nan,
        "pofd": pofd,
        "f1": ratio(2 * a, 2 * a + b + c),
        "sedi": sedi,
    }
