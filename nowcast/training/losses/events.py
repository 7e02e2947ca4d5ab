"""Losses of events: how well thresholds' probabilities, or amounts, say where at least so much rain falls."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.scaling import GreyScale
from nowcast.training.losses.cells import masked


class ExceedanceLoss(nn.Module):
    """Cross-entropy of "at least so much rain" for each threshold, weighted, and how far its area is off.

    Σ_k w_k (mean cross-entropy of threshold k over valid cells + jaccard · (1 - Σ P·T / Σ (P + T - P·T))) / Σ_k w_k,
    where the inner sums are over the valid cells of a batch; a threshold that was nowhere reached has no second part.

    Args:
        weights: One per threshold of the head, 0 or more, not all 0.
        jaccard: Factor of the second part, which presses towards CSI; 0 = cross-entropy alone.

    Raises:
        ValueError: A negative weight or factor, or no positive weight.

    Source of the second part: Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22 (a differentiable Jaccard index).
    """

    of_thresholds = True

    def __init__(self, weights: Sequence[float], jaccard: float) -> None:
        """Keep the settings."""
        super().__init__()
        if not weights or min(weights) < 0 or max(weights) == 0:
            raise ValueError(f"loss.weights must be 0 or more, one of them positive, got {list(weights)}")
        if jaccard < 0:
            raise ValueError(f"loss.jaccard must be 0 or more, got {jaccard}")
        self.jaccard = jaccard
        self.register_buffer("weights", torch.tensor(list(weights), dtype=torch.float32), persistent=False)

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        weights: Tensor = self.weights  # type: ignore[assignment]
        valid = mask.expand_as(logits)
        target = masked(target, valid)
        cells = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid
        others = (0, 1, 3, 4)  # all but thresholds
        parts = cells.sum(dim=others) / mask.sum().clamp(min=1)
        if self.jaccard:
            said = torch.sigmoid(logits) * valid
            both, seen = (said * target).sum(dim=others), target.sum(dim=others)
            union = said.sum(dim=others) + seen - both
            parts = parts + self.jaccard * _off(both, union, seen)
        return (weights * parts).sum() / weights.sum()


class SoftCsi(nn.Module):
    """1 - CSI of amounts, made differentiable; what is learned is no probability, and no mean.

    Σ_k w_k (1 - Σ S·E / Σ (S + E - S·E)) / Σ_k w_k with S = sigmoid((P - p_k) / width), how much a forecast grey
    value P lies above the threshold's p_k, and E whether the observed one reaches it; the inner sums are over the
    valid cells of a batch. A threshold that was nowhere reached has no part. With head=exceedance loss.jaccard is the
    same.

    Args:
        thresholds: K rain rates in mm h-1.
        weights: K, 0 or more, not all 0.
        width: Grey values over which a cell goes over from below to above, > 0.
        zr_a: Z-R factor by which grey values become rain rates.
        zr_b: Z-R exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Raises:
        ValueError: A width that is not above 0, or weights of another number or sign.

    Source: Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22 (a differentiable Jaccard index, as CSI is one).
    """

    of_thresholds = False

    def __init__(
        self,
        thresholds: Sequence[float],
        weights: Sequence[float],
        width: float,
        zr_a: float,
        zr_b: float,
        min_dbz: float,
        max_dbz: float,
    ) -> None:
        """Turn the thresholds into grey values once."""
        super().__init__()
        if len(weights) != len(thresholds) or not weights or min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                f"loss.weights must be one of each of loss.thresholds={list(thresholds)}, 0 or more and one of them "
                f"positive, got {list(weights)}"
            )
        if not width > 0:
            raise ValueError(f"loss.width must be above 0 (in grey values from 0 to 1), got {width}")
        self.width = width
        grey = GreyScale(zr_a, zr_b, min_dbz, max_dbz).to_grey(torch.tensor(list(thresholds), dtype=torch.float64))
        self.register_buffer("borders", grey.float(), persistent=False)
        self.register_buffer("weights", torch.tensor(list(weights), dtype=torch.float32), persistent=False)

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        borders: Tensor = self.borders  # type: ignore[assignment]
        weights: Tensor = self.weights  # type: ignore[assignment]
        target, parts = masked(target, mask), []
        for border in borders.to(logits.dtype):
            said = torch.sigmoid((torch.sigmoid(logits) - border) / self.width) * mask
            event = (target >= border) * mask
            both, seen = (said * event).sum(), event.sum()
            parts.append(_off(both, said.sum() + seen - both, seen))
        return (weights * torch.stack(parts)).sum() / weights.sum()


def _off(both: Tensor, union: Tensor, seen: Tensor) -> Tensor:
    """1 - both / union; 0 where nothing was seen."""
    return torch.where(seen > 0, 1 - both / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
