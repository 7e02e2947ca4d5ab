"""The files of scores and what reads them: scores.csv, errors.csv, scores.nc, a CSV for each other way of counting."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.score_file import write_score_file
from nowcast.report.csv_files import read_rows, write_rows
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.results import SCORES, ModelScores, check_comparable
from nowcast.verification.scores.categorical import COUNTS
from nowcast.verification.scores.family import Best

SCORE_COLUMNS = ("model", "threshold", "lead_time_minutes", *COUNTS, *SCORES)
OVERALL = "overall"  # in the lead-time column: one number for all lead times


def write_scores_csv(path: Path, models: Sequence[ModelScores]) -> None:
    """One row per model, threshold and lead time; full precision, NaN is written as nan.

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models)
    write_rows(path, SCORE_COLUMNS, _score_rows(models))


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
    write_rows(path, ["model", "lead_time_minutes", *names, "missing_forecasts"], rows)


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


def write_variant_csv(path: Path, models: Sequence[VariantScores]) -> None:
    """One row per model and lead time, and one with lead_time=overall per model; full precision, NaN is nan."""
    first = models[0]
    write_rows(path, ["model", f"lead_time_{first.unit}", *first.best], _variant_rows(models))


def _variant_rows(models: Sequence[VariantScores]) -> Iterator[list[Any]]:
    for model in models:
        yield [model.model, OVERALL, *(model.overall[name] for name in model.best)]
        for t, lead_time in enumerate(model.lead_times):
            yield [model.model, lead_time, *(float(model.by_lead_time[name][t]) for name in model.best)]


def read_variant_csv(path: Path, best: Mapping[str, Best]) -> list[VariantScores]:
    """Read back what write_variant_csv wrote.

    Args:
        path: The file; its name without ending is the variant.
        best: Score → "highest" or "lowest"; the scores that the file must hold.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Other columns or something that is no number.
    """
    header, *rows = read_rows(path) or [[]]
    if len(header) != len(best) + 2 or header[0] != "model" or header[2:] != list(best):
        raise DataFormatError(path, f"columns are {','.join(header)}; expected model,lead_time,{','.join(best)}")
    unit = header[1].removeprefix("lead_time_")
    try:
        return [
            _read_model(path.stem, name, unit, [row[1:] for row in rows if row[0] == name], best)
            for name in dict.fromkeys(row[0] for row in rows)
        ]
    except (ValueError, IndexError) as error:
        raise DataFormatError(path, f"a row is incomplete or holds something that is no number: {error}") from error


def _read_model(variant: str, name: str, unit: str, rows: list[list[str]], best: Mapping[str, Best]) -> VariantScores:
    overall, *others = rows
    if overall[0] != OVERALL:
        raise ValueError(f"{name} does not begin with its {OVERALL} row")
    values = np.array([[float(text) for text in row] for row in others])  # (T, 1 + scores)
    return VariantScores(
        variant,
        name,
        tuple(values[:, 0].tolist()),
        unit,
        {score: values[:, k + 1] for k, score in enumerate(best)},
        {score: float(text) for score, text in zip(best, overall[1:], strict=True)},
        best,
    )
