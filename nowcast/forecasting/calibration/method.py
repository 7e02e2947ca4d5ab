"""What stands under `calibration=`: how a network is calibrated, whatever its head says.

Training needs it; a forecast needs what it fitted, which a checkpoint holds.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.by_lead_time import Calibration
from nowcast.forecasting.calibration.frequency_fit import CalibratedCsi, CalibrationFit
from nowcast.forecasting.calibration.probability import AREA, BIAS, CSI
from nowcast.forecasting.calibration.probability_fit import LevelFit, ProbabilityCsi, ReliabilityFit
from nowcast.forecasting.heads import Head
from nowcast.scaling import Scaling

LeadTimes = Sequence[float] | int


class Fit(Protocol):
    """Collects what a head said and what was observed; a torchmetrics metric."""

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """Add what a head said (B, T, channels, H, W) in [0, 1], and what it should have said."""
        ...

    def fit(self) -> Calibration:
        """The calibration that follows."""
        ...


class Csi(Protocol):
    """CSI that a forecast has after the calibration that is fitted on the very same cells."""

    def update(self, said: Tensor, target: Tensor, mask: Tensor, rows: Sequence[int] | None = None) -> None:
        """As `Fit`."""
        ...

    def compute(self) -> Tensor:
        """(T,) by lead time, NaN where undefined."""
        ...

    def reset(self) -> None:
        """Start anew."""
        ...


class Method(Protocol):
    """A way to calibrate."""

    def fitting(self, head: Head, lead_times: LeadTimes) -> Fit:
        """What fits one."""
        ...

    def csi(self, head: Head, scaling: Scaling, threshold: float, lead_times: LeadTimes) -> Csi:
        """CSI at `threshold` mm h-1 after it, for the choice of the best epoch."""
        ...


class Frequency:
    """It rains as often and as much as it did: grey values are mapped, probabilities are decided by levels.

    Args:
        levels: Intervals over [0, 1] of tables and tallies.
        cost_loss: Ratios of cost to loss, each in (0, 1), that levels are fitted for, beside bias 1 and the best CSI.
        decide: How probabilities become a field unless decide= says otherwise: bias, csi, area or one of the ratios.
    """

    def __init__(self, levels: int, cost_loss: Sequence[float], decide: str | float = BIAS) -> None:
        """Keep the settings.

        Raises:
            ValueError: No interval, or a ratio out of range.
        """
        self.levels, self.decisions = checked(levels), (BIAS, CSI, *(f"{ratio:g}" for ratio in cost_loss))
        if not all(0 < ratio < 1 for ratio in cost_loss) or len(set(self.decisions)) < len(self.decisions):
            raise ValueError(
                f"calibration.cost_loss must be different ratios between 0 and 1, got {list(cost_loss)}: such as "
                "calibration.cost_loss=[0.1,0.2], or [] for none"
            )
        self.decide = decide if isinstance(decide, str) else f"{decide:g}"
        if self.decide not in (*self.decisions, AREA):
            raise ValueError(
                f"calibration.decide must be one of {', '.join((*self.decisions, AREA))}, got {self.decide!r}"
            )

    def fitting(self, head: Head, lead_times: LeadTimes) -> Fit:
        """What fits one."""
        if head.thresholds:
            return LevelFit(lead_times, head.thresholds, self.levels, self.decisions, self.decide)
        return CalibrationFit(lead_times, self.levels)

    def csi(self, head: Head, scaling: Scaling, threshold: float, lead_times: LeadTimes) -> Csi:
        """CSI at `threshold` mm h-1 after it."""
        if head.thresholds:
            return ProbabilityCsi(lead_times, place_of(threshold, head), self.levels, reliable=False)
        return CalibratedCsi(grey_of(threshold, scaling), lead_times, self.levels)


class Reliability:
    """An event that is forecast with probability p happens in a share p of the cases.

    Args:
        levels: Intervals over [0, 1] of tables and tallies.
    """

    def __init__(self, levels: int) -> None:
        """Keep the setting.

        Raises:
            ValueError: No interval.
        """
        self.levels = checked(levels)

    def fitting(self, head: Head, lead_times: LeadTimes) -> Fit:
        """What fits one."""
        return ReliabilityFit(lead_times, self._thresholds(head), self.levels)

    def csi(self, head: Head, scaling: Scaling, threshold: float, lead_times: LeadTimes) -> Csi:
        """CSI at `threshold` mm h-1 after it."""
        self._thresholds(head)
        return ProbabilityCsi(lead_times, place_of(threshold, head), self.levels, reliable=True)

    def _thresholds(self, head: Head) -> int:
        if not head.thresholds:
            raise UsageError(
                "calibration=reliability maps probabilities, and this head says amounts: use calibration=frequency, or "
                "head=exceedance"
            )
        return len(head.thresholds)


def checked(levels: int) -> int:
    """The number of intervals.

    Raises:
        ValueError: It is none.
    """
    if levels < 1:
        raise ValueError(f"calibration.levels must be at least 1, got {levels}")
    return levels


def grey_of(threshold: float, scaling: Scaling) -> float:
    """The grey value of a rain rate in mm h-1, as targets become grey: in float32."""
    return float(scaling.to_grey(torch.tensor(threshold)))


def place_of(threshold: float, head: Head) -> int:
    """Which of a head's thresholds this is.

    Raises:
        UsageError: None of them.
    """
    if threshold not in head.thresholds:
        raise UsageError(
            f"verification.main_threshold={threshold:g} is not among head.thresholds={list(head.thresholds)}: the head "
            "says no probability of it. Name one that is, or add it to the head's"
        )
    return head.thresholds.index(threshold)
