"""Errors of the rain rate, cell by cell."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.scaling import GreyScale
from nowcast.verification.scores.family import Axis, Best, in_order

MOMENTS = ("n", "f", "o", "ff", "oo", "fo", "absolute")  # n, Σf, Σo, Σf², Σo², Σfo, Σ|f-o|


class Continuous:
    """Mean absolute, root mean square and mean error in mm h-1, their square and Pearson's correlation.

    mae = Σ|f-o|/n, rainfall_mse = Σ(f-o)²/n (mm2 h-2), rmse its root, me = Σ(f-o)/n, correlation = cov(f,o)/(σf·σo).

    Source: Wilks, Statistical Methods in the Atmospheric Sciences, ch. 8.
    """

    needs: Need = "single"
    axes: dict[str, Axis] = {"moment": MOMENTS}  # noqa: RUF012 (a constant)
    statistics_axes: dict[str, tuple[str, ...]] = {"moments": ("moment",)}  # noqa: RUF012
    best: dict[str, Best] = {  # noqa: RUF012
        "mae": "lowest", "rmse": "lowest", "me": "nearest zero", "rainfall_mse": "lowest", "correlation": "highest",
    }  # fmt: skip

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """One number per lead time."""
        return dict.fromkeys(self.best, ())

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Moments (B, 7) of each sample."""
        f, o = forecast.flatten(1).double(), observed.flatten(1).double()  # (B, N)
        parts = (
            mask.flatten(1).sum(1).double(),
            f.sum(1),
            o.sum(1),
            *(torch.linalg.vecdot(a, b) for a, b in ((f, f), (o, o), (f, o))),
            (f - o).abs().sum(1),
        )
        return {"moments": torch.stack(parts, dim=1)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…); NaN without data, correlation also where forecast or observation is constant."""
        n, f, o, ff, oo, fo, absolute = sums["moments"].unbind(-1)
        mse = ((ff - 2 * fo + oo) / n).clamp(min=0)
        covariance = fo / n - f * o / n**2
        variances = (ff / n - (f / n) ** 2) * (oo / n - (o / n) ** 2)
        # Rounding leaves ~1e-16 of the squares as the variance of a constant field.
        constant = variances <= 1e-14 * (ff / n) * (oo / n)
        correlation = torch.where(constant, torch.nan, covariance / variances.clamp(min=0).sqrt())
        return {
            "mae": absolute / n,
            "rmse": mse.sqrt(),
            "me": (f - o) / n,
            "rainfall_mse": mse,
            "correlation": correlation,
        }


class Balanced:
    """HKO-7's balanced errors of grey values: Σ w·(p-t)² and Σ w·|p-t| over a frame, averaged over frames.

    Args:
        thresholds: Rain rates in mm h-1 where the weight changes, rising.
        weights: One more: the weight w below the first, from the first, …, by the observed rate.
        zr_a: Factor of the Z-R relation of the grey scale.
        zr_b: Exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Raises:
        ValueError: Thresholds do not rise, or there is not one weight more.

    Source: Shi et al. 2017, arXiv:1706.03458, section 4.2; sums over a frame's cells, not means, as in their release.
    """

    needs: Need = "single"
    axes: dict[str, Axis] = {}  # noqa: RUF012 (a constant)
    statistics_axes: dict[str, tuple[str, ...]] = {"squared": (), "absolute": (), "frames": ()}  # noqa: RUF012
    best: dict[str, Best] = {"balanced_mse": "lowest", "balanced_mae": "lowest"}  # noqa: RUF012

    def __init__(
        self,
        thresholds: Sequence[float],
        weights: Sequence[float],
        zr_a: float,
        zr_b: float,
        min_dbz: float,
        max_dbz: float,
    ) -> None:
        """Keep the weights."""
        self.thresholds, self.weights = in_order(tuple(thresholds), "thresholds"), tuple(weights)
        if len(self.weights) != len(self.thresholds) + 1:
            raise ValueError(f"need one weight more than thresholds, got {list(weights)} and {list(thresholds)}")
        self.grey = GreyScale(zr_a, zr_b, min_dbz, max_dbz)

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """One number per lead time."""
        return dict.fromkeys(self.best, ())

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Weighted sums (B,), and whether a sample has any cell."""
        weight = torch.full_like(observed, self.weights[0])
        for threshold, w in zip(self.thresholds, self.weights[1:], strict=True):
            weight = torch.where(observed >= threshold, w, weight)
        weight = torch.where(mask, weight, 0.0).double()
        error = (self.grey.to_grey(forecast).double() - self.grey.to_grey(observed).double()).abs()
        return {
            "squared": (weight * error.square()).flatten(1).sum(1),
            "absolute": (weight * error).flatten(1).sum(1),
            "frames": mask.flatten(1).any(1).double(),
        }

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…)."""
        return {
            "balanced_mse": sums["squared"] / sums["frames"],
            "balanced_mae": sums["absolute"] / sums["frames"],
        }
