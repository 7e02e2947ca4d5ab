"""The statistics of an archive as one picture: maps of data, rain and suspects, bars by month and hour, the record."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nowcast.data.shares.cells import CellCounts, Suspects
from nowcast.files import written_whole

UNSEEN, SUSPECT, BARS = "#b9b9b9", "#d55e00", "#0072b2"


def plot_statistics(counts: CellCounts, found: dict[str, Any], suspects: Suspects, path: Path) -> Path:
    """Write a PNG.

    Args:
        counts: Of the archive.
        found: `statistics_of` them.
        suspects: Which cells are suspected of clutter.
        path: File to write.
    """
    figure = Figure((13, 8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{found['name']}: {found['first'][:10]} to {found['last'][:10]}, {found['frames']:,} frames on "
        f"{found['days']:,} days; rain: at least 0.1 mm/h",
        fontsize=12,
    )
    upper, lower = figure.subplots(2, 3)
    _map(figure, upper[0], np.where(counts.valid > 0, 100 * counts.coverage, np.nan), "time with data, %", 100.0)
    wet = 100 * counts.wet_share
    known = wet[np.isfinite(wet)]
    most = max(float(np.quantile(known, 0.999)) if known.size else 0.0, 1.0)
    _map(figure, upper[1], wet, "time with rain, of that with data, %", most)
    _suspects(upper[2], wet, suspects.clutter(counts), suspects.wet_above, most)
    _bars(lower[0], found["months"], "month", "rain by month, % of cells")
    _bars(lower[1], found["hours"], "hour", "rain by hour (UTC), % of cells")
    _record(lower[2], found["record"])
    with written_whole(path) as partial:
        figure.savefig(partial, format="png")
    return path


def _map(figure: Figure, axes: Axes, values: NDArray[np.float64], title: str, most: float) -> None:
    axes.set(xticks=[], yticks=[], facecolor=UNSEEN)
    axes.set_title(title, fontsize=10)
    figure.colorbar(axes.imshow(values, cmap="viridis", vmin=0, vmax=most, interpolation="nearest"), ax=axes)


def _suspects(axes: Axes, wet: NDArray[np.float64], suspects: NDArray[np.bool_], wet_above: float, most: float) -> None:
    axes.set(xticks=[], yticks=[], facecolor=UNSEEN)
    axes.set_title(f"wet more than {wet_above:.0%} of the time: {int(suspects.sum()):,} cells", fontsize=10)
    axes.imshow(wet, cmap="gray", vmin=0, vmax=most, interpolation="nearest")
    rows, columns = np.nonzero(suspects)
    axes.scatter(columns, rows, s=4, marker="s", color=SUSPECT, linewidths=0)


def _bars(axes: Axes, rows: list[dict[str, Any]], key: str, title: str) -> None:
    axes.bar([row[key] for row in rows], [_percent(row["rain"]) for row in rows], color=BARS)
    axes.set_xticks([row[key] for row in rows][:: 1 if key == "month" else 3])
    axes.set_title(title, fontsize=10)
    axes.set_xlim(rows[0][key] - 0.7, rows[-1][key] + 0.7)
    axes.set_ylim(bottom=0)


def _record(axes: Axes, record: list[dict[str, Any]]) -> None:
    """Cells with data and rain of each month of the record."""
    months = np.array([row["month"] for row in record], dtype="datetime64[M]")
    axes.plot(months, [100 - _percent(row["no_data"]) for row in record], "o-", color=BARS, label="cells with data")
    axes.plot(months, [_percent(row["rain"]) for row in record], "s-", color=SUSPECT, label="rain, of these")
    axes.set_title("by month of the record, %", fontsize=10)
    axes.set_ylim(0, 103)
    axes.tick_params(axis="x", rotation=30, labelsize=8)
    axes.legend(fontsize=8)


def _percent(share: float | None) -> float:
    return np.nan if share is None else 100 * share
