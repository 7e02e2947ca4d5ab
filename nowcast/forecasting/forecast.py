"""What a forecast is: one field of rain, an ensemble of them, or probabilities that it rains at least so much.

Whoever uses a forecast asks for what is needed – `single`, `members`, `probability` – and never how many axes it has.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from nowcast.forecasting.decided_field import decided_field

Need = Literal["single", "members", "probability"]
SAME_THRESHOLD = 1e-6  # relative
HALF = 0.5  # the level where none is known


@dataclass(frozen=True, eq=False)
class FieldForecast(ABC):
    """A forecast of a batch of windows.

    Args:
        values: What it holds, see the classes below; NaN = no forecast there.
    """

    values: Tensor

    @abstractmethod
    def single(self) -> Tensor:
        """One field (B, T, C, H, W), mm h-1 where it is rain; NaN = no forecast."""

    @abstractmethod
    def members(self) -> Tensor:
        """(B, M, T, C, H, W).

        Raises:
            ValueError: It has none (`gives`).
        """

    @abstractmethod
    def probability(self, threshold: float) -> Tensor:
        """Probability (B, T, C, H, W) of at least `threshold` mm h-1; NaN = no forecast.

        Raises:
            ValueError: It does not know (`knows`).
        """

    @abstractmethod
    def missing(self) -> Tensor:
        """(B, T, C, H, W) bool: there is no forecast, or a part of it is missing."""

    @abstractmethod
    def lead(self, number: int) -> "FieldForecast":
        """The same at one lead time, from 0; the axis of lead times stays, with T = 1."""

    @property
    def exceedance(self) -> "Exceedance | None":
        """Itself where it holds probabilities of exceedance; None where it holds amounts."""
        return None

    def gives(self, need: Need) -> bool:
        """Whether it can answer."""
        return True

    def reaches(self, threshold: float) -> bool:
        """Whether `single` can say that it rains at least `threshold` mm h-1."""
        return True

    def knows(self, threshold: float) -> bool:
        """Whether it can say how probable at least `threshold` mm h-1 is."""
        return True

    def to(self, device: torch.device) -> "FieldForecast":
        """The same on a device."""
        return type(self)(self.values.to(device))


class Field(FieldForecast):
    """One field: `values` is (B, T, C, H, W)."""

    def single(self) -> Tensor:
        """The field."""
        return self.values

    def members(self) -> Tensor:
        """An ensemble of one."""
        return self.values.unsqueeze(1)

    def probability(self, threshold: float) -> Tensor:
        """1 where the field reaches the threshold, 0 elsewhere."""
        return (self.values >= threshold).to(self.values.dtype).masked_fill(self.values.isnan(), math.nan)

    def missing(self) -> Tensor:
        """Where it has no value."""
        return self.values.isnan()

    def lead(self, number: int) -> "Field":
        """One lead time."""
        return Field(self.values[:, number : number + 1])


class Ensemble(FieldForecast):
    """Members that are equally likely: `values` is (B, M, T, C, H, W)."""

    def single(self) -> Tensor:
        """Their mean."""
        return ensemble_mean(self.values)

    def members(self) -> Tensor:
        """All of them."""
        return self.values

    def probability(self, threshold: float) -> Tensor:
        """The share of members that reach the threshold; one that is NaN does not, NaN where all are."""
        share = (self.values >= threshold).to(self.values.dtype).mean(dim=1)
        return share.masked_fill(self.values.isnan().all(dim=1), math.nan)

    def missing(self) -> Tensor:
        """Where a member has no value."""
        return self.values.isnan().any(dim=1)

    def lead(self, number: int) -> "Ensemble":
        """One lead time."""
        return Ensemble(self.values[:, :, number : number + 1])


@dataclass(frozen=True, eq=False)
class Exceedance(FieldForecast):
    """Probabilities of at least so much rain: `values` is (B, T, K, H, W) in [0, 1], falling along K.

    Args:
        values: The probabilities; NaN = no forecast.
        thresholds: K rain rates in mm h-1, rising, the first above 0.
        levels: (T, K) probabilities from which on it is decided that it rains so much, for `single`, or (B, T, K) where
            each window has its own; None = ½.
        decision: What these levels are for, such as "bias"; "" where that is not known.
        choices: Every decision that there are levels for → its levels (T, K).
        heavy: (B, 2, T, Q) knots of rates from the last threshold on, see `decided_field`; None = not known.
    """

    thresholds: tuple[float, ...] = ()
    levels: Tensor | None = None
    decision: str = ""
    choices: Mapping[str, Tensor] = field(default_factory=dict)
    heavy: Tensor | None = None

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: Thresholds, probabilities and levels do not fit.
        """
        if self.values.ndim != 5 or self.values.shape[2] != len(self.thresholds) or not self.thresholds:
            raise ValueError(
                f"probabilities must be (B, T, {len(self.thresholds)}, H, W) for the thresholds "
                f"{list(self.thresholds)}, got {tuple(self.values.shape)}"
            )
        if self.levels is not None and self.levels.shape not in (self.values.shape[1:3], self.values.shape[:3]):
            raise ValueError(f"levels must be {tuple(self.values.shape[1:3])}, got {tuple(self.levels.shape)}")

    def single(self) -> Tensor:
        """The field (B, T, 1, H, W) mm h-1 that reaches a threshold where its probability reaches the level.

        Without steps in between, 0 below the first threshold: see `decided_field`.
        """
        half = torch.full(self.values.shape[1:3], HALF, device=self.values.device)
        return decided_field(self.values, half if self.levels is None else self.levels, self.thresholds, self.heavy)

    def members(self) -> Tensor:
        """It has none.

        Raises:
            ValueError: Always.
        """
        raise ValueError("probabilities of exceedance have no members")

    def probability(self, threshold: float) -> Tensor:
        """The probability of one of its thresholds.

        Raises:
            ValueError: It is none of them.
        """
        place = self._place(threshold)
        if place is None:
            raise ValueError(f"no probability of at least {threshold:g} mm/h, only of {list(self.thresholds)}")
        return self.values[:, :, place : place + 1]

    def missing(self) -> Tensor:
        """Where a probability is missing."""
        return self.values.isnan().any(dim=2, keepdim=True)

    def lead(self, number: int) -> "Exceedance":
        """One lead time."""
        part = slice(number, number + 1)
        return self._with(self.values[:, part], lambda levels: levels[..., part, :])

    @property
    def exceedance(self) -> "Exceedance":
        """Itself."""
        return self

    def reaches(self, threshold: float) -> bool:
        """Whether it is at most the last threshold: of more rain nothing was said, unless heavy rates are known."""
        return self.heavy is not None or says_of(self.thresholds, threshold)

    def gives(self, need: Need) -> bool:
        """All but members."""
        return need != "members"

    def knows(self, threshold: float) -> bool:
        """Whether it is one of its thresholds."""
        return self._place(threshold) is not None

    def to(self, device: torch.device) -> "Exceedance":
        """The same on a device."""
        return self._with(self.values.to(device), lambda levels: levels.to(device))

    def _with(self, values: Tensor, change: Callable[[Tensor], Tensor]) -> "Exceedance":
        """The same of other values, with changed levels."""
        levels, heavy = (None if one is None else change(one) for one in (self.levels, self.heavy))
        choices = {name: change(one) for name, one in self.choices.items()}
        return replace(self, values=values, levels=levels, choices=choices, heavy=heavy)

    def _place(self, threshold: float) -> int | None:
        close = (k for k, one in enumerate(self.thresholds) if math.isclose(one, threshold, rel_tol=SAME_THRESHOLD))
        return next(close, None)


def says_of(thresholds: Sequence[float], threshold: float) -> bool:
    """Whether probabilities of these rain rates say something of at least `threshold` mm h-1: up to the last."""
    return threshold <= thresholds[-1] * (1 + SAME_THRESHOLD)


def of_values(values: Tensor) -> FieldForecast:
    """What a model or a file says as plain values: (B, T, C, H, W), or (B, M, T, C, H, W) of an ensemble.

    >>> members = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(1, 4, 1, 1, 1, 1)
    >>> forecast = of_values(members)
    >>> forecast.single().item(), forecast.probability(4.0).item()
    (3.0, 0.5)

    The one place where the number of axes says what a forecast is.

    Raises:
        ValueError: Neither.
    """
    if values.ndim == 5:
        return Field(values)
    if values.ndim == 6:
        return Ensemble(values)
    raise ValueError(f"a forecast is (B, T, C, H, W), or (B, M, T, C, H, W) of an ensemble, got {tuple(values.shape)}")


def ensemble_mean(members: Tensor) -> Tensor:
    """Mean over the second axis, (B, M, …) → (B, …); a member that is NaN counts as no rain, NaN where all are."""
    if members.shape[1] == 1:
        return members[:, 0]
    return members.nan_to_num(0.0).mean(dim=1).masked_fill(members.isnan().all(dim=1), float("nan"))
