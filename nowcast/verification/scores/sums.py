"""Sums of statistics by lead time and group of windows, which every score is made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nowcast.forecasting.forecast import FieldForecast, ensemble_mean
from nowcast.verification.scores.family import Family, OfThresholds, SharesObserved, shape_of


@dataclass(frozen=True)
class Lead:
    """One lead time of a batch, cells that do not count set to 0.

    Attributes:
        forecast: The forecast, of this lead time alone.
        members: (B, M, C, H, W) mm h-1 without NaN, M = 1 for a single forecast; None where it has no members.
        mean: (B, C, H, W) mean of the members, or the one field.
        observed: (B, C, H, W) mm h-1.
        mask: (B, C, H, W) bool.
        missing: (B,) int64, cells that count but have no forecast, or lack a part of it.
    """

    forecast: FieldForecast
    members: Tensor | None
    mean: Tensor
    observed: Tensor
    mask: Tensor
    missing: Tensor

    def probabilities(self, thresholds: Sequence[float]) -> Tensor:
        """(B, K, C, H, W) float64 of reaching each threshold, 0 where that is not known (`unknown`)."""
        return torch.stack([self._probability(threshold) for threshold in thresholds], dim=1)

    def unknown(self, thresholds: Sequence[float]) -> list[int]:
        """Which of the thresholds the forecast has no probability of."""
        return [number for number, threshold in enumerate(thresholds) if not self.forecast.knows(threshold)]

    def _probability(self, threshold: float) -> Tensor:
        if self.members is not None:
            limit = torch.tensor(threshold, dtype=self.members.dtype).item()
            return (self.members >= limit).double().mean(dim=1)
        if not self.forecast.knows(threshold):
            return torch.zeros_like(self.mean, dtype=torch.float64)
        return self.forecast.probability(threshold)[:, 0].double().nan_to_num(0.0).masked_fill(~self.mask, 0.0)


def by_lead_time(forecast: FieldForecast, observed: Tensor, mask: Tensor, lead_times: int) -> Iterator[Lead]:
    """A batch, one lead time after another, so that whole composites need little memory beside themselves.

    Args:
        forecast: NaN = missing, counts as no rain.
        observed: (B, T, C, H, W) mm h-1.
        mask: (B, T, C, H, W) bool, True = valid observation.
        lead_times: T.

    Raises:
        ValueError: Shapes differ, or an observation is NaN where the mask is True.
    """
    shape = forecast.missing().shape
    if not shape == observed.shape == mask.shape:
        raise ValueError(
            "forecast, observed and mask must be of the same (B, T, C, H, W), got a forecast of "
            f"{tuple(shape)}, {tuple(observed.shape)}, {tuple(mask.shape)}"
        )
    if observed.shape[1] != lead_times:
        raise ValueError(f"expected {lead_times} lead times, got {observed.shape[1]}")
    for lead in range(lead_times):
        yield one_lead_time(forecast.lead(lead), known(observed[:, lead], mask[:, lead]), mask[:, lead])


def known(observed: Tensor, mask: Tensor) -> Tensor:
    """An observation (B, C, H, W), 0 where the mask is False.

    Raises:
        ValueError: An observation is NaN where the mask is True.
    """
    values = observed.masked_fill(~mask, 0.0)
    if bool(values.isnan().any()):
        raise ValueError("an observation is NaN where the mask says that it is valid")
    return values


def one_lead_time(forecast: FieldForecast, observed: Tensor, mask: Tensor) -> Lead:
    """One lead time.

    Args:
        forecast: Of one lead time; NaN = missing, counts as no rain.
        observed: (B, C, H, W) mm h-1, from `known`.
        mask: (B, C, H, W) bool, True = valid observation.
    """
    missing = (forecast.missing()[:, 0] & mask).flatten(1).sum(1)
    if not forecast.gives("members"):
        field = forecast.single()[:, 0].nan_to_num(0.0).masked_fill(~mask, 0.0)
        return Lead(forecast, None, field, observed, mask, missing)
    members = forecast.members()[:, :, 0].nan_to_num(0.0).masked_fill(~mask[:, None], 0.0)
    return Lead(forecast, members, ensemble_mean(members), observed, mask, missing)


class GroupSums:
    """Sums of every family's statistics by lead time, for windows grouped in several ways at once.

    Args:
        families: Name → family of scores.
        lead_times: T.
        groups: Grouping → how many groups it has, such as {"block": 30, "hour": 24}.
        device: Where the sums are.
    """

    def __init__(
        self, families: Mapping[str, Family], lead_times: int, groups: Mapping[str, int], device: torch.device
    ) -> None:
        """Start from nothing."""
        self.families = dict(families)
        self.sharing = {name: family for name, family in families.items() if isinstance(family, SharesObserved)}
        shapes: dict[str, tuple[int, ...]] = {"missing": (), "windows": ()}
        for name, family in self.families.items():
            shapes |= {f"{name}/{statistic}": shape_of(family, statistic) for statistic in family.statistics_axes}
        self._sums = {
            grouping: {
                name: torch.zeros(count, lead_times, *shape, dtype=torch.float64, device=device)
                for name, shape in shapes.items()
            }
            for grouping, count in groups.items()
        }

    def of_observed(self, lead: Lead) -> dict[str, Any]:
        """What the families can share between forecasts of the same windows."""
        return {name: family.of_observed(lead.observed, lead.mask) for name, family in self.sharing.items()}

    def add_lead_time(self, number: int, lead: Lead, groups: Mapping[str, Tensor], seen: Mapping[str, Any]) -> None:
        """Add one lead time of a batch; different ones may be added at the same time.

        Args:
            number: Of the lead time, from 0.
            lead: Forecast and observation.
            groups: Grouping → (B,) int64 number of each window's group.
            seen: What `of_observed` said of the same observation, or nothing.
        """
        statistics = {"missing": lead.missing, "windows": lead.mask.flatten(1).any(1)}
        for name, family in self.families.items():
            values = self._statistics(name, family, lead, seen)
            statistics |= {f"{name}/{statistic}": value for statistic, value in values.items()}
        for grouping, sums in self._sums.items():
            for name, value in statistics.items():
                sums[name][:, number].index_add_(0, groups[grouping].to(value.device), value.double())

    def _statistics(self, name: str, family: Family, lead: Lead, seen: Mapping[str, Any]) -> dict[str, Tensor]:
        """Statistics of one family; NaN where the forecast cannot give what it needs."""
        if family.needs == "probability":
            return _of_probabilities(family, lead)
        fields = lead.members if family.needs == "members" else lead.mean
        if fields is None:
            shapes = {statistic: shape_of(family, statistic) for statistic in family.statistics_axes}
            return {key: lead.mean.new_full((len(lead.mean), *shape), torch.nan) for key, shape in shapes.items()}
        if name in seen:
            values = self.sharing[name].statistics(fields, lead.observed, lead.mask, seen[name])
        else:
            values = family.statistics(fields, lead.observed, lead.mask)
        thresholds = _events(family) if family.needs == "single" else ()
        unknown = [k for k, one in enumerate(thresholds) if not lead.forecast.reaches(one)]
        return _without(family, values, unknown)

    def sums(self, grouping: str) -> dict[str, Tensor]:
        """Statistic ("family/statistic", "missing" and "windows") → (groups, T, …) float64."""
        return self._sums[grouping]


def _events(family: Family) -> tuple[float, ...]:
    """Thresholds that a family counts by, mm h-1."""
    return tuple(one for one in family.axes.get("threshold", ()) if not isinstance(one, str))


def _of_probabilities(family: Family, lead: Lead) -> dict[str, Tensor]:
    """Statistics of probabilities; NaN for thresholds that the forecast says nothing of."""
    assert isinstance(family, OfThresholds)  # it is what such a family asks for
    values = family.statistics(lead.probabilities(family.thresholds), lead.observed, lead.mask)
    return _without(family, values, lead.unknown(family.thresholds))


def _without(family: Family, values: dict[str, Tensor], unknown: list[int]) -> dict[str, Tensor]:
    """The statistics with NaN for thresholds, by their places, that the forecast says nothing of."""
    if not unknown:
        return values
    for statistic, axes in family.statistics_axes.items():
        if "threshold" in axes:
            places = torch.tensor(unknown, device=values[statistic].device)
            values[statistic] = values[statistic].double().index_fill(1 + axes.index("threshold"), places, torch.nan)
    return values


def of_family(sums: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The statistics of one family, without its name."""
    return {key.removeprefix(f"{name}/"): value for key, value in sums.items() if key.startswith(f"{name}/")}


def scores_of(sums: Mapping[str, Tensor], families: Mapping[str, Family]) -> dict[str, Tensor]:
    """Every score, by "family/score", of sums with any leading axes."""
    return {
        f"{name}/{score}": value
        for name, family in families.items()
        for score, value in family.scores(of_family(sums, name)).items()
    }
