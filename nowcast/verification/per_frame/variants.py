"""Scores by lead time in another way of counting than the pooled default."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.verification.scores.family import Best


@dataclass(frozen=True, eq=False)
class VariantScores:
    """One model's scores in one way of counting.

    Args:
        variant: Name of the way, such as "paper".
        model: Name of the model.
        lead_times: T lead times.
        unit: Of the lead times: "minutes" or "frames".
        by_lead_time: Score → (T,) float64, NaN = undefined.
        overall: Score → its one number over all lead times, NaN where it is undefined at one of them.
        best: Score → "highest" or "lowest".
    """

    variant: str
    model: str
    lead_times: tuple[float, ...]
    unit: str
    by_lead_time: dict[str, NDArray[np.float64]]
    overall: dict[str, float]
    best: Mapping[str, Best]
