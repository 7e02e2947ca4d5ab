"""The scores of Shi et al. 2015, table 2: per frame, then averaged, with epsilons."""

from typing import ClassVar

import torch
from torch import Tensor

from nowcast.scaling import GreyScale
from nowcast.verification.per_frame.metrics import LeadTimeScores


class PaperScores(LeadTimeScores):
    """CSI, POD, FAR, correlation and rainfall-MSE of each frame, averaged over frames.

    Every frame counts alike: one with little rain as much as one full of it, and one without any rain in forecast
    and observation has CSI = POD = 1 and FAR = 0, by the epsilon. Rain is R > threshold, strictly. Correlation is
    the uncentred cosine of grey values. Pooled scores (the default) sum the counts of all frames first instead.

        CSI = (h + ε) / (h + m + f + ε)      POD = (h + ε) / (h + m + ε)      FAR = f / (h + f + ε)
        correlation = Σ P·T / (sqrt(Σ P²)·sqrt(Σ T²) + ε)      rainfall_mse = mean (R_P - R_T)²
        R = 10^((70 P - 10 - 10 log10 a) / (10 b)) mm h-1, also at grey 0 (0.0096 mm h-1)

    Args:
        lead_times: T.
        threshold: mm h-1.
        epsilon: ε.
        zr_a: Factor of the Z-R relation.
        zr_b: Exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Only cells where the mask is True count; a frame without any is left out.

    Source: the authors' release of Shi et al. 2015 (docs/protocol.md, section 3).
    """

    best: ClassVar = {
        "rainfall_mse": "lowest", "csi": "highest", "far": "lowest", "pod": "highest", "correlation": "highest",
    }  # fmt: skip

    def __init__(
        self,
        lead_times: int,
        threshold: float,
        epsilon: float,
        zr_a: float,
        zr_b: float,
        min_dbz: float,
        max_dbz: float,
    ) -> None:
        """Keep the constants."""
        super().__init__(lead_times)
        self.grey_scale = GreyScale(zr_a, zr_b, min_dbz, max_dbz)
        self.threshold, self.epsilon = threshold, epsilon

    def update(self, forecast: Tensor, observed: Tensor, mask: Tensor, logits: Tensor | None) -> None:
        """Add a batch.

        Args:
            forecast: (B, T, C, H, W) mm h-1; NaN = missing, which counts as no rain.
            observed: (B, T, C, H, W) mm h-1.
            mask: (B, T, C, H, W) bool, True = valid observation.
            logits: Not needed.
        """
        axes, eps = (2, 3, 4), self.epsilon
        predicted, truth = (
            torch.where(mask, self.grey_scale.to_grey(rate.double().nan_to_num(0.0)), 0.0)
            for rate in (forecast, observed)
        )
        rates = [self.grey_scale.zr.rain_rate(self.grey_scale.to_dbz(grey)) for grey in (predicted, truth)]
        rain, seen = ((rate > self.threshold) & mask for rate in rates)
        hits, misses, false_alarms = (
            cells.sum(dim=axes).double() for cells in (rain & seen, ~rain & seen, rain & ~seen)
        )
        cells = mask.sum(dim=axes)
        norm = predicted.square().sum(dim=axes).sqrt() * truth.square().sum(dim=axes).sqrt()
        squared = torch.where(mask, (rates[0] - rates[1]).square(), 0.0).sum(dim=axes)
        values = {
            "rainfall_mse": squared / cells.clamp(min=1),
            "csi": (hits + eps) / (hits + misses + false_alarms + eps),
            "far": false_alarms / (hits + false_alarms + eps),
            "pod": (hits + eps) / (hits + misses + eps),
            "correlation": (predicted * truth).sum(dim=axes) / (norm + eps),
        }  # each (B, T)
        self.add(values, cells > 0)
