"""Scores as a terminal table, CSV and netCDF."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from nowcast.data.results.score_file import write_score_file
from nowcast.files import written_whole
from nowcast.verification.ranking import winners
from nowcast.verification.results import SCORES, ModelScores, check_comparable
from nowcast.verification.scores.categorical import BEST, COUNTS
from nowcast.verification.scores.lead_means import are_over_the_same, mean_where_defined

SCORE_COLUMNS = ("model", "threshold", "lead_time_minutes", *COUNTS, *SCORES)
MAX_COLUMNS = 6  # lead times that fit a terminal of 80 characters
UNDEFINED = "\N{EN DASH}"


def shown_lead_times(lead_minutes: Sequence[float]) -> list[int]:
    """Indices of at most MAX_COLUMNS lead times, evenly spread, the last one included."""
    count = min(MAX_COLUMNS, len(lead_minutes))
    return sorted({round((k + 1) * len(lead_minutes) / count) - 1 for k in range(count)})


def score_table(models: Sequence[ModelScores], score: str) -> Table:
    """A table of one score: a block of rows per threshold, a row per model, a column per lead time and the mean.

    The best value of a column is bold, unless all are alike. The mean is over the lead times where a score is defined;
    a number behind a stroke says how many they are when not all, and none is bold when models have other ones.

    Args:
        models: The models, scored on the same windows.
        score: One of SCORES.

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models, score)
    first, best = models[0], BEST[score]
    columns = shown_lead_times(first.lead_minutes)
    table = Table(
        title=f"{score.upper()} by lead time (minutes)",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("≥ mm/h", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in [*(f"{first.lead_minutes[index]:g}" for index in columns), "mean"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for k, threshold in enumerate(first.thresholds):
        values = np.stack([model.scores[score][k] for model in models])  # (models, T)
        means, counts = mean_where_defined(values, axis=1)
        won = np.hstack([winners(values[:, columns], best), winners(means, best) & are_over_the_same(values)])
        for row, model in enumerate(models):
            cells = [_cell(value, bold) for value, bold in zip(values[row, columns], won[row, :-1], strict=True)]
            part = int(counts[row, 0]) if 0 < counts[row, 0] < values.shape[1] else None
            cells.append(_cell(means[row, 0], won[row, -1], part))
            if part is not None:
                table.caption = f"/n: mean of the n of {values.shape[1]} lead times where the score is defined"
            label = f"{threshold:g}" if row == 0 else ""
            table.add_row(label, Text(model.name), *cells, end_section=row == len(models) - 1)
    return table


def _cell(value: float, bold: bool, lead_times: int | None = None) -> Text:
    number = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    number += "" if lead_times is None else f"/{lead_times}"
    return Text(UNDEFINED if math.isnan(value) else number, style="bold" if bold else "")


def write_scores_csv(path: Path, models: Sequence[ModelScores]) -> None:
    """One row per model, threshold and lead time; full precision, NaN is written as nan.

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models)
    _write_csv(path, SCORE_COLUMNS, _score_rows(models))


def _score_rows(models: Sequence[ModelScores]) -> Iterator[list[Any]]:
    for model in models:
        for k, threshold in enumerate(model.thresholds):
            for t, minutes in enumerate(model.lead_minutes):
                counts = [int(count) for count in model.counts[:, k, t]]
                yield [model.name, threshold, minutes, *counts, *(float(model.scores[name][k, t]) for name in SCORES)]


def write_continuous_csv(path: Path, models: Sequence[ModelScores]) -> None:
    """One row per model and lead time: mae, rmse, me, rainfall_mse, correlation, n, missing_forecasts.

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models)
    names = list(models[0].continuous)
    rows = (
        [model.name, minutes, *(float(model.continuous[name][t]) for name in names), int(model.missing_forecasts[t])]
        for model in models
        for t, minutes in enumerate(model.lead_minutes)
    )
    _write_csv(path, ["model", "lead_time_minutes", *names, "missing_forecasts"], rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")  # csv writes a float with repr, which loses nothing
        writer.writerow(header)
        writer.writerows(rows)


def write_scores_netcdf(path: Path, models: Sequence[ModelScores]) -> None:
    """The same as netCDF, by model, threshold (mm h-1) and lead time (minutes).

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models)
    by_threshold: dict[str, NDArray[Any]] = {
        name: np.stack([model.counts[index] for model in models]) for index, name in enumerate(COUNTS)
    }
    by_threshold |= {name: np.stack([model.scores[name] for model in models]) for name in SCORES}
    by_lead_time: dict[str, NDArray[Any]] = {
        name: np.stack([model.continuous[name] for model in models]) for name in models[0].continuous
    }
    by_lead_time["missing_forecasts"] = np.stack([model.missing_forecasts for model in models])
    write_score_file(
        path,
        [model.name for model in models],
        models[0].thresholds,
        models[0].lead_minutes,
        by_threshold,
        by_lead_time,
    )
