"""The critical success index by lead time as an SVG file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nowcast.report.plots.svg import Chart, Line, write_charts
from nowcast.verification.results import ModelScores, check_comparable


def plot_csi(models: Sequence[ModelScores], path: Path) -> Path:
    """Write a chart per threshold with a line per model, all with one axis; undefined values are gaps.

    Raises:
        ValueError: Not comparable (see check_comparable).
    """
    check_comparable(models)
    return write_charts(path, csi_charts(models), [model.name for model in models], most_columns=4)


def csi_charts(models: Sequence[ModelScores]) -> list[Chart]:
    """A chart per threshold."""
    lead = np.array(models[0].lead_minutes)
    every = np.concatenate([model.scores["csi"].ravel() for model in models])
    highest = max(np.nanmax(every, initial=0.0), 0.05)  # an axis of nothing but zeros has a length, too
    return [
        Chart(
            f"rain rate ≥ {threshold:g} mm/h",
            "lead time (minutes)",
            "CSI",
            [Line(model.name, lead, model.scores["csi"][k], number) for number, model in enumerate(models)],
            x_range=(0.0, 1.04 * lead[-1]),
            y_range=(0.0, 1.05 * highest),
        )
        for k, threshold in enumerate(models[0].thresholds)
    ]
