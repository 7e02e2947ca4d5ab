"""Probability of rain from the neighbourhood of the place that the motion brings along."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nowcast.models.baselines.extrapolation import Extrapolation


class LagrangianProbability(nn.Module):
    """The share of cells that reach a threshold, in a disc of the advected last frame that grows with lead time.

    The disc has a diameter of `slope` cells per step and holds the cells whose centres lie in it, at least the one in
    its middle; cells outside the frame or without a value do not count. A cell whose own trajectory comes from where
    nothing is known has no probability.

    Args:
        pairs: Of frames that the motion is found from, see Extrapolation.
        smoothing_cells: Of the motion, see there.
        slope: Diameter of the disc in cells per step; Germann and Zawadzki found 1 km per minute of lead time best.
        thresholds: K rain rates in mm h-1, rising, the first above 0.

    Raises:
        ValueError: A setting is out of its range.

    Source: Germann and Zawadzki 2004, doi:10.1175/1520-0450(2004)043<0074:SDOTPO>2.0.CO;2 (local Lagrangian).
    """

    needs_training = False
    reference = "Germann and Zawadzki 2004, doi:10.1175/1520-0450(2004)043<0074:SDOTPO>2.0.CO;2"

    def __init__(self, pairs: int, smoothing_cells: float, slope: float, thresholds: Sequence[float]) -> None:
        """Keep the settings."""
        super().__init__()
        self.extrapolation = Extrapolation(pairs, smoothing_cells)
        self.slope, self.thresholds = slope, tuple(thresholds)
        if slope < 0:
            raise ValueError(f"slope must be at least 0 cells per step, got {slope}")
        if not self.thresholds or self.thresholds[0] <= 0 or sorted(set(self.thresholds)) != list(self.thresholds):
            raise ValueError(f"thresholds must rise strictly from above 0 mm/h, got {list(self.thresholds)}")

    @property
    def input_steps(self) -> int:
        """Frames that it looks at."""
        return self.extrapolation.input_steps

    def forward(self, rain_rate: Tensor, forecast_steps: int) -> Tensor:
        """Probabilities.

        Args:
            rain_rate: (B, T_in, 1, H, W) mm h-1, T_in at least 2, NaN = no data.
            forecast_steps: Frames to predict.

        Returns:
            (B, forecast_steps, K, H, W) in [0, 1]; NaN where the advected frame has no value.

        Raises:
            ValueError: Fewer than two input frames, or several channels.
        """
        if rain_rate.shape[2] != 1:
            raise ValueError(f"probabilities are of one channel, got {rain_rate.shape[2]}")
        advected = self.extrapolation(rain_rate, forecast_steps)
        limits = advected.new_tensor(self.thresholds).view(-1, 1, 1)
        leads = [
            share_in_disc(frame >= limits, ~frame.isnan(), self.slope * (step + 1) / 2)
            for step, frame in enumerate(advected.unbind(1))
        ]
        return torch.stack(leads, dim=1).to(advected.dtype)


def share_in_disc(reached: Tensor, known: Tensor, radius: float) -> Tensor:
    """The share of known cells within `radius` cells that are reached, float64.

    Args:
        reached: (B, K, H, W) bool, False where nothing is known.
        known: (B, 1, H, W) bool.
        radius: At least 0.

    Returns:
        (B, K, H, W); NaN in cells that are not known.
    """
    pad = [min(int(radius), side - 1) for side in reached.shape[-2:]]
    size = [side + more for side, more in zip(reached.shape[-2:], pad, strict=True)]
    dy, dx = (_offsets(side, more, reached.device) for side, more in zip(size, pad, strict=True))
    disc = (dy[:, None].square() + dx.square() <= radius**2).double()
    spectra = torch.fft.rfft2(torch.cat([reached, known], dim=1).double(), s=size) * torch.fft.rfft2(disc)
    counts = torch.fft.irfft2(spectra, s=size)[..., : reached.shape[-2], : reached.shape[-1]].round()  # whole cells
    share: Tensor = counts[:, :-1] / counts[:, -1:].clamp(min=1)
    return share.masked_fill(~known, torch.nan)


def _offsets(size: int, pad: int, device: torch.device) -> Tensor:
    """0 … pad, and the negative ones behind them, as a periodic axis has them."""
    places = torch.arange(size, dtype=torch.float64, device=device)
    return torch.where(places <= pad, places, places - size)
