"""Losses between logits and what a head compares them with; cells outside the mask have neither weight nor gradient.

All are called as loss(logits, target, mask): logits (B, T, channels, H, W) before the sigmoid, target in [0, 1] of the
same shape – grey values, or whether a threshold was reached – (NaN allowed where the mask is False), and mask
(B, T, 1, H, W) bool. A batch without a valid cell has loss 0 and gradient 0.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.forecast import says_of
from nowcast.forecasting.heads import Head
from nowcast.scaling import GreyScale

Reduction = Literal["sequence", "cell"]


def _masked(target: Tensor, mask: Tensor) -> Tensor:
    """Target with 0 where it does not count, so that NaN cannot reach a gradient."""
    return torch.where(mask, target, torch.zeros_like(target))


class _CellLoss(nn.Module):
    """A loss that is a sum over cells: per sequence, or per valid cell.

    Args:
        reduction: "sequence" = summed over time and space, averaged over the batch (the paper's nats per
            sequence); "cell" = mean over valid cells.
    """

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        if reduction not in ("sequence", "cell"):
            raise ValueError(f"loss.reduction must be sequence or cell, got {reduction!r}")
        self.reduction = reduction

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each cell."""
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        cells = self.per_cell(logits, _masked(target, mask))
        total = torch.where(mask, cells, torch.zeros_like(cells)).sum()  # over the thresholds of a cell, too
        return total / (len(logits) if self.reduction == "sequence" else mask.sum().clamp(min=1))


class CrossEntropy(_CellLoss):
    """-[T log P + (1-T) log(1-P)] with P = sigmoid(logits). Source: Shi et al. 2015, section 4.1."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy in nats."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


class MeanSquaredError(_CellLoss):
    """(P - T)² on grey values; on probabilities of exceedance the Brier score."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Squared error."""
        return (torch.sigmoid(logits) - target).square()


class MeanAbsoluteError(_CellLoss):
    """|P - T|."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Absolute error."""
        return (torch.sigmoid(logits) - target).abs()


class BalancedError(nn.Module):
    """HKO-7's B-MSE + B-MAE: errors weighted by the observed rain rate, so that heavy rain counts.

    Args:
        thresholds: Rain rates in mm h-1 at which the weight changes, rising.
        weights: One more than thresholds: the weight below the first, between, and from the last upwards.
        mse_factor: Factor of the squared part.
        mae_factor: Factor of the absolute part.
        scale: Factor of the whole.
        zr_a: Z-R factor by which grey values become rain rates.
        zr_b: Z-R exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Source: Shi et al. 2017, arXiv:1706.03458, section 3.3: per frame a sum over cells, averaged over frames.
    """

    of_thresholds = False

    def __init__(
        self,
        thresholds: Sequence[float],
        weights: Sequence[float],
        mse_factor: float,
        mae_factor: float,
        scale: float,
        zr_a: float,
        zr_b: float,
        min_dbz: float,
        max_dbz: float,
    ) -> None:
        """Turn the thresholds into grey values once."""
        super().__init__()
        if len(weights) != len(thresholds) + 1 or sorted(set(thresholds)) != list(thresholds):
            raise ValueError(
                f"loss.thresholds must rise and loss.weights have one entry more, got {list(thresholds)}, "
                f"{list(weights)}"
            )
        grey = GreyScale(zr_a, zr_b, min_dbz, max_dbz).to_grey(torch.tensor(list(thresholds), dtype=torch.float64))
        self.register_buffer("borders", grey.float(), persistent=False)
        self.register_buffer("weights", torch.tensor(list(weights), dtype=torch.float32), persistent=False)
        self.mse_factor, self.mae_factor, self.scale = mse_factor, mae_factor, scale

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        target = _masked(target, mask)
        borders: Tensor = self.borders  # type: ignore[assignment]
        table: Tensor = self.weights  # type: ignore[assignment]
        weight = table[torch.bucketize(target.contiguous(), borders.to(target.dtype), right=True)] * mask
        error = torch.sigmoid(logits) - target
        cells = weight * (self.mse_factor * error.square() + self.mae_factor * error.abs())
        return self.scale * cells.sum() / (logits.shape[0] * logits.shape[1])


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
        target = _masked(target, valid)
        cells = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid
        others = (0, 1, 3, 4)  # all but thresholds
        parts = cells.sum(dim=others) / mask.sum().clamp(min=1)
        if self.jaccard:
            said = torch.sigmoid(logits) * valid
            both, seen = (said * target).sum(dim=others), target.sum(dim=others)
            union = said.sum(dim=others) + seen - both
            off = torch.where(seen > 0, 1 - both / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
            parts = parts + self.jaccard * off
        return (weights * parts).sum() / weights.sum()


def refuse_head_without_rain(head: Head, quantity: str) -> None:
    """Refuse thresholds in mm/h for what is no rain.

    Raises:
        UsageError: With the head that fits.
    """
    if head.thresholds and quantity != "rain_rate":
        raise UsageError(
            f"head.thresholds={list(head.thresholds)} are mm/h, and the data is {quantity}: "
            "use model=convlstm head=grey loss=cross_entropy"
        )


def refuse_events_beyond_head(head: Head, thresholds: Sequence[float]) -> None:
    """Refuse to score events of more rain than a head says anything of: they would never be forecast.

    Raises:
        UsageError: With the events that are left, and how the head learns the others.
    """
    beyond = [one for one in thresholds if head.thresholds and not says_of(head.thresholds, one)]
    if beyond:
        left = ",".join(f"{one:g}" for one in thresholds if one not in beyond)
        more = ",".join(f"{one:g}" for one in (*head.thresholds, *beyond))
        raise UsageError(
            f"verification.thresholds={list(thresholds)}: head.thresholds={list(head.thresholds)} says nothing of at "
            f"least {', '.join(f'{one:g}' for one in beyond)} mm/h. Type verification.thresholds=[{left}], or "
            f"head.thresholds=[{more}] and loss.weights= with as many"
        )


def refuse_loss_of_another_head(loss: nn.Module, head: Head) -> None:
    """Refuse a loss that is not of what a head says; cross-entropy and errors are of either.

    Raises:
        UsageError: With what goes together.
    """
    wanted = getattr(loss, "of_thresholds", None)
    if wanted is not None and wanted != bool(head.thresholds):
        says, choose = (
            ("probabilities of exceedance", "loss=exceedance, or model=convlstm_small head=grey")
            if head.thresholds
            else ("amounts", "head=exceedance, or loss=cross_entropy")
        )
        raise UsageError(f"loss {type(loss).__name__} does not fit a head that says {says}: choose {choose}")
    if isinstance(loss, ExceedanceLoss) and len(loss.weights) != len(head.thresholds):  # type: ignore[arg-type]
        raise UsageError(
            f"loss.weights has {len(loss.weights)} entries, head.thresholds {len(head.thresholds)}: "  # type: ignore[arg-type]
            f"give one weight for each of {list(head.thresholds)} mm/h"
        )
