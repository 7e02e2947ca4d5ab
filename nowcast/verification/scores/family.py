"""What a family of scores is: statistics of a window that can be summed, and scores of such sums."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from nowcast.forecasting.forecast import Need

Best = Literal["highest", "lowest", "nearest one", "nearest zero", "none"]  # "none": a curve, not a quality
Axis = tuple[float, ...] | tuple[str, ...]


class Family(Protocol):
    """Scores that come from the same sums.

    A statistic has the axes of `statistics_axes` after a leading sample axis; a score those of `score_axes`, after
    whatever leading axes the sums have.
    """

    needs: Need
    """What it asks a forecast for: "single" (an ensemble's mean), "members" or "probability" of its `thresholds`."""

    @property
    def axes(self) -> dict[str, Axis]:
        """Axis → its labels."""
        ...

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Statistic → its axes."""
        ...

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """Score → its axes."""
        ...

    @property
    def best(self) -> dict[str, Best]:
        """Score → which values are good."""
        ...

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Statistics of each sample at one lead time.

        Args:
            forecast: (B, C, H, W) mm h-1, (B, M, C, H, W) mm h-1 of members, or (B, K, C, H, W) probabilities of
                each of the family's `thresholds`, as `needs` says; no NaN, 0 outside the mask.
            observed: (B, C, H, W) mm h-1; no NaN, 0 outside the mask.
            mask: (B, C, H, W) bool, True = counts.

        Returns:
            Name → (B, …) float64.
        """
        ...

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, axes) float64 from sums with any leading axes; NaN = undefined."""
        ...


@runtime_checkable
class SharesObserved(Protocol):
    """A family whose work on the observation can be done once for several forecasts of the same windows."""

    def of_observed(self, observed: Tensor, mask: Tensor) -> Any:  # noqa: ANN401 (each family's own)
        """What `statistics` needs of the observation; arguments as there."""
        ...

    def statistics(
        self,
        forecast: Tensor,
        observed: Tensor,
        mask: Tensor,
        seen: Any = None,  # noqa: ANN401
    ) -> dict[str, Tensor]:
        """As in `Family`; `seen` is what `of_observed` said of the same observation and mask, None = ask it."""
        ...


@runtime_checkable
class OfThresholds(Protocol):
    """A family that asks for probabilities."""

    thresholds: tuple[float, ...]  # mm h-1


@runtime_checkable
class ChoosesFrames(Protocol):
    """A family whose scores are means over frames that the forecast chooses, too: two models' may be of others."""

    frames: str  # the statistic that counts them


@runtime_checkable
class ComparesWithReference(Protocol):
    """A family with skills that ask for another model's sums, too: `scores` leaves them to `verification.intervals`."""

    reference: str  # name of that model; nothing is said where it is not scored

    @property
    def skills(self) -> Mapping[str, str]:
        """Skill = 1 - score / the reference's score → that score, whose best value is 0."""
        ...


@runtime_checkable
class MayBeRedundant(Protocol):
    """A family that says nothing new of some forecasts."""

    def is_informative(self, sums: Mapping[str, Tensor]) -> bool:
        """Whether the sums of models tell more than other families do."""
        ...


def shape_of(family: Family, statistic: str) -> tuple[int, ...]:
    """Sizes of a statistic's axes."""
    return tuple(len(family.axes[axis]) for axis in family.statistics_axes[statistic])


def summed_axes(family: Family) -> tuple[str, ...]:
    """Axes of what is summed; scores may have others, such as cost/loss ratios."""
    return tuple(dict.fromkeys(axis for axes in family.statistics_axes.values() for axis in axes))


def in_order(thresholds: tuple[float, ...], key: str) -> tuple[float, ...]:
    """Thresholds as they are.

    Raises:
        ValueError: There is none, or they do not rise strictly.
    """
    if not thresholds or sorted(set(thresholds)) != list(thresholds):
        raise ValueError(f"{key} must rise strictly, got {list(thresholds)}")
    return thresholds
