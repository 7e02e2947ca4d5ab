"""What tests of a network in Lagrangian coordinates share: rain that moves by whole cells, a network without a say."""

import numpy as np
import torch
from torch import nn

from nowcast.forecasting.heads import ExceedanceHead
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.models.lagrangian import Lagrangian
from nowcast.scaling import GreyScale
from nowcast.units import Spacing

THRESHOLDS = (0.5, 2.0, 5.0)
HEAD, SCALING = ExceedanceHead(THRESHOLDS), GreyScale(118.239, 1.5241, -10.0, 60.0)


class Nothing(nn.Module):
    """A network that keeps what it saw and says the same everywhere."""

    def __init__(self, says=0.0):
        super().__init__()
        self.says = nn.Parameter(torch.tensor(says))

    def forward(self, frames, forecast_steps):
        self.seen = frames
        return self.says.expand(len(frames), forecast_steps, len(THRESHOLDS), *frames.shape[3:])


LEADS = (5.0, 10.0, 15.0, 20.0)
FIVE = Spacing(torch.tensor([5.0]), torch.tensor([[2.0, 2.0]]))


def model(net=None, says=0.0, leads=LEADS):
    return Lagrangian(
        lambda outputs: net or Nothing(says), Extrapolation(2, 8.0), THRESHOLDS, leads, 3, local_slope=False, turns=1
    )


def showers(shape=(48, 64), frames=4, velocity=(2.0, 1.0), seed=0):
    """(1, T, 1, H, W) mm h-1 that moves by whole cells, with a corner without data."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    rain = np.zeros((frames, *shape), dtype=np.float32)
    for _ in range(7):
        row, column, peak = draw.uniform(5, shape[0] - 12), draw.uniform(5, shape[1] - 15), draw.uniform(2, 15)
        for k in range(frames):
            rain[k] += peak * np.exp(-((x - column - k * velocity[0]) ** 2 + (y - row - k * velocity[1]) ** 2) / 12)
    rain[rain < 0.05] = 0
    rain[:, :6, :9] = np.nan
    return torch.from_numpy(rain)[None, :, None]


def spaced(rain, minutes=5.0):
    return Spacing(torch.full((len(rain),), minutes), torch.full((len(rain), 2), 2.0))


def said(net, rain, steps):
    with torch.inference_mode():
        return HEAD.forecast(torch.sigmoid(HEAD.logits(net(rain, steps, spaced(rain)))), SCALING)
