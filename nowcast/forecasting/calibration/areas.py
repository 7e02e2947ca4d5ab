"""Decisions by area: as many cells as extrapolation reaches a threshold in, the most probable ones.

Levels that were fitted fail on weather unlike that of the fit: they make small showers vanish. How large an area it
rains on changes little within an hour, and which cells it will be is what a network knows better.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def shares_reached(field: Tensor, last: Tensor, thresholds: Sequence[float]) -> Tensor:
    """(B, T, K) share of the seen cells in which a field reaches each threshold.

    Cells that are seen, and of which the field says nothing, count as the last frame does on the whole.

    Args:
        field: (B, T, 1, H, W) mm h-1, NaN = no forecast.
        last: (B, 1, H, W) mm h-1, the last frame; NaN = not seen.
        thresholds: K rain rates in mm h-1.
    """
    of_last = _counts(last, thresholds)  # (B, 1 + K)
    of_field = _counts(field.masked_fill(~last.isfinite()[:, None], torch.nan), thresholds)  # (B, T, 1 + K)
    cells = of_last[:, :1].clamp(min=1)
    before, reached = of_last[:, 1:] / cells, of_field[..., 1:] / cells[:, None]
    unknown = 1 - of_field[..., :1] / cells[:, None]
    return reached + unknown * before[:, None]


def _counts(rain_rate: Tensor, thresholds: Sequence[float]) -> Tensor:
    """(…, 1 + K) cells of (…, 1, H, W) that have a value, and that reach each threshold.

    Field by field: the sum of a whole field of bool takes a tenth of the time of sums along its axes.
    """
    limits = torch.tensor([-torch.inf, *thresholds], dtype=rain_rate.dtype).tolist()
    fields = rain_rate.flatten(0, -4).unbind()
    counts = torch.stack([(one >= limit).count_nonzero() for one in fields for limit in limits])
    return counts.view(*rain_rate.shape[:-3], len(limits))


def levels_of_areas(probabilities: Tensor, seen: Tensor, shares: Tensor) -> Tensor:
    """(B, T, K) levels that so large a share of the seen cells reaches; more where probabilities are equal.

    Args:
        probabilities: (B, T, K, H, W).
        seen: (B, 1, H, W) which cells count.
        shares: (B, T, K) in [0, 1].
    """
    levels = torch.ones_like(shares)
    for number, (said, mask, wanted) in enumerate(zip(probabilities, seen[:, 0], shares, strict=True)):
        count = int(mask.sum())
        places = (wanted * count).round().long().tolist()
        for row, lead in enumerate(said if count else []):
            for column, of_cells in enumerate(lead[:, mask]):  # (N,)
                levels[number, row, column] = _level(of_cells, places[row][column])
    return levels


def _level(probabilities: Tensor, count: int) -> Tensor:
    """() the level that so many probabilities (N,) reach; one that none reaches, if any is less, for 0."""
    if count:
        return probabilities.kthvalue(len(probabilities) - min(count, len(probabilities)) + 1).values
    highest = probabilities.max()
    return torch.nextafter(highest, highest.new_tensor(2.0)).clamp(max=1.0)
