"""A network in Lagrangian coordinates: it starts as extrapolation, and what flows in is unknown and not dry."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from nowcast.config.mistakes import UsageError
from nowcast.config.program import CONFIGS
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.forecasting.network import build_network
from nowcast.models.extrapolation import Extrapolation
from nowcast.models.lagrangian import Lagrangian
from nowcast.scaling import GreyScale

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


def model(net=None, forecast_steps=4, says=0.0):
    return Lagrangian(
        lambda outputs: net or Nothing(says), Extrapolation(2, 8.0), THRESHOLDS, forecast_steps, outputs=3
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


def said(net, rain, steps):
    with torch.inference_mode():
        return HEAD.forecast(torch.sigmoid(HEAD.logits(net(rain, steps))), SCALING)


def test_before_training_it_is_extrapolation():
    """The same cells reach each threshold, but for some where a mean of logarithms is not that of rates."""
    rain = showers()
    baseline = Extrapolation(2, 8.0)(rain, 4)
    forecast = said(model(says=3.0), rain, 4)  # whatever the network says, its gain is 0 at first
    for threshold in THRESHOLDS:
        known = baseline.isfinite()
        ours, theirs = (forecast.probability(threshold) >= 0.5)[known], (baseline >= threshold)[known]
        assert theirs.sum() > 50
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.93


def test_probabilities_fall_with_the_threshold_and_become_less_sure_with_time():
    forecast = said(model(), showers(), 4)
    assert (forecast.values.diff(dim=2) <= 0).all()
    spread = (forecast.values[:, :, 0] - 0.5).abs().amax(dim=(0, 2, 3))
    assert (spread.diff() < 0).all()


def test_frames_are_seen_at_the_time_of_the_last_one():
    net = Nothing()
    rain = showers()
    model(net)(rain, 2)
    rain_seen, known, wet = net.seen[0].unbind(dim=1)  # (T, H, W) each
    assert net.seen.shape == (1, 4, 3, 48, 64)
    last = rain_seen[-1]
    for frame, there in zip(rain_seen[:-1], known[:-1], strict=True):
        both = (there > 0) & (known[-1] > 0) & ((frame > 0) | (last > 0))
        together = torch.corrcoef(torch.stack([frame[both], last[both]]))[0, 1]
        assert together > 0.97  # without moving: below 0.8
    assert (known[-1][:6, :9] == 0).all()
    assert ((known == 0) <= (rain_seen == 0)).all()
    assert set(wet.unique().tolist()) <= {0.0, 1.0}


def test_what_flows_in_is_unknown_and_not_dry():
    rain = showers(velocity=(3.0, 0.0))
    forecast = said(model(), rain, 4)
    inflow = Extrapolation(2, 8.0)(rain, 4)[:, 3, 0].isnan()
    inside = ~inflow & (Extrapolation(2, 8.0)(rain, 4)[:, 3, 0] == 0)
    probability = forecast.values[:, 3, 0]
    assert inflow.sum() > 100
    assert (probability[inflow] - torch.sigmoid(torch.tensor(-2.0))).abs().median() < 1e-6
    assert probability[inside].max() < probability[inflow].median()


def test_every_part_learns():
    net = model(says=0.5)
    nn.init.constant_(net.gain, 0.1)
    outputs = net(showers(), 4)
    HEAD.logits(outputs).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_more_lead_times_than_were_trained_take_what_the_last_one_learned():
    net = model(forecast_steps=2)
    with torch.no_grad():
        net.offset.copy_(torch.tensor([0.0, 1.5]))
    long, short = net(showers(), 5), net(showers(), 2)
    torch.testing.assert_close(long[:, :2], short)
    assert long.shape == (1, 5, 3, 48, 64)


@pytest.mark.parametrize("fill", [0.0, torch.nan])
def test_nothing_to_see_is_no_error(fill):
    rain = torch.full((2, 3, 1, 16, 20), fill)
    forecast = said(model(), rain, 4)
    assert forecast.values.isfinite().all()
    assert forecast.values.max() < 0.15


def test_a_head_without_thresholds_is_refused_with_one_that_has_them():
    node = OmegaConf.load(CONFIGS / "model" / "lagrangian.yaml")
    with pytest.raises(UsageError, match=r"Lagrangian says probabilities of thresholds: choose head=exceedance"):
        build_network(node, GreyHead())
    with pytest.raises(
        UsageError, match=r"needs 3 output channels for each cell, and nowcast\.models\.fc_lstm\.FCLSTM puts out one"
    ):
        build_network(OmegaConf.create({"_target_": "nowcast.models.fc_lstm.FCLSTM"}), HEAD)
