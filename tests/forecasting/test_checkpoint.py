"""A trained network as a function of physical values."""

import math

import torch
from torch import nn

from nowcast.forecasting.heads import GreyHead
from nowcast.forecasting.network import NetworkForecaster
from nowcast.scaling import Brightness, GreyScale


class Fixed(nn.Module):
    """Remembers what it sees and says logit(0.8) everywhere."""

    def forward(self, grey, forecast_steps):
        self.seen = grey
        return torch.full((len(grey), forecast_steps, *grey.shape[2:]), math.log(4))


def test_a_forecast_is_the_sigmoid_of_the_logits():
    inputs = torch.rand(2, 3, 1, 4, 4)
    forecaster = NetworkForecaster(Fixed(), Brightness(), GreyHead(), None)
    expected = torch.full((2, 5, 1, 4, 4), 0.8)
    torch.testing.assert_close(forecaster.said(inputs, 5), expected)
    torch.testing.assert_close(forecaster(inputs, 5).single(), expected)


def test_the_network_sees_no_data_as_grey_zero_and_says_rain_rate():
    net = Fixed()
    forecast = NetworkForecaster(net, GreyScale(118.239, 1.5241, -10.0, 60.0), GreyHead(), None)(
        torch.tensor([math.nan, 0.0, 377.4]).view(1, 1, 1, 1, 3), 2
    )
    torch.testing.assert_close(net.seen.flatten(), torch.tensor([0.0, 0.0, 1.0]), atol=1e-4, rtol=0)
    by_hand = 10 ** ((70 * 0.8 - 10 - 10 * math.log10(118.239)) / 15.241)
    torch.testing.assert_close(forecast.single(), torch.full((1, 2, 1, 1, 3), by_hand), rtol=1e-5, atol=0)
