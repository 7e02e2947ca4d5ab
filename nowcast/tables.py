"""Scores as a terminal table, CSV and netCDF."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from nowcast.data.score_file import write_score_file
from nowcast.metrics import COUNTS

SCORES = ("csi", "pod", "far", "bias", "hss", "ets")
MAX_COLUMNS = 6  # lead times that fit a terminal of 80 characters


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Everything measured of one model.

    Args:
        name: The model.
        thresholds: K thresholds in mm h-1.
        lead_minutes: T lead times in minutes.
        counts: (4, K, T) int64: hits, misses, false alarms, correct negatives.
        scores: Name → (K, T) float64 for each of SCORES; NaN = undefined.
        continuous: Name → (T,) float64: mae, rmse, me, rainfall_mse, correlation, n.
        missing_forecasts: (T,) int64, forecasts missing over valid observations (counted as no rain).
    """

    name: str
    thresholds: tuple[float, ...]
    lead_minutes: tuple[float, ...]
    counts: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    continuous: dict[str, NDArray[np.float64]]
    missing_forecasts: NDArray[np.int64]


def shown_lead_times(lead_minutes: Sequence[float]) -> list[int]:
    """Indices of at most MAX_COLUMNS lead times, evenly spread, the last one included."""
    count = min(MAX_COLUMNS, len(lead_minutes))
    return sorted({round((k + 1) * len(lead_minutes) / count) - 1 for k in range(count)})


def score_table(models: Sequence[ModelScores], score: str, best: str) -> Table:
    """A table of one score: a block of rows per threshold, a row per model, a column per lead time and the mean.

    Args:
        models: The models, scored on the same windows.
        score: One of SCORES.
        best: "highest", or "nearest one" (frequency bias): the best value of a column is bold.
    """
    first = models[0]
    columns = shown_lead_times(first.lead_minutes)
    table = Table(title=f"{score.upper()} by lead time (minutes)", title_justify="left")
    table.add_column("≥ mm/h", justify="right")
    table.add_column("model")
    for index in columns:
        table.add_column(f"{first.lead_minutes[index]:g}", justify="right")
    table.add_column("mean", justify="right")
    for k, threshold in enumerate(first.thresholds):
        values = np.array([[*model.scores[score][k, columns], _mean(model.scores[score][k])] for model in models])
        winners = _winners(values, best)
        for row, model in enumerate(models):
            cells = [_cell(value, bold) for value, bold in zip(values[row], winners[row], strict=True)]
            table.add_row(f"{threshold:g}" if row == 0 else "", model.name, *cells, end_section=row == len(models) - 1)
    return table


def _mean(values: NDArray[np.float64]) -> float:
    """Mean over the lead times where the score is defined, NaN if nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _winners(values: NDArray[np.float64], best: str) -> NDArray[np.bool_]:
    badness = np.abs(values - 1) if best == "nearest one" else -values
    badness = np.where(np.isnan(badness), np.inf, badness)
    winners: NDArray[np.bool_] = (badness == badness.min(axis=0)) & np.isfinite(badness)
    return winners


def _cell(value: float, bold: bool) -> str:
    text = "-" if math.isnan(value) else f"{value:.3f}"
    return f"[bold]{text}[/bold]" if bold else text


def write_scores_csv(path: Path, models: Sequence[ModelScores]) -> None:
    """One row per model, threshold and lead time; NaN is written as nan."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "threshold", "lead_time_minutes", *COUNTS, *SCORES])
        for model in models:
            for k, threshold in enumerate(model.thresholds):
                for t, minutes in enumerate(model.lead_minutes):
                    counts = [int(count) for count in model.counts[:, k, t]]
                    values = [float(model.scores[name][k, t]) for name in SCORES]
                    writer.writerow([model.name, threshold, minutes, *counts, *values])
    partial.replace(path)


def write_continuous_csv(path: Path, models: Sequence[ModelScores]) -> None:
    """One row per model and lead time: mae, rmse, me, rainfall_mse, correlation, n, missing_forecasts."""
    names = list(models[0].continuous)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "lead_time_minutes", *names, "missing_forecasts"])
        for model in models:
            for t, minutes in enumerate(model.lead_minutes):
                values: list[Any] = [float(model.continuous[name][t]) for name in names]
                writer.writerow([model.name, minutes, *values, int(model.missing_forecasts[t])])
    partial.replace(path)


def write_scores_netcdf(path: Path, models: Sequence[ModelScores]) -> None:
    """The same as netCDF, by model, threshold (mm h-1) and lead time (minutes)."""
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
