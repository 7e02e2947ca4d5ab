"""The paper's figures out of our runs: scores by lead time (figure 5), and loss by epoch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nowcast.report.paper.rows import PaperRow
from nowcast.report.plots.svg import Chart, Line, write_charts

NAMES = {"csi": "CSI", "far": "FAR", "pod": "POD", "correlation": "correlation"}


def plot_lead_times(rows: Sequence[PaperRow], scores: Sequence[str], path: Path) -> Path | None:
    """Write figure 5: a chart per score, a line per model; undefined values are gaps. None without any score."""
    scored = [(row.label, row.scores) for row in rows if row.scores is not None]
    if not scored or not scores:
        return None
    charts = [
        Chart(
            NAMES.get(score, score),
            f"lead time ({scored[0][1].unit})",
            NAMES.get(score, score),
            [
                Line(label, np.array(ours.lead_times), ours.by_lead_time[score], number)
                for number, (label, ours) in enumerate(scored)
            ],
        )
        for score in scores
    ]
    return write_charts(path, charts, [label for label, _ in scored], most_columns=2)


def plot_losses(rows: Sequence[PaperRow], path: Path) -> Path | None:
    """Write the validation loss by epoch, a line per run; None without any epoch."""
    trained: dict[Path, tuple[str, list[tuple[int, float]]]] = {}
    for row in rows:
        if row.run is not None and row.run.losses and row.is_network:
            trained.setdefault(row.run.folder, (row.label, row.run.losses))  # two rows may share a training
    if not trained:
        return None
    lines = [
        Line(label, np.array([epoch + 1.0 for epoch, _ in losses]), np.array([loss for _, loss in losses]), number)
        for number, (label, losses) in enumerate(trained.values())
    ]
    chart = Chart("loss of the validation windows", "epoch", "loss", lines, x_whole=True, y_zero=False)
    return write_charts(path, [chart], [line.name for line in lines], most_columns=1)
