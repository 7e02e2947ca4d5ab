"""Scores with their uncertainty from saved sums, the differences between models, and scores by stratum."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.results.statistics_file import Statistics
from nowcast.files import written_whole
from nowcast.verification.bootstrap import Bootstrap, Difference, Estimate
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.scores.family import Family
from nowcast.verification.scores.sums import scores_of

PLACE = ("threshold_mmh", "axis", "position", "lead_time")


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


def write_estimates_csv(
    path: Path, estimates: Estimates, families: Mapping[str, Family], lead_times: Sequence[float]
) -> None:
    """One row per model, score, threshold, further axis and lead time ("mean" = over them), with its interval."""
    rows = (
        [name, *score.split("/"), *place]
        + [float(part[index]) for part in (one.value, one.low, one.high)]
        + [estimates.blocks, int(one.lead_times[index])]
        for name in estimates.scores
        for source in (estimates.scores, estimates.means)
        for score, one in source[name].items()
        for place, index in _places(score, families, lead_times if source is estimates.scores else ["mean"])
    )
    _write(path, ["model", "family", "score", *PLACE, "value", "low", "high", "blocks", "lead_times"], rows)


def write_differences_csv(
    path: Path, estimates: Estimates, families: Mapping[str, Family], lead_times: Sequence[float]
) -> None:
    """One row per pair of models, score, place and lead time: difference, gain with interval, verdict."""
    rows = (
        [*pair, *score.split("/"), *place]
        + [float(part[index]) for part in (one.value, one.gain, one.low, one.high)]
        + [str(one.verdict[index]), estimates.blocks, int(one.lead_times[index])]
        for pair in estimates.differences
        for source in (estimates.differences, estimates.mean_differences)
        for score, one in source[pair].items()
        for place, index in _places(score, families, lead_times if source is estimates.differences else ["mean"])
    )
    header = ["model", "other", "family", "score", *PLACE, "difference", "gain", "low", "high", "verdict", "blocks"]
    _write(path, [*header, "lead_times"], rows)


def write_strata_csv(path: Path, statistics: Statistics, families: Mapping[str, Family]) -> None:
    """One row per stratum, model, score of events or errors, threshold and lead time; without intervals."""
    basic = {name: families[name] for name in ("categorical", "continuous")}
    rows = (
        [grouping, label, windows, name, *score.split("/"), *place, float(values[index])]
        for grouping in statistics.groups
        for label, windows, scores in by_stratum(statistics, basic, grouping)
        for name, by_score in scores.items()
        for score, values in by_score.items()
        for place, index in _places(score, basic, statistics.lead_times)
        if not np.isnan(values[index])
    )
    regions = (
        ["region", label, "", name, "categorical", score, statistics.map_threshold, "", "", "all", float(value)]
        for label, models in by_region(statistics)
        for name, scores in models.items()
        for score, value in scores.items()
        if not value.isnan()
    )
    header = ["stratum", "group", "windows", "model", "family", "score", *PLACE, "value"]
    _write(path, header, chain(rows, regions))


def _places(
    score: str, families: Mapping[str, Family], lead_times: Sequence[Any]
) -> Iterator[tuple[list[Any], tuple[int, ...]]]:
    """Every threshold, further axis and lead time of a score, and its index."""
    name, short = score.split("/")
    family = families[name]
    axes = family.score_axes[short]
    for index in product(range(len(lead_times)), *(range(len(family.axes[axis])) for axis in axes)):
        labels = {axis: family.axes[axis][k] for axis, k in zip(axes, index[1:], strict=True)}
        threshold = labels.pop("threshold", "")
        axis, position = next(iter(labels.items()), ("", ""))
        yield [threshold, axis, position, lead_times[index[0]]], index


def _write(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            # Seven digits are more than any interval is worth, and half the size of all of them.
            writer.writerow([f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row])
