"""The paper's figures out of our runs: scores by lead time (figure 5), forecasts (figure 6), and loss by epoch."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nowcast.files import written_whole
from nowcast.report.paper.rows import PaperRow
from nowcast.report.plots.colours import LINE_COLOURS, LINE_MARKERS

NAMES = {"csi": "CSI", "far": "FAR", "pod": "POD", "correlation": "correlation"}


def plot_lead_times(rows: Sequence[PaperRow], scores: Sequence[str], path: Path) -> Path | None:
    """Write figure 5: a panel per score, a line per model; undefined values are gaps. None without any score."""
    scored = [row for row in rows if row.scores is not None]
    if not scored or not scores:
        return None
    columns = min(2, len(scores))
    lines = math.ceil(len(scores) / columns)
    figure = _figure(4.2 * columns, 3.0 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    for axes, score in zip(grid.flat, scores, strict=False):
        for row, colour, marker in zip(scored, cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False):
            assert row.scores is not None  # chosen so
            values = row.scores.by_lead_time[score]
            axes.plot(row.scores.lead_times, values, color=colour, marker=marker, ms=4, lw=1.4, label=row.label)
        _dress(axes, NAMES.get(score, score))
    for axes in grid[-1]:
        axes.set_xlabel(f"lead time ({scored[0].scores.unit})" if scored[0].scores else "")
    return _write(figure, grid[0, 0], path)


def plot_losses(rows: Sequence[PaperRow], title: str, path: Path) -> Path | None:
    """Write the validation loss by epoch, a line per run; None without any epoch."""
    trained: dict[Path, tuple[str, list[tuple[int, float]]]] = {}
    for row in rows:
        if row.run is not None and row.run.losses and row.is_network:
            trained.setdefault(row.run.folder, (row.label, row.run.losses))  # two rows may share a training
    if not trained:
        return None
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    for (label, losses), colour, marker in zip(
        trained.values(), cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False
    ):
        epochs, values = zip(*losses, strict=True)
        axes.plot([epoch + 1 for epoch in epochs], values, color=colour, marker=marker, ms=3, lw=1.4, label=label)
    _dress(axes, title)
    axes.set_xlabel("epoch")
    return _write(figure, axes, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    return figure


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)


def _write(figure: Figure, labelled: Axes, path: Path) -> Path:
    handles, labels = labelled.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3), fontsize=9, frameon=False)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path
