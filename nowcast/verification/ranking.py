"""Which values of a score are better."""

import numpy as np
from numpy.typing import NDArray

from nowcast.verification.scores.family import Best

Values = NDArray[np.float64]


def goodness(values: Values, best: Best) -> Values:
    """Turn a score so that more is better.

    >>> goodness(np.array([0.5, 1.0, 1.25]), "nearest one").tolist()
    [-0.5, -0.0, -0.25]

    Raises:
        ValueError: A curve is neither good nor bad.
    """
    if best == "highest":
        return values
    if best == "lowest":
        return -values
    if best == "nearest one":
        return -np.abs(values - 1)
    if best == "nearest zero":
        return -np.abs(values)
    raise ValueError(f"a score with best={best!r} is neither good nor bad")


def winners(values: Values, best: Best) -> NDArray[np.bool_]:
    """(models, …): where a value is the best of all models' and better than another defined one."""
    good = goodness(values, best)
    highest = np.where(np.isnan(good), -np.inf, good).max(axis=0)
    lowest = np.where(np.isnan(good), np.inf, good).min(axis=0)
    won: NDArray[np.bool_] = (good == highest) & (lowest < highest)
    return won
