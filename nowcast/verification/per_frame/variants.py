"""Scores by lead time in another way of counting than the pooled default: as table and CSV."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from nowcast.data.archive.frame import DataFormatError
from nowcast.files import written_whole
from nowcast.verification.ranking import winners
from nowcast.verification.scores.family import Best

OVERALL = "overall"  # in the lead-time column: one number for all lead times


@dataclass(frozen=True, eq=False)
class VariantScores:
    """One model's scores in one way of counting.

    Args:
        variant: Name of the way, such as "paper".
        model: Name of the model.
        lead_times: T lead times.
        unit: Of the lead times: "minutes" or "frames".
        by_lead_time: Score → (T,) float64, NaN = undefined.
        overall: Score → its one number over all lead times, NaN where it is undefined at one of them.
        best: Score → "highest" or "lowest".
    """

    variant: str
    model: str
    lead_times: tuple[float, ...]
    unit: str
    by_lead_time: dict[str, NDArray[np.float64]]
    overall: dict[str, float]
    best: Mapping[str, Best]


def variant_table(models: Sequence[VariantScores]) -> Table:
    """Overall scores: a row per model, a column per score; the best of a column is bold."""
    first = models[0]
    table = Table(
        title=f"{first.variant} scores over {len(first.lead_times)} lead times",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("model", overflow="fold")
    for name in first.overall:
        table.add_column(name, justify="right", overflow="fold")
    values = np.array([[model.overall[name] for name in first.overall] for model in models])  # (models, scores)
    won = np.stack([winners(values[:, k], first.best[name]) for k, name in enumerate(first.overall)], axis=1)
    for row, model in enumerate(models):
        cells = [
            Text(shown(value), style="bold" if bold else "") for value, bold in zip(values[row], won[row], strict=True)
        ]
        table.add_row(Text(model.model), *cells)
    return table


def shown(value: float) -> str:
    """A score with as many digits as are worth reading; "–" if undefined."""
    if math.isnan(value):
        return "\N{EN DASH}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def write_variant_csv(path: Path, models: Sequence[VariantScores]) -> None:
    """One row per model and lead time, and one with lead_time=overall per model; full precision, NaN is nan."""
    first = models[0]
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", f"lead_time_{first.unit}", *first.best])
        for model in models:
            writer.writerow([model.model, OVERALL, *(model.overall[name] for name in first.best)])
            for t, lead_time in enumerate(model.lead_times):
                writer.writerow([model.model, lead_time, *(float(model.by_lead_time[name][t]) for name in first.best)])


def read_variant_csv(path: Path, best: Mapping[str, Best]) -> list[VariantScores]:
    """Read back what write_variant_csv wrote.

    Args:
        path: The file; its name without ending is the variant.
        best: Score → "highest" or "lowest"; the scores that the file must hold.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Other columns or something that is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file, strict=True)) or [[]]
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
