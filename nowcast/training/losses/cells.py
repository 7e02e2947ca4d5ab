"""Losses that are sums over cells; those outside the mask have neither weight nor gradient."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.scaling import GreyScale

Reduction = Literal["sequence", "cell"]


def masked(target: Tensor, mask: Tensor) -> Tensor:
    """Target with 0 where it does not count, so that NaN cannot reach a gradient."""
    return torch.where(mask, target, torch.zeros_like(target))


class CellLoss(nn.Module):
    """A loss that is a sum over cells: per sequence, or per valid cell.

    Args:
        reduction: "sequence" = summed over time and space, averaged over the batch (the paper's nats per
            sequence); "cell" = mean over valid cells.
    """

    def __init__(self, reduction: Reduction) -> None:
        """Check the reduction."""
        super().__init__()
        if reduction not in ("sequence", "cell"):
            raise ValueError(f"loss.reduction must be sequence or cell, got {reduction!r}")
        self.reduction = reduction

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each cell."""
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        cells = self.per_cell(logits, masked(target, mask))
        total = torch.where(mask, cells, torch.zeros_like(cells)).sum()  # over the thresholds of a cell, too
        return total / (len(logits) if self.reduction == "sequence" else mask.sum().clamp(min=1))


class CrossEntropy(CellLoss):
    """-[T log P + (1-T) log(1-P)] with P = sigmoid(logits). Source: Shi et al. 2015, section 4.1."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy in nats."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


class MeanSquaredError(CellLoss):
    """(P - T)² on grey values; on probabilities of exceedance the Brier score."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Squared error."""
        return (torch.sigmoid(logits) - target).square()


class MeanAbsoluteError(CellLoss):
    """|P - T|."""

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Absolute error."""
        return (torch.sigmoid(logits) - target).abs()


class LogCosh(CellLoss):
    """ln cosh(range · (P - T)): squared for small differences, absolute for large ones.

    Args:
        reduction: See CellLoss.
        range: Of the values that grey 0 to 1 stand for.

    Raises:
        ValueError: A range that is not above 0.

    Source: Ayzel et al. 2020, doi:10.5194/gmd-13-2631-2020, of differences of ln(x + 0.01).
    """

    of_thresholds = False

    def __init__(self, reduction: Reduction, range: float) -> None:
        """Check the range."""
        super().__init__(reduction)
        if range <= 0:
            raise ValueError(f"loss.range must be above 0, got {range}")
        self.range = range

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Ln cosh, without its exponentials."""
        error = self.range * (torch.sigmoid(logits) - target).abs()
        return error + F.softplus(-2 * error) - math.log(2)


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
        target = masked(target, mask)
        borders: Tensor = self.borders  # type: ignore[assignment]
        table: Tensor = self.weights  # type: ignore[assignment]
        weight = table[torch.bucketize(target.contiguous(), borders.to(target.dtype), right=True)] * mask
        error = torch.sigmoid(logits) - target
        cells = weight * (self.mse_factor * error.square() + self.mae_factor * error.abs())
        return self.scale * cells.sum() / (logits.shape[0] * logits.shape[1])


class WeightedError(CellLoss):
    """|P - T| on grey values, weighted by the observed rain rate R: min(largest, 1 + R).

    Args:
        reduction: See CellLoss.
        largest: Weight that no cell exceeds, at least 1.
        zr_a: Z-R factor by which grey values become rain rates.
        zr_b: Z-R exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Raises:
        ValueError: A largest weight below 1.

    Source of the weights: Ravuri et al. 2021, doi:10.1038/s41586-021-03854-z, with 24; there they weigh errors of rain
    rates.
    """

    of_thresholds = False

    def __init__(
        self, reduction: Reduction, largest: float, zr_a: float, zr_b: float, min_dbz: float, max_dbz: float
    ) -> None:
        """Check the weight."""
        super().__init__(reduction)
        if not largest >= 1:
            raise ValueError(f"loss.largest must be at least 1, got {largest}")
        self.largest = largest
        self.scaling = [GreyScale(zr_a, zr_b, min_dbz, max_dbz)]  # in a list: its constants are no state of the loss

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted absolute error."""
        weight = (1 + self.scaling[0].from_grey(target)).clamp(max=self.largest)
        return weight * (torch.sigmoid(logits) - target).abs()


class Pinball(CellLoss):
    """q·(T - P) where T lies above P, else (1 - q)·(P - T): P learns the quantile q of what is observed.

    A quantile of grey values is that of rain rates, too. It is one value for each cell: not a field that could be.

    Args:
        reduction: See CellLoss.
        quantile: q, between 0 and 1.

    Raises:
        ValueError: It is not.

    Source: Koenker and Bassett 1978, doi:10.2307/1913643.
    """

    of_thresholds = False

    def __init__(self, reduction: Reduction, quantile: float) -> None:
        """Check the quantile."""
        super().__init__(reduction)
        if not 0 < quantile < 1:
            raise ValueError(f"loss.quantile must be between 0 and 1, got {quantile}")
        self.quantile = quantile

    def per_cell(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted absolute error."""
        above = target - torch.sigmoid(logits)
        return torch.maximum(self.quantile * above, (self.quantile - 1) * above)
