"""What pictures show of a forecast: its rain rate, some of its members, and maps of probability."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.forecasting.forecast import Ensemble, Exceedance, FieldForecast

Maps = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Choice:
    """What is chosen of what a forecast holds.

    Args:
        thresholds: mm h-1 whose probability is drawn; of a forecast that does not know one, its nearest.
        members: How many members of an ensemble, beside its mean.

    Raises:
        ValueError: A threshold that is not above 0, or a negative number of members.
    """

    thresholds: Sequence[float] = ()
    members: int = 0

    def __post_init__(self) -> None:
        """Check."""
        if wrong := [one for one in self.thresholds if not (one > 0 and math.isfinite(one))]:
            raise ValueError(f"thresholds must be rain rates above 0 mm/h, such as [0.5, 5], got {wrong[0]:g}")
        if self.members < 0:
            raise ValueError(f"members must be at least 0, got {self.members}")


def choice_of(settings: Mapping[str, Any]) -> Choice:
    """The choice of configs/pictures."""
    return Choice(list(settings["thresholds"]), int(settings["members"]))


@dataclass(frozen=True, eq=False)
class Contents:
    """Rows of a picture.

    Args:
        rain: Name → (T, H, W) mm h-1.
        probabilities: Name → (T, H, W) in [0, 1].
    """

    rain: Maps = field(default_factory=dict)
    probabilities: Maps = field(default_factory=dict)


def contents_of(forecasts: Mapping[str, FieldForecast], choice: Choice) -> Contents:
    """What is drawn of forecasts of one window (B = 1) by name; "" where there is but one and the title names it."""
    contents = Contents()
    for name, forecast in forecasts.items():
        contents.rain.update(_rain(name, forecast, choice.members))
        if forecast.exceedance:
            contents.probabilities.update(_probabilities(name, forecast.exceedance, choice.thresholds))
    return contents


def _rain(name: str, forecast: FieldForecast, members: int) -> Maps:
    """The field, or an ensemble's mean, as the name says then, and some of its members."""
    single = forecast.single()[0, :, 0].cpu().numpy()
    if not isinstance(forecast, Ensemble) or forecast.values.shape[1] == 1:
        return {name or "forecast": single}
    every = forecast.values[0, :, :, 0].cpu().numpy()
    rows = {f"mean of {len(every)}": single} | {f"member {k + 1}": every[k] for k in range(min(members, len(every)))}
    return {f"{name}, {row}" if name else row: values for row, values in rows.items()}


def _probabilities(name: str, forecast: Exceedance, thresholds: Sequence[float]) -> Maps:
    known = dict.fromkeys(nearest(forecast.thresholds, wanted) for wanted in thresholds)
    return {
        f"{name} {probability_label(one)}".strip(): forecast.probability(one)[0, :, 0].cpu().numpy() for one in known
    }


def nearest(known: Sequence[float], wanted: float) -> float:
    """The threshold that differs by the smallest factor."""
    return min(known, key=lambda one: abs(math.log(one / wanted)))


def probability_label(threshold: float) -> str:
    """Of a row, which is not broken within."""
    return f"P(≥\u00a0{threshold:g}\u00a0mm/h)"
