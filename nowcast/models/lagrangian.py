"""Probabilities of rain in Lagrangian coordinates: extrapolation that a network corrects.

The frames are moved along the motion that optical flow finds to the time of the last one. There a network sees what
grew and what decayed, and adds to the logits of "the last frame, moved, exceeds the threshold"; the sum is moved along
the same motion to each lead time. Before the first step of a training the forecast *is* extrapolation.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nowcast.models.advection import departures, move
from nowcast.models.extrapolation import Extrapolation

FAINTEST = 0.02  # mm h-1: no rain, on a logarithmic scale
WET = 0.1  # mm h-1
INFLOW = -2.0  # logit of the first threshold where the air comes from outside, at first
SLOPES = (math.log(2.0), math.log(0.6))  # logarithms of the prior's slope at the first and the last lead time


class Lagrangian(nn.Module):
    """A network that corrects extrapolation, for `head=exceedance`.

    Args:
        net: Makes, from outputs=K, a network that maps frames (B, T_in, 3, H, W) and a number of steps to corrections
            (B, T_out, K, H, W).
        motion: Finds the motion of the frames.
        thresholds: K rain rates in mm h-1, those of the head.
        forecast_steps: Lead times that are trained; later ones take what the last one learned.
        outputs: K, as many as the head needs.

    Sources: Ritvanen et al. 2023, doi:10.1109/JSTARS.2023.3238016 (a network in Lagrangian coordinates).
    """

    works_on: Literal["grey"] = "grey"  # it is a network, to be trained
    sees: Literal["rain_rate"] = "rain_rate"
    levels: Tensor  # (K,) log2 of the thresholds
    reference = "Ritvanen et al. 2023, doi:10.1109/JSTARS.2023.3238016"

    def __init__(
        self,
        net: Callable[..., nn.Module],
        motion: Extrapolation,
        thresholds: Sequence[float],
        forecast_steps: int,
        outputs: int,
    ) -> None:
        """Start as extrapolation."""
        super().__init__()
        self.net, self.motion, self.forecast_steps = net(outputs=outputs), motion, forecast_steps
        slopes = torch.linspace(*SLOPES, forecast_steps)
        self.slope = nn.Parameter(slopes)  # logarithm, by lead time
        self.offset = nn.Parameter(torch.zeros(forecast_steps))
        self.gain = nn.Parameter(torch.zeros(forecast_steps, len(thresholds)))  # of the corrections: none at first
        self.unknown = nn.Parameter(torch.full((forecast_steps,), INFLOW))
        levels = torch.tensor(list(thresholds), dtype=torch.float64).log2()
        self.register_buffer("levels", levels.float(), persistent=False)

    def forward(self, rain_rate: Tensor, forecast_steps: int) -> Tensor:
        """Outputs of an exceedance head.

        Args:
            rain_rate: (B, T_in, 1, H, W) mm h-1, T_in at least 2, NaN = no data.
            forecast_steps: Frames to predict.

        Returns:
            (B, forecast_steps, K, H, W): the logit of the first threshold, and what makes the falls to the others.
        """
        flows = [self.motion.flow(frames.numpy()) for frames in rain_rate[:, :, 0].detach().float().cpu()]
        motion = torch.stack([torch.from_numpy(flow) for flow in flows]).to(rain_rate)
        back = departures(motion, max(forecast_steps, rain_rate.shape[1] - 1))  # (B, steps, 2, H, W)
        frames = self._at_last(rain_rate, back)
        corrections = self.net(frames, forecast_steps)  # (B, T_out, K, H, W)
        last = rain_rate[:, -1]
        known = last.isfinite().to(last)
        outputs = [
            self._moved(last, known, corrections[:, step], back[:, step], step) for step in range(forecast_steps)
        ]
        return torch.stack(outputs, dim=1)

    def _at_last(self, rain_rate: Tensor, back: Tensor) -> Tensor:
        """(B, T_in, 3, H, W): every frame moved to the time of the last one, as what the network sees."""
        steps, seen = rain_rate.shape[1], []
        for number in range(steps):
            frame = rain_rate[:, number]
            known = frame.isfinite().to(frame)
            ago = steps - 1 - number
            level = _level(frame.nan_to_num(0.0))
            if ago:
                level, known = move(level, known, back[:, ago - 1])
                known = (known > 0.5).to(level)
            wet = (level >= math.log2(WET / FAINTEST) / 8).to(level)
            seen.append(torch.cat([level * known, known, wet * known], dim=1))
        return torch.stack(seen, dim=1)

    def _moved(self, last: Tensor, known: Tensor, correction: Tensor, back: Tensor, step: int) -> Tensor:
        """Outputs (B, K, H, W) of one lead time."""
        row = min(step, self.forecast_steps - 1)
        slope = self.slope[row].exp()
        level = 8 * _level(last.nan_to_num(0.0)) + math.log2(FAINTEST)  # log2 of the rain rate
        first = slope * (level - self.levels[0]) + self.offset[row]
        falls = _before_softplus(slope * self.levels.diff()).view(1, -1, 1, 1).expand(len(last), -1, *last.shape[2:])
        prior = torch.cat([first, falls], dim=1)
        outputs, part = move(prior + self.gain[row].view(1, -1, 1, 1) * correction, known, back)
        inflow = torch.cat([self.unknown[row].expand_as(first), falls], dim=1)
        return torch.where(part > 0.5, outputs, inflow)


def _level(rain_rate: Tensor) -> Tensor:
    """Rain rate in mm h-1 on a logarithmic scale: 0 = none, 1 = 256 times the faintest."""
    return (rain_rate.clamp(min=FAINTEST) / FAINTEST).log2() / 8


def _before_softplus(values: Tensor) -> Tensor:
    """Whose softplus the positive values are."""
    return values + torch.log(-torch.expm1(-values))
