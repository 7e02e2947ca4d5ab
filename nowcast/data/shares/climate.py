"""How often windows of each month and of how much rain there are, or are drawn, and how much rain they hold."""

import numpy as np
from numpy.typing import NDArray

RAIN_EDGES = (float(np.nextafter(0, 1)), 0.01, 0.05, 0.2)  # share of rainy cells: none, and four classes with rain
RAIN_CLASSES = ("0 %", "< 1 %", "1-5 %", "5-20 %", "≥ 20 %")
WINDOWS, VALID, WET = range(3)  # what is counted
SHAPE = (12, len(RAIN_CLASSES), 3)


def months_of(times: NDArray[np.datetime64]) -> NDArray[np.int8]:
    """(N,) month of UTC times, 1 to 12."""
    return (times.astype("datetime64[M]").astype(np.int64) % 12 + 1).astype(np.int8)


def climate(
    months: NDArray[np.int8],
    rain: NDArray[np.float64],
    valid: NDArray[np.float64],
    cells: int,
    chances: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Count windows, their cells with a value and their rainy cells, by month and by share of rain.

    Args:
        months: (N,) of the first frames, 1 to 12.
        rain: (N,) share of rainy among valid cells.
        valid: (N,) share of cells with a value; windows with none do not count.
        cells: Of a frame of a window.
        chances: (N,) what each window counts; None = 1.

    Returns:
        (12, RAIN_CLASSES, 3): WINDOWS, VALID and WET; cells are those of a mean frame.
    """
    counted = np.ones(len(rain)) if chances is None else chances
    counted = np.where(valid > 0, counted, 0.0)
    known = counted * valid * cells
    bins = (months.astype(np.int64) - 1) * SHAPE[1] + np.digitize(rain, RAIN_EDGES)
    sums = [np.bincount(bins, what, minlength=SHAPE[0] * SHAPE[1]) for what in (counted, known, known * rain)]
    return np.stack(sums, axis=-1).reshape(SHAPE).astype(np.float64)  # bincount counts nothing in whole numbers
