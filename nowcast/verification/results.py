"""What is measured of each model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCORES = ("csi", "pod", "far", "bias", "hss", "ets", "pofd", "f1", "sedi")


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Everything measured of one model.

    Args:
        name: The model.
        thresholds: K thresholds in mm h-1.
        lead_minutes: T lead times in minutes.
        counts: (4, K, T) int64: hits, misses, false alarms, correct negatives.
        scores: Name → (K, T) float64 for each of SCORES; NaN = undefined.
        continuous: Name → (T,) float64: mae, rmse, me, rainfall_mse, correlation, n.
        missing_forecasts: (T,) int64, forecasts missing over valid observations (counted as no rain).

    Raises:
        ValueError: No threshold or lead time, an array of another shape, or a score missing.
    """

    name: str
    thresholds: tuple[float, ...]
    lead_minutes: tuple[float, ...]
    counts: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    continuous: dict[str, NDArray[np.float64]]
    missing_forecasts: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the shapes."""
        shape = (len(self.thresholds), len(self.lead_minutes))
        if 0 in shape:
            raise ValueError(f"{self.name}: need a threshold and a lead time, got {shape[0]} and {shape[1]}")
        if tuple(sorted(self.scores)) != tuple(sorted(SCORES)):
            raise ValueError(f"{self.name}: scores are {sorted(self.scores)}, need {sorted(SCORES)}")
        expected = {"counts": (4, *shape), "missing_forecasts": shape[1:]}
        expected |= dict.fromkeys(self.scores, shape) | dict.fromkeys(self.continuous, shape[1:])
        arrays = {"counts": self.counts, "missing_forecasts": self.missing_forecasts, **self.scores, **self.continuous}
        wrong = {name: array.shape for name, array in arrays.items() if array.shape != expected[name]}
        if wrong:
            raise ValueError(f"{self.name}: {shape[0]} thresholds and {shape[1]} lead times, but shapes {wrong}")


def check_comparable(models: Sequence[ModelScores], score: str | None = None) -> None:
    """Refuse scores that cannot stand side by side.

    Raises:
        ValueError: No model, a name twice, other thresholds or lead times, or an unknown score.
    """
    if not models:
        raise ValueError("no scores: need those of at least one model")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError(f"model names must differ, got {', '.join(names)}")
    for model in models:
        if (model.thresholds, model.lead_minutes) != (models[0].thresholds, models[0].lead_minutes):
            raise ValueError(f"{model.name} and {names[0]} have other thresholds or lead times; score them together")
    if score is not None and score not in SCORES:
        raise ValueError(f"unknown score {score!r}; known: {', '.join(SCORES)}")
