"""Scores as a terminal table, CSV and netCDF."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from nowcast.atomic import written_whole
from nowcast.data.frame import DataFormatError
from nowcast.data.score_file import write_score_file
from nowcast.scores.categorical import COUNTS

SCORES = ("csi", "pod", "far", "bias", "hss", "ets", "pofd", "f1", "sedi")
SCORE_COLUMNS = ("model", "threshold", "lead_time_minutes", *COUNTS, *SCORES)
MAX_COLUMNS = 6  # lead times that fit a terminal of 80 characters
UNDEFINED = "\N{EN DASH}"


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

    Raises:
        ValueError: No threshold or lead time, an array of another shape, or a score missing.
    """

    name: str
    thresholds: tuple[float, ...]
    lead_minutes: tuple[float, ...]
    counts: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    continuous: dict[str, NDArray[np.float64]]
    missing_forecasts: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the shapes."""
        shape = (len(self.thresholds), len(self.lead_minutes))
        if 0 in shape:
            raise ValueError(f"{self.name}: need a threshold and a lead time, got {shape[0]} and {shape[1]}")
        if tuple(sorted(self.scores)) != tuple(sorted(SCORES)):
            raise ValueError(f"{self.name}: scores are {sorted(self.scores)}, need {sorted(SCORES)}")
        expected = {"counts": (4, *shape), "missing_forecasts": shape[1:]}
        expected |= dict.fromkeys(self.scores, shape) | dict.fromkeys(self.continuous, shape[1:])
        arrays = {"counts": self.counts, "missing_forecasts": self.missing_forecasts, **self.scores, **self.continuous}
        wrong = {name: array.shape for name, array in arrays.items() if array.shape != expected[name]}
        if wrong:
            raise ValueError(f"{self.name}: {shape[0]} thresholds and {shape[1]} lead times, but shapes {wrong}")


def check_comparable(models: Sequence[ModelScores], score: str | None = None) -> None:
    """Refuse scores that cannot stand side by side.

    Raises:
        ValueError: No model, a name twice, other thresholds or lead times, or an unknown score.
    """
    if not models:
        raise ValueError("no scores: need those of at least one model")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError(f"model names must differ, got {', '.join(names)}")
    for model in models:
        if (model.thresholds, model.lead_minutes) != (models[0].thresholds, models[0].lead_minutes):
            raise ValueError(f"{model.name} and {names[0]} have other thresholds or lead times; score them together")
    if score is not None and score not in SCORES:
        raise ValueError(f"unknown score {score!r}; known: {', '.join(SCORES)}")


def shown_lead_times(lead_minutes: Sequence[float]) -> list[int]:
    """Indices of at most MAX_COLUMNS lead times, evenly spread, the last one included."""
    count = min(MAX_COLUMNS, len(lead_minutes))
    return sorted({round((k + 1) * len(lead_minutes) / count) - 1 for k in range(count)})


def score_table(models: Sequence[ModelScores], score: str, best: str) -> Table:
    """A table of one score: a block of rows per threshold, a row per model, a column per lead time and the mean.

    Args:
        models: The models, scored on the same windows.
        score: One of SCORES.
        best: "highest", "lowest" (false alarm ratio) or "nearest one" (frequency bias): the best value of a
            column is bold, unless all are alike. The mean is over the lead times where a score is defined.

    Raises:
        ValueError: Not comparable (see check_comparable), or an unknown `best`.
    """
    check_comparable(models, score)
    first = models[0]
    columns = shown_lead_times(first.lead_minutes)
    table = Table(
        title=f"{score.upper()} by lead time (minutes)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("≥ mm/h", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in [*(f"{first.lead_minutes[index]:g}" for index in columns), "mean"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for k, threshold in enumerate(first.thresholds):
        values = np.array([[*model.scores[score][k, columns], _mean(model.scores[score][k])] for model in models])
        winners = _winners(values, best)
        for row, model in enumerate(models):
            cells = [_cell(value, bold) for value, bold in zip(values[row], winners[row], strict=True)]
            label = f"{threshold:g}" if row == 0 else ""
            table.add_row(label, Text(model.name), *cells, end_section=row == len(models) - 1)
    return table


def _mean(values: NDArray[np.float64]) -> float:
    """Mean over the lead times where the score is defined, NaN if nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _winners(values: NDArray[np.float64], best: str) -> NDArray[np.bool_]:
    """(models, columns): where a value is the best of its column and better than another defined one."""
    badness = {"highest": -values, "lowest": values, "nearest one": np.abs(values - 1)}.get(best)
    if badness is None:
        raise ValueError(f"best must be highest, lowest or nearest one, got {best!r}")
    smallest = np.where(np.isnan(badness), np.inf, badness).min(axis=0)
    largest = np.where(np.isnan(badness), -np.inf, badness).max(axis=0)
    winners: NDArray[np.bool_] = (badness == smallest) & (smallest < largest)
    return winners


def _cell(value: float, bold: bool) -> Text:
    number = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
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


def read_scores_csv(scores: Path, errors: Path) -> list[ModelScores]:
    """Read back what write_scores_csv and write_continuous_csv wrote of the same models.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Other columns, a row missing or out of order, or something that is no number.
    """
    by_threshold, by_lead_time = _read_csv(scores, SCORE_COLUMNS), _read_csv(errors, ("model", "lead_time_minutes"))
    names = list(dict.fromkeys(row["model"] for row in by_threshold))
    if not names or names != list(dict.fromkeys(row["model"] for row in by_lead_time)):
        raise DataFormatError(errors, f"does not hold the models of {scores}: {', '.join(names) or 'none'}")
    return [
        _read_model(
            name,
            (scores, [row for row in by_threshold if row["model"] == name]),
            (errors, [row for row in by_lead_time if row["model"] == name]),
        )
        for name in names
    ]


Rows = list[dict[str, str]]


def _read_csv(path: Path, columns: Sequence[str]) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        header = tuple(reader.fieldnames or ())
        rows = list(reader)
    if header[: len(columns)] != tuple(columns):
        raise DataFormatError(path, f"columns are {','.join(header)}; expected {','.join(columns)}")
    if any(None in row or None in row.values() for row in rows):
        raise DataFormatError(path, f"a row has not {len(header)} values")
    return rows


def _read_model(name: str, scores: tuple[Path, Rows], errors: tuple[Path, Rows]) -> ModelScores:
    (path, rows), (errors_path, error_rows) = scores, errors
    every = _column(path, rows, "threshold"), _column(path, rows, "lead_time_minutes")
    thresholds, minutes = (tuple(dict.fromkeys(values.tolist())) for values in every)
    product = [(threshold, minute) for threshold in thresholds for minute in minutes]
    if list(zip(*every, strict=True)) != product:
        raise DataFormatError(path, f"{name}: rows are not every threshold by every lead time, in order")
    if tuple(_column(errors_path, error_rows, "lead_time_minutes").tolist()) != minutes:
        raise DataFormatError(errors_path, f"{name}: lead times are not those of {path}")
    shape = (len(thresholds), len(minutes))
    keys = [key for key in error_rows[0] if key not in ("model", "lead_time_minutes", "missing_forecasts")]
    return ModelScores(
        name,
        thresholds,
        minutes,
        np.stack([_column(path, rows, key, int).reshape(shape) for key in COUNTS]),
        {key: _column(path, rows, key).reshape(shape) for key in SCORES},
        {key: _column(errors_path, error_rows, key) for key in keys},
        _column(errors_path, error_rows, "missing_forecasts", int),
    )


def _column(path: Path, rows: Sequence[Mapping[str, str]], key: str, kind: type = float) -> NDArray[Any]:
    try:
        return np.array([kind(row[key]) for row in rows], dtype=np.int64 if kind is int else np.float64)
    except (KeyError, ValueError) as error:
        raise DataFormatError(path, f"column {key} is missing or holds something that is no {kind.__name__}") from error


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
