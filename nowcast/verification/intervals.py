"""Scores with their uncertainty from saved sums, the differences between models, and scores by stratum."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.results.statistics_file import Statistics
from nowcast.verification.bootstrap import Bootstrap, Difference, Drawn, Estimate
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.scores.family import ComparesWithReference, Family, MayBeRedundant
from nowcast.verification.scores.sums import of_family, scores_of


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

    def knows(self, score: str) -> bool:
        """Whether any model has a score, by "family/score"."""
        return any(score in by_score for by_score in self.scores.values())

    def score(self, model: str, score: str) -> Estimate:
        """A model's score; undefined everywhere where it cannot give what the score needs.

        Raises:
            KeyError: No model has it.
        """
        return _or_undefined(self.scores, model, score)

    def mean(self, model: str, score: str) -> Estimate:
        """The same averaged over lead times."""
        return _or_undefined(self.means, model, score)


def _or_undefined(scores: Mapping[str, Mapping[str, Estimate]], model: str, score: str) -> Estimate:
    if score in scores[model]:
        return scores[model][score]
    known = [by_score[score] for by_score in scores.values() if score in by_score]
    if not known:
        raise KeyError(score)
    undefined = np.full_like(known[0].value, np.nan)
    return Estimate(undefined, undefined, undefined, np.zeros_like(known[0].lead_times))


def blocks_with_windows(statistics: Statistics) -> NDArray[np.bool_]:
    """(blocks,) whether any window of a block was scored."""
    return np.asarray((statistics.sums["block"]["windows"] > 0).any(axis=(0, 2)))


def worth_reporting(statistics: Statistics, families: Mapping[str, Family]) -> dict[str, Family]:
    """Without the families that no model can give, or that say of none more than others do, as of certain forecasts."""
    sums = {key: torch.from_numpy(values) for key, values in statistics.sums["block"].items()}
    return {
        name: family
        for name, family in given(sums, families).items()
        if not isinstance(family, MayBeRedundant) or family.is_informative(of_family(sums, name))
    }


def estimate(statistics: Statistics, families: Mapping[str, Family], bootstrap: Bootstrap) -> Estimates:
    """Scores with intervals and paired differences; every model is drawn with the same blocks.

    A model has no scores of a family whose need it cannot give, and none against a reference that is not there.
    """
    used = blocks_with_windows(statistics)
    drawn = {}
    for number, name in enumerate(statistics.models):
        sums = {key: torch.from_numpy(values[number][used]) for key, values in statistics.sums["block"].items()}
        drawn[name] = bootstrap.draw(sums, given(sums, families))
    drawn = _with_skills(drawn, families)
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


def given(sums: Mapping[str, Tensor], families: Mapping[str, Family]) -> dict[str, Family]:
    """The families that a model's sums, by "family/statistic", know something of: not all is NaN."""
    return {
        name: family
        for name, family in families.items()
        if not all(bool(part.isnan().all()) for part in of_family(sums, name).values())
    }


def _with_skills(drawn: Mapping[str, Drawn], families: Mapping[str, Family]) -> dict[str, Drawn]:
    """Every model with its skills against the references that are among them."""
    found = dict(drawn)
    for name, family in families.items():
        if not isinstance(family, ComparesWithReference) or family.reference not in drawn:
            continue
        reference = drawn[family.reference]
        for skill, score in family.skills.items():
            key = f"{name}/{score}"
            found |= {
                model: found[model].with_skill(f"{name}/{skill}", key, reference)
                for model, scores in drawn.items()
                if key in scores.value and key in reference.value
            }
    return found


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
