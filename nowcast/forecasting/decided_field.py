"""The field of rain that probabilities of exceedance are decided to, by a level for each threshold.

It reaches a threshold exactly where the probability of that reaches its level, and shows no step there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CERTAIN = 1e-6  # logits of probabilities nearer than this to 0 or 1 are those of this


def decided_field(
    probabilities: Tensor, levels: Tensor, thresholds: Sequence[float], heavy: Tensor | None = None
) -> Tensor:
    """Rain rate (B, T, 1, H, W), mm h-1, that rises with every probability.

    - From one threshold to the next: linear in the logarithm of the rate by how far, in logits, the probability of the
      lower one is above its level, and that of the upper one below.
    - Above the last: odds twice (four times) those of the level are ½ (¾) of the way, in the logarithm, to a rate as
      far beyond it as it is from the one before, which is not passed. With `heavy` knots it is changed to what they
      say belongs to it.
    - Below the first: 0. Nothing was said of less rain, as a radar says nothing of less than it can measure.

    A cell that misses a threshold misses those above it, whatever their probabilities: where levels are such that it
    would not, the cautious one counts.

    Args:
        probabilities: (B, T, K, H, W) of at least so much rain, falling along K; NaN = no forecast, of the cell.
        levels: (T, K) probabilities from which on it rains so much, or (B, T, K).
        thresholds: K rain rates in mm h-1, rising, the first above 0.
        heavy: (B, 2, T, Q) Q rates from the last threshold on that the odds make, rising, and those that the cells are
            to have in their place, mm h-1; NaN where there are none to go by. None = as the odds say.
    """
    levels = levels.to(probabilities).expand(probabilities.shape[:3])[..., None, None]
    wet = probabilities[:, :, 0] >= levels[:, :, 0]  # most cells are not, and need no logarithms
    field = torch.zeros_like(probabilities[:, :, 0])
    said, limits = (part.movedim(2, 0)[:, wet] for part in (probabilities, levels.expand_as(probabilities)))  # (K, N)
    field[wet] = rates_of_cells(said, limits, thresholds)
    if heavy is not None:
        _match_heavy(field, heavy.to(field), _neighbours(thresholds, field.dtype)[0][-1])
    return field.masked_fill(probabilities.isnan().any(dim=2), torch.nan)[:, :, None]


def rates_of_cells(probabilities: Tensor, levels: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Rain rates (N,) of cells that reach the first threshold, by probabilities and levels (K, N)."""
    reaching, below = _neighbours(thresholds, probabilities.dtype)
    margins = _margin(probabilities, levels)
    field = torch.zeros_like(margins[0])
    reached = torch.ones_like(field, dtype=torch.bool)
    for k, margin in enumerate(margins):
        reached = reached & (probabilities[k] >= levels[k])  # not the margin, which rounding may put on the other side
        part = _part(margin.clamp(min=0), margins[k + 1] if k + 1 < len(margins) else None)
        rate = thresholds[k] * (_next(thresholds, k) / thresholds[k]) ** part
        field = torch.where(reached, rate.clamp(reaching[k], below[k + 1]), field)
    return field


def _match_heavy(field: Tensor, heavy: Tensor, least: float) -> None:
    """Change the rates of (B, T, H, W) from `least` mm h-1 on by knots (B, 2, T, Q)."""
    for one, told, matched in zip(field.flatten(0, 1), *heavy.transpose(0, 1).flatten(1, 2), strict=True):
        reached = one >= least
        if told.isfinite().all() and reached.any():
            one[reached] = _between(one[reached], told, matched).clamp(min=least)


def _between(values: Tensor, told: Tensor, matched: Tensor) -> Tensor:
    """Values (N,) as what belongs to them: linear between (Q,) knots, in the middle where several are alike."""
    found = []
    for right in (False, True):
        upper = torch.searchsorted(told, values, right=right).clamp(1, len(told) - 1)
        width = (told[upper] - told[upper - 1]).clamp(min=torch.finfo(told.dtype).tiny)
        share = ((values - told[upper - 1]) / width).clamp(0, 1)
        found.append(torch.lerp(matched[upper - 1], matched[upper], share))
    return (found[0] + found[1]) / 2


def _margin(probability: Tensor, level: Tensor) -> Tensor:
    """How far the probability is above its level, in logits."""
    return torch.logit(probability, CERTAIN) - torch.logit(level, CERTAIN)


def _part(above: Tensor, upper: Tensor | None) -> Tensor:
    """Share of the way to the next threshold, in [0, 1], of margins of this one and the next; None = there is none."""
    if upper is None:
        return 1 - torch.exp(-above)
    return above / (above - upper.clamp(max=0)).clamp(min=torch.finfo(above.dtype).tiny)


def _next(thresholds: Sequence[float], k: int) -> float:
    """The next threshold, or what takes its place beyond the last."""
    if k + 1 < len(thresholds):
        return thresholds[k + 1]
    return thresholds[-1] ** 2 / thresholds[-2] if len(thresholds) > 1 else 2 * thresholds[-1]


def _neighbours(thresholds: Sequence[float], dtype: torch.dtype) -> tuple[list[float], list[float]]:
    """For each threshold the least number that reaches it and the greatest that does not, and at last infinity.

    Of the type of the field, and true of the threshold as it is and as that type has it: 0.7 is more than its float32.
    """
    reaching, below = [], []
    for threshold in thresholds:
        rounded, exact = torch.tensor(threshold, dtype=dtype), torch.tensor(threshold, dtype=torch.float64)
        up, down = (torch.nextafter(rounded, rounded.new_tensor(bound)) for bound in (torch.inf, 0.0))
        reaching.append(float(rounded if rounded >= exact else up))
        below.append(float(down))
    return reaching, [*below, torch.inf]
