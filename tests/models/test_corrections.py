"""Corrections of extrapolation: how far it is to be trusted at a place, and that north is no direction of its own."""

import numpy as np
import pytest
import torch
from torch import nn

from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.models.lagrangian import Lagrangian
from tests.models.in_lagrangian import FIVE, HEAD, LEADS, THRESHOLDS, Nothing, model, showers


class Steeper(nn.Module):
    """A network that corrects nothing, and says of the right half that the slope is `factor` times what it was."""

    starts_at_zero = True

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, frames, forecast_steps):
        said = torch.zeros(len(frames), forecast_steps, len(THRESHOLDS) + 1, *frames.shape[3:])
        said[:, :, -1, :, frames.shape[4] // 2 :] = np.log(self.factor)
        return said


def test_where_extrapolation_is_to_be_trusted_the_prior_is_steeper_in_all_thresholds():
    """By hand: three times the slope is three times the logit of every threshold, which is 0 at the threshold."""
    rain = showers(velocity=(0.0, 0.0))
    built = Lagrangian(
        lambda outputs: Steeper(3.0),
        Extrapolation(2, 8.0),
        THRESHOLDS,
        LEADS,
        len(THRESHOLDS),
        local_slope=True,
        turns=1,
    )
    with torch.inference_mode():
        plain, steeper = (HEAD.logits(net(rain, 3, FIVE)) for net in (model(), built))
    torch.testing.assert_close(steeper[..., 10:30], plain[..., 10:30])  # left of it nothing is other
    factor = np.exp(np.log(20.0) * np.tanh(np.log(3.0) / np.log(20.0)))  # limited to 20
    torch.testing.assert_close(steeper[..., 34:62], factor * plain[..., 34:62], rtol=1e-4, atol=1e-3)
    assert factor > 2.5


class NoMotion(Extrapolation):
    """Nothing moves, whatever it sees."""

    def flow(self, frames):
        return np.zeros((2, *frames.shape[1:]), dtype=np.float32)


class Sided(nn.Module):
    """A network that says something else of each side of what it sees."""

    starts_at_zero = True

    def forward(self, frames, forecast_steps):
        y, x = (torch.arange(side, dtype=torch.float32) for side in frames.shape[3:])
        said = frames[:, -1:, :1] * (y[:, None] / 9 + x / 31)
        return said.expand(-1, forecast_steps, len(THRESHOLDS), -1, -1)


@torch.inference_mode()
def test_the_forecast_of_turned_rain_is_the_forecast_turned():
    rain = showers((24, 40))
    outputs = {}
    for turns in (1, 4):
        built = Lagrangian(
            lambda outputs: Sided(), NoMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=turns
        ).eval()
        outputs[turns] = [built(rain.rot90(k, (-2, -1)), 4, FIVE).rot90(-k, (-2, -1)) for k in range(4)]
    for k in (1, 2, 3):
        torch.testing.assert_close(outputs[4][k], outputs[4][0], rtol=1e-4, atol=1e-4)
        assert (outputs[1][k] - outputs[1][0]).abs().max() > 0.5
    mean = torch.stack(outputs[1]).mean(0)
    inside = outputs[4][0][..., 6:, 9:]  # where there is data; elsewhere the same, up to what it is filled with
    torch.testing.assert_close(inside, mean[..., 6:, 9:], rtol=1e-3, atol=1e-3)
    in_training = Lagrangian(
        lambda outputs: Sided(), NoMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=4
    )
    torch.testing.assert_close(in_training.train()(rain, 4, FIVE), outputs[1][0])


def test_five_turns_are_refused():
    with pytest.raises(ValueError, match=r"model\.turns must be 1, 2, 3 or 4 quarter turns, got 5"):
        Lagrangian(lambda outputs: Nothing(), NoMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=5)
