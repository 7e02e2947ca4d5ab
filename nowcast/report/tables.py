"""Scores as tables on the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import Estimates
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.ranking import winners
from nowcast.verification.results import ModelScores, check_comparable
from nowcast.verification.scores.categorical import BEST
from nowcast.verification.scores.family import Best
from nowcast.verification.scores.lead_means import are_over_the_same, mean_where_defined

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
    first = models[0]
    columns = shown_lead_times(first.lead_minutes)
    table = _empty(f"{score.upper()} by lead time (minutes)")
    table.add_column("≥ mm/h", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in [*(f"{first.lead_minutes[index]:g}" for index in columns), "mean"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for k, threshold in enumerate(first.thresholds):
        values = np.stack([model.scores[score][k] for model in models])  # (models, T)
        _add_block(table, f"{threshold:g}", [model.name for model in models], values, columns, BEST[score])
    return table


def _empty(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def _add_block(
    table: Table, label: str, names: Sequence[str], values: NDArray[np.float64], columns: Sequence[int], best: Best
) -> None:
    """A row per model of (models, T) values at these lead times, and their mean."""
    means, counts = mean_where_defined(values, axis=1)
    won = np.hstack([winners(values[:, columns], best), winners(means, best) & are_over_the_same(values)])
    for row, name in enumerate(names):
        cells = [_cell(value, bold) for value, bold in zip(values[row, columns], won[row, :-1], strict=True)]
        part = int(counts[row, 0]) if 0 < counts[row, 0] < values.shape[1] else None
        cells.append(_cell(means[row, 0], won[row, -1], part))
        if part is not None:
            table.caption = f"/n: mean of the n of {values.shape[1]} lead times where the score is defined"
        table.add_row("" if row else label, Text(name), *cells, end_section=row == len(names) - 1)


def _cell(value: float, bold: bool, lead_times: int | None = None) -> Text:
    number = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    number += "" if lead_times is None else f"/{lead_times}"
    return Text(UNDEFINED if math.isnan(value) else number, style="bold" if bold else "")


def variant_table(models: Sequence[VariantScores]) -> Table:
    """Overall scores: a row per model, a column per score; the best of a column is bold."""
    first = models[0]
    table = _empty(f"{first.variant} scores over {len(first.lead_times)} lead times")
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
        return UNDEFINED
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def how_sure(estimates: Estimates, bootstrap: Bootstrap) -> str:
    """One sentence on the uncertainty of all numbers."""
    if not estimates.enough:
        return (
            f"{estimates.blocks} independent block{'s' if estimates.blocks != 1 else ''} of windows, fewer than "
            f"{bootstrap.min_blocks}: no intervals and no verdicts; the scores describe these windows only"
        )
    return f"Intervals: {bootstrap.level:.0%}, {bootstrap.resamples} draws of {estimates.blocks} blocks of windows"
