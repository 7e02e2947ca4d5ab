"""Scores of whole frames: the ConvLSTM paper's cross-entropy, and MSE, MAE, SSIM and PSNR as OpenSTL counts them."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nowcast.verification.per_frame.metrics import LeadTimeScores

WINDOW = 7  # side of SSIM's uniform window
# scikit-image takes floats to range from -1 to 1; published Moving-MNIST figures were counted so.
DATA_RANGE = 2.0


class FrameScores(LeadTimeScores):
    """Per frame, averaged over sequences, for data in [0, 1] that is observed everywhere.

    cross_entropy: -Σ [T log P + (1-T) log(1-P)] over the pixels of a frame, in nats, from logits; NaN for models
    that have none. Its overall value is the sum over lead times: nats per sequence.
    mse, mae: sum over the pixels of a frame. ssim, psnr (dB): of each frame, clipped to [0, 1]; psnr is inf for a
    perfect frame.

    Args:
        lead_times: T.

    Sources: Shi et al. 2015, section 4.1; OpenSTL, openstl/core/metrics.py; Wang et al. 2004,
    doi:10.1109/TIP.2003.819861 with a 7×7 uniform window and sample covariance, as scikit-image does by default.
    """

    best: ClassVar = {"cross_entropy": "lowest", "mse": "lowest", "mae": "lowest", "ssim": "highest", "psnr": "highest"}
    summed: ClassVar = frozenset({"cross_entropy"})

    def update(self, forecast: Tensor, observed: Tensor, mask: Tensor, logits: Tensor | None) -> None:
        """Add a batch.

        Args:
            forecast: (B, T, C, H, W), meant to be in [0, 1].
            observed: (B, T, C, H, W) in [0, 1].
            mask: (B, T, C, H, W) bool, all True.
            logits: (B, T, C, H, W), of which the forecast is the sigmoid; None = unknown.

        Raises:
            ValueError: Something is masked.
        """
        if not bool(mask.all()):
            raise ValueError(
                "frame_scores=frames is for data observed everywhere; use frame_scores=pooled or frame_scores=paper"
            )
        axes = (2, 3, 4)
        target, error = observed.double(), forecast.double() - observed.double()
        clipped = forecast.double().clamp(0, 1)
        entropy = torch.full(target.shape[:2], torch.nan, dtype=torch.float64, device=target.device)
        if logits is not None:
            entropy = F.binary_cross_entropy_with_logits(logits.double(), target, reduction="none").sum(dim=axes)
        values = {
            "cross_entropy": entropy,
            "mse": error.square().sum(dim=axes),
            "mae": error.abs().sum(dim=axes),
            "ssim": ssim(clipped, target),
            "psnr": -10 * (clipped - target).square().mean(dim=axes).log10(),
        }  # each (B, T)
        self.add(values, torch.ones_like(entropy, dtype=torch.bool))


def ssim(forecast: Tensor, observed: Tensor) -> Tensor:
    """Structural similarity of each frame: two (B, T, C, H, W) → (B, T), in [-1, 1], best 1.

    Raises:
        ValueError: Frames smaller than the window.
    """
    batch, steps, channels, height, width = forecast.shape
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs frames of at least {WINDOW}x{WINDOW} pixels, got {height}x{width}")

    def mean(frames: Tensor) -> Tensor:
        return F.avg_pool2d(frames.reshape(-1, 1, height, width), WINDOW, stride=1)

    x, y = mean(forecast), mean(observed)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    xx = sample * (mean(forecast.square()) - x.square())
    yy = sample * (mean(observed.square()) - y.square())
    xy = sample * (mean(forecast * observed) - x * y)
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    similarity = (2 * x * y + c1) * (2 * xy + c2) / ((x.square() + y.square() + c1) * (xx + yy + c2))
    return similarity.mean(dim=(1, 2, 3)).view(batch, steps, channels).mean(dim=2)
