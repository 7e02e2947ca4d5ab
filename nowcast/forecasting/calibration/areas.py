"""Decisions by area: as many cells as extrapolation reaches a threshold in, the most probable ones.

Levels that were fitted fail on weather unlike that of the fit: they make small showers vanish. How large an area it
rains on changes little within an hour, and which cells it will be is what a network knows better. What flows in from
outside extrapolation does not know: there the network says whether it rains at all, by levels of bias 1.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from nowcast.forecasting.decided_field import rates_of_cells

QUANTILES = 17  # of heavy rain: from the least rate to the greatest


def shares_reached(
    field: Tensor, last: Tensor, thresholds: Sequence[float], probabilities: Tensor, levels: Tensor
) -> Tensor:
    """(B, T, K) share of the seen cells in which a field reaches each threshold.

    Of cells that are seen, and of which the field says nothing, none count if no probability there reaches its level;
    if one does, as large a share as of the last frame on the whole, or those that reach it, if they are more.

    Args:
        field: (B, T, 1, H, W) mm h-1, NaN = no forecast.
        last: (B, 1, H, W) mm h-1, the last frame; NaN = not seen.
        thresholds: K rain rates in mm h-1.
        probabilities: (B, T, K, H, W) of reaching them.
        levels: (T, K) of bias 1.
    """
    seen = last.isfinite()[:, None]  # (B, 1, 1, H, W)
    unknown = seen & ~field.isfinite()
    cells = seen.sum(dim=(2, 3, 4)).clamp(min=1)  # (B, 1)
    before = _counts(last, thresholds)  # (B, K)
    reached = _counts(field.masked_fill(~seen, torch.nan), thresholds)  # (B, T, K)
    likely = _likely(probabilities, levels, unknown)
    as_before = unknown.sum(dim=(2, 3, 4))[..., None] * (before / cells)[:, None]
    inflow = torch.where(likely > 0, torch.maximum(likely.to(as_before), as_before), 0.0)
    return (reached + inflow) / cells[..., None]


def _likely(probabilities: Tensor, levels: Tensor, cells: Tensor) -> Tensor:
    """(B, T, K) of the cells (B, T, 1, H, W), those whose probability (B, T, K, H, W) reaches its level (T, K)."""
    leads = zip(probabilities.flatten(0, 1), levels.repeat(len(cells), 1), cells.flatten(0, 2), strict=True)
    counts = [(said[:, mask] >= level[:, None]).sum(dim=1) for said, level, mask in leads]
    return torch.stack(counts).view(*cells.shape[:2], -1)


def _counts(rain_rate: Tensor, thresholds: Sequence[float]) -> Tensor:
    """(…, K) cells of (…, 1, H, W) that reach each threshold; NaN reaches none.

    Field by field: the sum of a whole field of bool takes a tenth of the time of sums along its axes.
    """
    limits = torch.tensor(thresholds, dtype=rain_rate.dtype).tolist()
    fields = rain_rate.flatten(0, -4).unbind()
    counts = torch.stack([(one >= limit).count_nonzero() for one in fields for limit in limits])
    return counts.view(*rain_rate.shape[:-3], len(limits))


def heavy_rates(
    field: Tensor, probabilities: Tensor, levels: Tensor, seen: Tensor, thresholds: Sequence[float]
) -> Tensor:
    """Knots (B, 2, T, QUANTILES) that give rain beyond the last threshold the rates that a field has there.

    Of so heavy rain too little is seen for thresholds of its own; what there is will be about as heavy for a while.

    Args:
        field: (B, T, 1, H, W) mm h-1, NaN = no forecast.
        probabilities: (B, T, K, H, W) of reaching the thresholds.
        levels: (B, T, K) from which on it is decided that they are reached.
        seen: (B, 1, H, W) which cells count.
        thresholds: K rain rates in mm h-1.

    Returns:
        Quantiles of the rates that odds make of the probabilities and those of the field, in mm h-1, from the least to
        the greatest; NaN where one of them reaches no such rate.
    """
    knots = field.new_full((len(field), 2, field.shape[1], QUANTILES), math.nan)
    ranks = torch.linspace(0, 1, QUANTILES).to(knots)
    for b, t in product(range(len(field)), range(field.shape[1])):
        reached = seen[b, 0] & (probabilities[b, t, -1] >= levels[b, t, -1])
        said = probabilities[b, t][:, reached]  # (K, N)
        odds = rates_of_cells(said, levels[b, t][:, None].expand_as(said), thresholds)
        both = [rates[rates >= thresholds[-1]] for rates in (odds, field[b, t])]
        if all(len(rates) for rates in both):
            knots[b, :, t] = torch.stack([rates.quantile(ranks) for rates in both])
    return knots


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
