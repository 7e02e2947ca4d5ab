"""Decision levels: the probability from which on it is decided that an event comes, out of tallies.

Tallies are (…, L+1) counts by class of probability, class 0 of 0 alone, class k of ((k-1)/L, k/L]: how often such a
probability was forecast, and how often the event followed. Levels lie in [1/2L, 1]: 0 is reached by all cells.

Sources: Wilks, Statistical Methods in the Atmospheric Sciences, ch. 8 (bias, CSI); Richardson 2000,
doi:10.1002/qj.49712656313 (expense by ratio of cost to loss).
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nowcast.forecasting.calibration.probability import BIAS, CSI, unfitted_level
from nowcast.forecasting.forecast import HALF

Counts = NDArray[np.float64]
FEW = 100  # cells with the event, about the one or two showers of a single forecast: no ground for a level


def fitted_levels(forecasts: Counts, events: Counts, decisions: Sequence[str]) -> Counts:
    """Levels (T, D, K) of each decision, out of tallies (T, K, L+1) by lead time and threshold.

    A lead time with fewer than FEW events is fitted together with its neighbours (`with_neighbours`). A threshold with
    fewer at all lead times together takes the levels of the one below it, the lowest those of no fit.
    """
    pooled = with_neighbours(forecasts, events)
    levels = np.empty((len(forecasts), len(decisions), forecasts.shape[1]))
    for k, rare in enumerate(too_rare(events)):
        for row, (d, decision) in product(range(len(levels)), enumerate(decisions)):
            if rare:
                levels[row, d, k] = levels[row, d, k - 1] if k else unfitted_level(decision)
            else:
                levels[row, d, k] = level_of(decision, pooled[0][row, k], pooled[1][row, k])
    return levels


def level_of(decision: str, forecasts: Counts, events: Counts) -> float:
    """The level of a decision, out of tallies (L+1,)."""
    if decision == BIAS:
        return level_of_bias_one(forecasts, events)
    if decision == CSI:
        return level_of_best_csi(forecasts, events)
    return level_of_least_expense(forecasts, events, float(decision))


def too_rare(events: Counts) -> list[bool]:
    """For each of K thresholds whether (T, K, L+1) events are fewer than FEW."""
    return [bool(count < FEW) for count in events.sum(axis=(0, 2))]


def with_neighbours(forecasts: Counts, events: Counts) -> tuple[Counts, Counts]:
    """Tallies (T, K, L+1) of each lead time and as many on both sides as it takes for FEW events, all if need be."""
    pooled = forecasts.copy(), events.copy()
    for row, k in np.ndindex(events.shape[:2]):
        for far in range(len(events)):
            near = slice(max(row - far, 0), row + far + 1)
            if events[near, k].sum() >= FEW or far == len(events) - 1:
                pooled[0][row, k], pooled[1][row, k] = forecasts[near, k].sum(0), events[near, k].sum(0)
                break
    return pooled


def level_of_bias_one(forecasts: Counts, events: Counts) -> float:
    """Probability that is reached in as many cells as the event was observed in; ½ where either never was.

    Between the borders of classes linearly, as if probabilities lay evenly in a class.
    """
    above, wanted = _above(forecasts), events.sum()
    if wanted <= 0 or above[0] <= 0:
        return HALF
    return _within(np.interp(-wanted, -above, _borders(above)), above)


def level_of_best_csi(forecasts: Counts, events: Counts) -> float:
    """The border of classes with the best CSI, the middle one of several; ½ where the event never was."""
    hits, said, seen = _above(events), _above(forecasts), events.sum()
    if seen <= 0 or hits[0] <= 0:
        return HALF
    scores = hits / (said + seen - hits)
    best = _borders(scores)[scores == scores.max()]
    return _within(best[len(best) // 2], scores)


def level_of_least_expense(forecasts: Counts, events: Counts, ratio: float) -> float:
    """The border of classes from which on it is cheapest to protect oneself, the nearest to the ratio of several.

    Who protects himself pays the cost, who does not bears the loss; `ratio` is cost / loss. For probabilities that are
    reliable the level is the ratio; it is so, too, where none was forecast that is high enough to say otherwise.
    """
    saved = _above(events) - ratio * _above(forecasts)  # losses, against never
    best = _borders(saved)[saved >= saved.max() - 1e-6]  # sums of whole numbers and ratios
    return _within(best[np.abs(best - ratio).argmin()], saved)


def _above(tally: Counts) -> Counts:
    """(L+1,) cells with a probability above 0, 1/L, …, 1, falling."""
    return np.append(np.flip(np.flip(tally).cumsum()), 0.0)[1:]


def _borders(classes: Counts) -> Counts:
    """(L+1,) borders 0, 1/L, …, 1."""
    return np.arange(len(classes)) / (len(classes) - 1)


def _within(level: float | np.floating, classes: Counts) -> float:
    return max(float(level), 1 / (2 * (len(classes) - 1)))
