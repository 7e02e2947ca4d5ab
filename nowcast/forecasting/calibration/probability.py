"""Calibrations of probabilities of exceedance: decision levels of bias 1, and reliability."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nowcast.forecasting.calibration.by_lead_time import Calibration, interpolated
from nowcast.forecasting.forecast import Exceedance, FieldForecast
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling

HALF = 0.5


class LevelCalibration(Calibration):
    """Decision levels: the probabilities stay, and it is decided that it rains so much as often as it did.

    Args:
        lead_times: T lead times of the fit, rising; or their number.
        thresholds: K.

    One half until levels are loaded or fitted.
    """

    table: Tensor  # (T, K) probability from which on the threshold is said to be reached

    def __init__(self, lead_times: Sequence[float] | int, thresholds: int) -> None:
        """Start with ½ everywhere."""
        super().__init__(lead_times, torch.full((thresholds,), HALF))

    def settings(self) -> dict[str, int]:
        """Thresholds."""
        return {"thresholds": self.table.shape[1]}

    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The probabilities with these levels."""
        forecast = head.forecast(said, scaling)
        assert isinstance(forecast, Exceedance)  # `Frequency` asked the head for its thresholds
        return replace(forecast, levels=self.rows(said.shape[1]))


class ReliabilityCalibration(Calibration):
    """Piecewise-linear mapping of each threshold's probability to the frequency with which the event followed it.

    Args:
        lead_times: T lead times of the fit, rising; or their number.
        thresholds: K.
        levels: L table intervals over [0, 1].

    The identity until a table is loaded or fitted.
    """

    table: Tensor  # (T, K, L+1)

    def __init__(self, lead_times: Sequence[float] | int, thresholds: int, levels: int) -> None:
        """Start as the identity."""
        super().__init__(lead_times, torch.linspace(0, 1, levels + 1).repeat(thresholds, 1))

    def settings(self) -> dict[str, int]:
        """Thresholds and levels."""
        return {"thresholds": self.table.shape[1], "levels": self.table.shape[2] - 1}

    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The forecast of the mapped probabilities."""
        return head.forecast(interpolated(said, self.rows(said.shape[1])), scaling)
