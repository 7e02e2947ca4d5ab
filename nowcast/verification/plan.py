"""What is counted while models run, and the scores that come of it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nowcast.data.results.statistics_file import Statistics
from nowcast.forecasting.forecast import FieldForecast
from nowcast.verification.per_frame.metrics import LeadTimeScores
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.results import ModelScores
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.scores.continuous import Continuous
from nowcast.verification.scores.family import Family, summed_axes
from nowcast.verification.scores.sums import GroupSums, known, one_lead_time
from nowcast.verification.strata import Groups

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoringPlan:
    """What to score, and over which lead times.

    Args:
        main_threshold: The one that windows are ordered and maps drawn by; None where the data is no rain.
        variants: Name → what makes a metric from lead_times=T.
        lead_times: T lead times.
        lead_unit: Theirs: "minutes" or "frames".
        families: Scores of rain by name, "categorical" and "continuous" among them; empty where the data is no rain.
        family_settings: What they are built from, plain types.
        groups: How windows are grouped; None where the data is no rain.
        map_shape: (H, W) when all windows show the same cells, so that scores can be mapped.
        common_mask: Leave out, for all models, cells where one has no forecast.
    """

    main_threshold: float | None
    variants: Mapping[str, Callable[..., LeadTimeScores]]
    lead_times: tuple[float, ...]
    lead_unit: str
    families: Mapping[str, Family]
    family_settings: Mapping[str, Any]
    groups: Groups | None
    map_shape: tuple[int, int] | None
    common_mask: bool


@dataclass(frozen=True)
class Scores:
    """What came out.

    Attributes:
        pooled: Pooled scores by model.
        variants: Every variant's scores by model.
        statistics: The sums behind the pooled scores, without facts and examples; None where the data is no rain.
        window_scores: CSI of the first model at the main threshold for each window in the loader's order, NaN where
            too few of the cells were observed to rain so much; empty where the data is no rain.
    """

    pooled: list[ModelScores]
    variants: list[VariantScores]
    statistics: Statistics | None
    window_scores: list[float]


class ModelSums:
    """All that is summed for one model."""

    def __init__(self, plan: ScoringPlan, device: torch.device) -> None:
        """Start from nothing."""
        steps, groups = len(plan.lead_times), plan.groups
        self.threshold = plan.main_threshold
        self.variants = {name: make(lead_times=steps).to(device) for name, make in plan.variants.items()}
        self.groups = self.map = None
        if groups is not None:
            sizes = {name: len(labels) for name, labels in groups.labels.items()}
            self.groups = GroupSums(plan.families, steps, sizes, device)
        if plan.map_shape is not None:
            self.map = torch.zeros(4, *plan.map_shape, dtype=torch.int64, device=device)

    def add(self, forecast: FieldForecast, targets: Tensor, mask: Tensor, logits: Tensor | None) -> None:
        """Add a batch to variants and maps; a network's logits where they are the forecast."""
        field = forecast.single()
        for variant in self.variants.values():
            variant.update(field, targets, mask, logits)
        if self.map is not None and self.threshold is not None and forecast.reaches(self.threshold):
            said, seen = (field >= self.threshold) & mask, (targets >= self.threshold) & mask  # NaN is no rain
            fields = (said & seen, said, seen, mask)
            hits, forecasts, events, cells = (
                part.flatten(0, 2).view(torch.uint8).sum(0, dtype=torch.int32) for part in fields
            )
            misses, false_alarms = events - hits, forecasts - hits
            self.map += torch.stack([hits, misses, false_alarms, cells - hits - misses - false_alarms])


def add_lead_time(
    number: int,
    sums: Sequence[ModelSums],
    forecasts: Sequence[FieldForecast],
    targets: Tensor,
    mask: Tensor,
    numbers: Mapping[str, Tensor],
) -> None:
    """Add one lead time of a batch to the groups of several models; the work on the observation is done once.

    Args:
        number: Of the lead time, from 0.
        sums: Of each model.
        forecasts: Of each model; NaN = missing.
        targets: (B, T, C, H, W) mm h-1.
        mask: (B, T, C, H, W) bool, cells that count.
        numbers: Grouping → (B,) group of each window.
    """
    seen, observed, valid = None, known(targets[:, number], mask[:, number]), mask[:, number]
    for model, forecast in zip(sums, forecasts, strict=True):
        assert model.groups is not None  # rain is counted, or this is not called
        lead = one_lead_time(forecast.lead(number), observed, valid)
        seen = model.groups.of_observed(lead) if seen is None else seen
        model.groups.add_lead_time(number, lead, numbers, seen)


def collect(sums: Mapping[str, ModelSums], plan: ScoringPlan, window_scores: list[float]) -> Scores:
    """Scores of all models."""
    variants = [
        _variant(name, variant, metric, plan)
        for name, model in sums.items()
        for variant, metric in model.variants.items()
    ]
    if plan.groups is None:
        return Scores([], variants, None, [])
    statistics = _statistics(sums, plan)
    return Scores(pooled_scores(statistics), variants, statistics, window_scores)


def pooled_scores(statistics: Statistics) -> list[ModelScores]:
    """Scores of events and errors of every model, over all blocks."""
    return [_summary(statistics, number) for number in range(len(statistics.models))]


def _variant(name: str, variant: str, metric: LeadTimeScores, plan: ScoringPlan) -> VariantScores:
    by_lead_time = {score: values.cpu().numpy().reshape(-1) for score, values in metric.compute().items()}
    return VariantScores(
        variant, name, tuple(plan.lead_times), plan.lead_unit, by_lead_time, metric.overall(), metric.best
    )


def _statistics(models: Mapping[str, ModelSums], plan: ScoringPlan) -> Statistics:
    assert plan.groups is not None
    by_model = [
        {
            grouping: {key: value.cpu().numpy() for key, value in model.groups.sums(grouping).items()}
            for grouping in plan.groups.labels
        }
        for model in models.values()
        if model.groups is not None
    ]
    families = plan.families
    maps = [model.map.cpu().numpy() for model in models.values() if model.map is not None]
    return Statistics(
        models=tuple(models),
        lead_times=tuple(plan.lead_times),
        lead_unit=plan.lead_unit,
        groups=plan.groups.labels,
        sums={
            grouping: {key: np.stack([model[grouping][key] for model in by_model]) for key in by_model[0][grouping]}
            for grouping in plan.groups.labels
        },
        axes={"windows": (), "missing": ()}
        | {f"{name}/{key}": axes for name, family in families.items() for key, axes in family.statistics_axes.items()},
        labels={
            f"{name}/{axis}": family.axes[axis] for name, family in families.items() for axis in summed_axes(family)
        },
        families=dict(plan.family_settings),
        facts={},
        map_counts=np.stack(maps) if maps else None,
        map_threshold=plan.main_threshold if maps else None,
    )


def _summary(statistics: Statistics, number: int) -> ModelScores:
    """Pooled scores of one model from its sums over all blocks."""
    name = statistics.models[number]
    sums = {key: values[number].sum(axis=0) for key, values in statistics.sums["block"].items()}
    counts = torch.from_numpy(sums["categorical/counts"])  # (T, K, 4)
    moments = torch.from_numpy(sums["continuous/moments"])  # (T, 7)
    missing = sums["missing"].astype(np.int64)
    if missing.any():
        log.warning(
            "%s: %d forecast values were missing over valid observations and count as no rain",
            name,
            missing.sum(),
        )
    continuous = Continuous().scores({"moments": moments}) | {"n": moments[:, 0]}
    return ModelScores(
        name,
        tuple(statistics.labels["categorical/threshold"]),
        statistics.lead_times,
        counts.nan_to_num(0.0).permute(2, 1, 0).to(torch.int64).numpy(),
        {key: value.T.numpy() for key, value in categorical_scores(counts).items()},
        {key: value.numpy() for key, value in continuous.items()},
        missing,
    )
