"""Losses of whole fields: their spectra, and how their values are distributed."""

import math

import torch
from torch import Tensor, nn

from nowcast.training.losses.cells import masked


class FourierLoss(nn.Module):
    """FACL: first where rain is, then how its amplitudes are distributed over wavelengths, which keeps fields sharp.

    √(H·W) · (p · (1 - Σ P·T / √(Σ P² · Σ T²)) + (1 - p) · mean (|F P| - |F T|)²), with grey values P and T, sums over a
    batch and F the orthonormal Fourier transform of each frame. The first part is the authors' correlation of the
    transforms, which is that of the fields (Parseval). p falls linearly from 1 to 0 and is 0 for the last part of the
    training; in validation it is 1/2, so that losses of epochs are comparable.

    Cells outside the mask are 0 in both fields: they add the same to both, and a spectrum is that of the masked field.

    Args:
        amplitude_only: Part of the training at the end with p = 0, in [0, 1).

    Raises:
        ValueError: It is not.

    Source: Yan et al. 2024, arXiv:2410.23159. Unlike there, where each step takes one of the two parts by chance, each
    takes both by their chances: the same gradient in the mean, and nothing random to be kept in a checkpoint.
    """

    of_thresholds = False
    progress = 0.0  # part of the training that is done

    def __init__(self, amplitude_only: float) -> None:
        """Check the part."""
        super().__init__()
        if not 0 <= amplitude_only < 1:
            raise ValueError(f"loss.amplitude_only must be in [0, 1), got {amplitude_only}")
        self.amplitude_only = amplitude_only

    @property
    def share(self) -> float:
        """The correlation's p."""
        return max(0.0, 1 - self.progress / (1 - self.amplitude_only)) if self.training else 0.5

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        said, seen = torch.sigmoid(logits) * mask, masked(target, mask)
        both = (said * seen).sum() / (said.square().sum() * seen.square().sum()).clamp(min=_tiny(said)).sqrt()
        correlation = torch.where(seen.any(), 1 - both, 0.0)
        amplitudes = (torch.fft.rfft2(field, norm="ortho").abs() for field in (said, seen))
        ours, theirs = amplitudes
        # A transform of real values is its own mirror image: all columns but the first and the middle one count twice.
        width = logits.shape[-1]
        twice = torch.full((ours.shape[-1],), 2.0, dtype=ours.dtype, device=ours.device)
        twice[0] = 1.0
        if width % 2 == 0:
            twice[-1] = 1.0
        amplitude = ((ours - theirs).square() * twice).sum() / logits.numel()
        total: Tensor = self.share * correlation + (1 - self.share) * amplitude
        return math.sqrt(logits.shape[-2] * width) * total


class ProbabilityMatching(nn.Module):
    """How far forecasts are off in each cell, and how far their values are off wherever they lie.

    (1 - matching) · mean (P - T)² + matching · mean (P_(i) - T_(i))² over valid cells, with grey values P and T and the
    i-th largest ones of a frame P_(i) and T_(i): the second part is 0 for the right values in wrong places.

    Args:
        matching: Of the second part, 0 to 1.

    Raises:
        ValueError: It is not.

    Source of the idea: Ebert 2001, doi:10.1175/1520-0493(2001)129<2461:AOAPMS>2.0.CO;2 (a forecast gets the
    distribution of another one, by rank); as a loss it is the squared Wasserstein distance of the values of two frames.
    """

    of_thresholds = False

    def __init__(self, matching: float) -> None:
        """Check the factor."""
        super().__init__()
        if not 0 <= matching <= 1:
            raise ValueError(f"loss.matching must be in [0, 1], got {matching}")
        self.matching = matching

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss."""
        said, seen = torch.sigmoid(logits), masked(target, mask)
        valid = mask.sum().clamp(min=1)
        place = ((said - seen).square() * mask).sum() / valid
        # As many cells of both are masked: below all others they stand side by side.
        sorted_fields = (torch.where(mask, field, -1.0).flatten(2).sort(dim=2).values for field in (said, seen))
        ours, theirs = sorted_fields
        return (1 - self.matching) * place + self.matching * (ours - theirs).square().sum() / valid


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny
