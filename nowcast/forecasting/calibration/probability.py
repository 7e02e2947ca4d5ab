"""Calibrations of probabilities of exceedance: decision levels, and reliability."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.by_lead_time import Calibration, interpolated
from nowcast.forecasting.forecast import HALF, Exceedance, FieldForecast
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling

BIAS, CSI = "bias", "csi"  # decisions that levels are fitted for; all others are ratios of cost to loss
AREA = "area"  # decided by each forecast itself, see `areas.py`


def unfitted_level(decision: str) -> float:
    """The level of a decision of which nothing else is known: a ratio of cost to loss itself, else ½."""
    return HALF if decision in (BIAS, CSI) else float(decision)


class LevelCalibration(Calibration):
    """Decision levels: the probabilities stay, and it is decided from which on it rains so much.

    Args:
        lead_times: T lead times of the fit, rising; or their number.
        thresholds: K.
        decisions: D names of what there are levels for: "bias", "csi" or a ratio of cost to loss.
        decide: Which of them is used until `decided_by` chooses another, or "area"; "" = the first.

    `unfitted_level` until levels are loaded or fitted.
    """

    table: Tensor  # (T, D, K) probability from which on the threshold is said to be reached

    def __init__(
        self, lead_times: Sequence[float] | int, thresholds: int, decisions: Sequence[str], decide: str = ""
    ) -> None:
        """Start with what is known without a fit."""
        levels = torch.tensor([unfitted_level(decision) for decision in decisions])
        super().__init__(lead_times, levels[:, None].repeat(1, thresholds))
        self.decisions, self.used = tuple(decisions), decide or decisions[0]

    def settings(self) -> dict[str, Any]:
        """Thresholds and decisions, and which is used, if not the first."""
        other = {} if self.used == self.decisions[0] else {"decide": self.used}
        return {"thresholds": self.table.shape[2], "decisions": list(self.decisions)} | other

    def like(self, lead_times: Sequence[float] | int) -> Self:
        """One for other lead times that takes the same decision."""
        return super().like(lead_times)

    def decided_by(self, decision: str) -> Self:
        """The same, with the levels of another decision in use."""
        if decision not in (*self.decisions, AREA):
            raise UsageError(
                f"decide={decision}: this checkpoint holds levels for {', '.join(self.decisions)}; {AREA} needs none; "
                "those of other ratios of cost to loss are fitted by a training with calibration.cost_loss=[…]"
            )
        one = copy(self)  # of the same table
        one.used = decision
        return one

    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The probabilities with these levels."""
        forecast = probabilities_of(head.forecast(said, scaling), head)
        choices = dict(zip(self.decisions, self.rows(said.shape[1]).unbind(1), strict=True))
        levels = choices.get(self.used, choices[self.decisions[0]])
        return replace(forecast, levels=levels, decision=self.used, choices=choices)


class ReliabilityCalibration(Calibration):
    """Piecewise-linear mapping of each threshold's probability to the frequency with which the event followed it.

    Args:
        lead_times: T lead times of the fit, rising; or their number.
        thresholds: K.
        levels: L table intervals over [0, 1].

    The identity until a table is loaded or fitted. What is reliable is decided at ½, or by `decided_by` at a ratio of
    cost to loss, which is the level of least expense.
    """

    table: Tensor  # (T, K, L+1)
    ratio: float | None = None

    def __init__(self, lead_times: Sequence[float] | int, thresholds: int, levels: int) -> None:
        """Start as the identity."""
        super().__init__(lead_times, torch.linspace(0, 1, levels + 1).repeat(thresholds, 1))

    def settings(self) -> dict[str, Any]:
        """Thresholds and levels."""
        return {"thresholds": self.table.shape[1], "levels": self.table.shape[2] - 1}

    def like(self, lead_times: Sequence[float] | int) -> Self:
        """One for other lead times that takes the same decision."""
        one = super().like(lead_times)
        one.ratio = self.ratio
        return one

    def decided_by(self, decision: str) -> Self:
        """The same, decided for any ratio of cost to loss."""
        if decision in (BIAS, CSI, AREA):
            raise UsageError(
                f"decide={decision}: this checkpoint was calibrated to reliability, which holds no levels for that: "
                "give a ratio of cost to loss, such as decide=0.2, or train with calibration=frequency"
            )
        one = copy(self)  # of the same table
        one.ratio = float(decision)
        return one

    def forecast(self, said: Tensor, head: Head, scaling: Scaling) -> FieldForecast:
        """The forecast of the mapped probabilities."""
        forecast = head.forecast(interpolated(said, self.rows(said.shape[1])), scaling)
        if self.ratio is None:
            return forecast
        forecast = probabilities_of(forecast, head)
        levels = torch.full(forecast.values.shape[1:3], self.ratio, device=said.device)
        return replace(forecast, levels=levels, decision=f"{self.ratio:g}")


def probabilities_of(forecast: FieldForecast, head: Head) -> Exceedance:
    """What a head said, as probabilities.

    Raises:
        ValueError: It said amounts, so that this is the calibration of another head.
    """
    if forecast.exceedance is None:
        raise ValueError(
            f"{type(head).__name__} says amounts, and the calibration decides probabilities: they are not of one "
            "checkpoint; train again, or use calibrated=false"
        )
    return forecast.exceedance
