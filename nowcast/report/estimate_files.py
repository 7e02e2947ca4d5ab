"""The files of estimates: intervals.csv, differences.csv, strata.csv and events.csv."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics
from nowcast.report.csv_files import write_rows
from nowcast.verification.intervals import Estimates, by_region, by_stratum
from nowcast.verification.scores.family import Family

PLACE = ("threshold_mmh", "axis", "position", "lead_time")
DIGITS = ".7g"  # more than any interval is worth, and half the size of all of them


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
    write_rows(
        path,
        ["model", "family", "score", *PLACE, "value", "low", "high", "blocks", "lead_times"],
        rows,
        number_format=DIGITS,
    )


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
    write_rows(path, [*header, "lead_times"], rows, number_format=DIGITS)


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
    write_rows(path, header, chain(rows, regions), number_format=DIGITS)


def write_events_csv(path: Path, statistics: Statistics, families: Mapping[str, Family]) -> None:
    """In how many events (archives) the CSI of a model is above, as high as and below that of another.

    One row per pair, threshold and lead time; "every other" is the best of all others. Where neither forecast nor
    observation had any such rain the CSI counts as 0, as where nothing was hit: the two are level.
    """
    basic = {"categorical": families["categorical"]}
    scores = [values for _, _, values in by_stratum(statistics, basic, "event")]
    csi = {
        model: np.nan_to_num(np.stack([one[model]["categorical/csi"] for one in scores], axis=-1))
        for model in statistics.models
    }
    rivals = [(model, other, csi[other]) for model, other in permutations(csi, 2)]
    if len(csi) > 2:
        rivals += [(one, "every other", np.max([csi[other] for other in csi if other != one], axis=0)) for one in csi]
    rows = (
        [model, other, place[0], place[3], *_counted(csi[model][index], best[index])]
        for model, other, best in rivals
        for place, index in _places("categorical/csi", basic, statistics.lead_times)
    )
    write_rows(
        path, ["model", "other", "threshold_mmh", "lead_time", "ahead", "level", "behind"], rows, number_format=DIGITS
    )


def _counted(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> list[int]:
    """How often one is above, as high as and below the other."""
    return [int(count.sum()) for count in (ours > theirs, ours == theirs, ours < theirs)]


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
