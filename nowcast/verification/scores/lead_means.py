"""Means over lead times. A score may be undefined at some, and means over other lead times cannot be compared."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def mean_where_defined(values: Values, axis: int = 0) -> tuple[Values, NDArray[np.int64]]:
    """Mean over the lead times where a score is defined, and how many they are.

    Args:
        values: Scores with an axis of lead times; NaN = undefined.
        axis: That axis, which stays with length 1.

    Returns:
        The mean, NaN where no lead time is defined, and their number.
    """
    defined = ~np.isnan(values)
    return mean_over(values, defined, axis), defined.sum(axis=axis, keepdims=True)


def mean_over(values: Values, chosen: NDArray[np.bool_], axis: int = 0) -> Values:
    """Mean over chosen lead times, NaN where none is chosen or a score is undefined at one of them.

    Args:
        values: Scores with an axis of lead times; NaN = undefined.
        chosen: Which lead times, of a shape that broadcasts to that of the values.
        axis: The axis, which stays with length 1.
    """
    count = np.broadcast_to(chosen, values.shape).sum(axis=axis, keepdims=True)
    total = np.where(chosen, values, 0.0).sum(axis=axis, keepdims=True)
    mean: Values = np.divide(total, count, where=count > 0, out=np.full(total.shape, np.nan))
    return mean


def are_over_the_same(values: Values) -> bool:
    """Whether the means of models are over the same lead times; models without any do not matter.

    Args:
        values: (models, T) of one score.
    """
    defined = ~np.isnan(values)
    having = defined[defined.any(axis=1)]
    return bool((having == having[:1]).all())
