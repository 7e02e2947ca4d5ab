"""Curves of scores by lead time as PNG."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nowcast.files import written_whole
from nowcast.report.plots.colours import LINE_COLOURS, LINE_MARKERS
from nowcast.verification.results import ModelScores, check_comparable

MAX_PANELS = 4  # side by side
DPI = 100


def plot_scores(models: Sequence[ModelScores], score: str, path: Path) -> Path:
    """Write a PNG of a score by lead time: a panel per threshold, a line per model; undefined values are gaps.

    Raises:
        ValueError: Not comparable, or an unknown score (see check_comparable).
    """
    check_comparable(models, score)
    thresholds = models[0].thresholds
    lines = math.ceil(len(thresholds) / MAX_PANELS)
    columns = math.ceil(len(thresholds) / lines)
    figure = Figure(figsize=(max(3.0 * columns, 5) + 0.6, 2.8 * lines + 0.6), layout="constrained", dpi=DPI)
    # The bias of rare heavy rain is so large that a common axis would flatten all other panels.
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=score != "bias")
    for k, axes in enumerate(grid.flat):
        if k >= len(thresholds):
            axes.remove()
            continue
        _curves(axes, models, score, k)
        if k + columns >= len(thresholds):
            axes.set_xlabel("lead time (minutes)")
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency bias (1 = unbiased)" if score == "bias" else score.upper())
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(models), 4), fontsize=9, frameon=False)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path


def _curves(axes: Axes, models: Sequence[ModelScores], score: str, k: int) -> None:
    """One panel: the curves at threshold k, from zero upwards unless a score is negative."""
    every = np.array([model.scores[score] if score != "bias" else model.scores[score][k] for model in models])
    finite = every[np.isfinite(every)]
    low, high = (
        (min(0.0, finite.min()), max(finite.max(), 1.1 if score == "bias" else 0.05)) if finite.size else (0.0, 1.0)
    )
    for model, colour, marker in zip(models, cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False):
        values = model.scores[score][k]
        axes.plot(model.lead_minutes, values, color=colour, marker=marker, ms=4, lw=1.5, label=model.name)
    if all(np.isnan(model.scores[score][k]).all() for model in models):
        axes.text(0.5, 0.5, "undefined (no such rain)", transform=axes.transAxes, ha="center", color="#555555")
    axes.set_ylim(low - 0.03 * (high - low), high + 0.05 * (high - low))
    axes.set_xlim(0, 1.04 * max(models[0].lead_minutes))
    if score == "bias" or low < 0:
        axes.axhline(1.0 if score == "bias" else 0.0, color="#555555", lw=1, ls="--", zorder=1)
    axes.set_title(f"rain rate ≥ {models[0].thresholds[k]:g} mm h$^{{-1}}$", fontsize=10)
    axes.grid(alpha=0.3)
