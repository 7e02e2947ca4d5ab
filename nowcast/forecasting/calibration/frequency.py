"""Frequency calibration: a monotone mapping of forecast grey values, per lead time.

A network trained on cross-entropy or squared error forecasts the mean of what may come, and so rains too seldom.
Matching quantiles makes each intensity as frequent in the forecast as it was observed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nowcast.forecasting.calibration.by_lead_time import Calibration, interpolated
from nowcast.forecasting.forecast import FieldForecast
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling


class FrequencyCalibration(Calibration):
    """Piecewise-linear mapping grey → grey on equally spaced levels, one per lead time.

    Args:
        lead_times: T lead times of the fit, rising; or their number where nothing else is known of them.
        levels: K table intervals over [0, 1].

    The identity until a table is loaded or fitted.
    """

    table: Tensor  # (T, K+1) mapped value at grey k/K

    def __init__(self, lead_times: Sequence[float] | int, levels: int) -> None:
        """Start as the identity."""
        super().__init__(lead_times, torch.linspace(0, 1, levels + 1))

    def settings(self) -> dict[str, int]:
        """Levels."""
        return {"levels": self.table.shape[1] - 1}

    def forward(self, grey: Tensor) -> Tensor:
        """Map (B, T, C, H, W) grey values in [0, 1], lead times in order; NaN stays NaN, more than T use the last."""
        return interpolated(grey, self.rows(grey.shape[1]))

    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The forecast of the mapped grey values."""
        return head.forecast(self(said), scaling)
