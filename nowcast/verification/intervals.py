"""Scores with their uncertainty from saved sums, the differences between models, and scores by stratum."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.results.statistics_file import Statistics
from nowcast.verification.bootstrap import Bootstrap, Difference, Estimate
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.scores.family import Family
from nowcast.verification.scores.sums import scores_of


@dataclass(frozen=True, eq=False)
class Estimates:
    """All numbers of a report.

    Attributes:
        blocks: Independent blocks that hold a window.
        windows: Windows that were scored.
        enough: Whether there are blocks enough for intervals and verdicts.
        scores: Model → "family/score" → estimate (T, …).
        means: The same averaged over the lead times where a score is defined: (1, …).
        differences: (model, other) → "family/score" → difference (T, …).
        mean_differences: The same averaged over the lead times where the scores of both are defined: (1, …).
    """

    blocks: int
    windows: int
    enough: bool
    scores: dict[str, dict[str, Estimate]]
    means: dict[str, dict[str, Estimate]]
    differences: dict[tuple[str, str], dict[str, Difference]]
    mean_differences: dict[tuple[str, str], dict[str, Difference]]


def blocks_with_windows(statistics: Statistics) -> NDArray[np.bool_]:
    """(blocks,) whether any window of a block was scored."""
    return np.asarray((statistics.sums["block"]["windows"] > 0).any(axis=(0, 2)))


def estimate(statistics: Statistics, families: Mapping[str, Family], bootstrap: Bootstrap) -> Estimates:
    """Scores with intervals and paired differences; every model is drawn with the same blocks."""
    used = blocks_with_windows(statistics)
    drawn = {
        name: bootstrap.draw(
            {key: torch.from_numpy(values[number][used]) for key, values in statistics.sums["block"].items()}, families
        )
        for number, name in enumerate(statistics.models)
    }
    pairs = list(combinations(statistics.models, 2))
    return Estimates(
        blocks=int(used.sum()),
        windows=int(statistics.sums["block"]["windows"][0].sum(axis=0).max()),
        enough=int(used.sum()) >= bootstrap.min_blocks,
        scores={name: bootstrap.estimates(scores) for name, scores in drawn.items()},
        means={name: bootstrap.mean_estimates(scores) for name, scores in drawn.items()},
        differences={(a, b): bootstrap.differences(drawn[a], drawn[b]) for a, b in pairs},
        mean_differences={(a, b): bootstrap.mean_differences(drawn[a], drawn[b]) for a, b in pairs},
    )


def by_stratum(
    statistics: Statistics, families: Mapping[str, Family], grouping: str
) -> Iterator[tuple[str, int, dict[str, dict[str, NDArray[np.float64]]]]]:
    """Label, number of windows, and model → "family/score" → (T, …) of every group that has windows."""
    sums = statistics.sums[grouping]
    for number, label in enumerate(statistics.groups[grouping]):
        windows = int(sums["windows"][0, number].max())
        if windows == 0:
            continue
        scores: dict[str, dict[str, NDArray[np.float64]]] = {}
        for index, name in enumerate(statistics.models):
            parts: dict[str, Tensor] = {key: torch.from_numpy(value[index, number]) for key, value in sums.items()}
            scores[name] = {key: value.numpy() for key, value in scores_of(parts, families).items()}
        yield label, windows, scores


REGIONS = (("NW", "N", "NE"), ("W", "centre", "E"), ("SW", "S", "SE"))


def by_region(statistics: Statistics) -> Iterator[tuple[str, dict[str, dict[str, Tensor]]]]:
    """Ninths of the grid from the score map: label, and model → categorical score at the map's threshold.

    All lead times are taken together; nothing where windows show different places.
    """
    if statistics.map_counts is None or min(statistics.map_counts.shape[-2:]) < 3:
        return
    bands = [np.array_split(row, 3, axis=-1) for row in np.array_split(statistics.map_counts, 3, axis=-2)]
    for labels, parts in zip(REGIONS, bands, strict=True):
        for label, counts in zip(labels, parts, strict=True):
            summed = torch.from_numpy(counts.sum(axis=(-2, -1)))  # (M, 4)
            yield label, dict(zip(statistics.models, map(categorical_scores, summed), strict=True))
