"""What all charts of a report are made with: the numbers of every model, by lead time or along another axis."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics
from nowcast.report.plots.svg import Chart, Line
from nowcast.report.tables import shown_lead_times
from nowcast.verification.intervals import Estimates
from nowcast.verification.scores.family import Family

LABELS = {
    "csi": "CSI", "pod": "POD", "far": "false alarm ratio", "bias": "frequency bias", "hss": "HSS", "ets": "ETS",
    "pofd": "POFD", "f1": "F1", "sedi": "SEDI", "mae": "MAE (mm/h)", "rmse": "RMSE (mm/h)", "me": "mean error (mm/h)",
    "rainfall_mse": "rainfall-MSE (mm²/h²)", "correlation": "correlation", "crps": "CRPS (mm/h)",
    "crps_fair": "fair CRPS (mm/h)", "spread": "spread (mm/h)", "skill_rmse": "RMSE of the mean (mm/h)",
    "spread_skill": "spread / error", "brier": "Brier score", "brier_skill": "Brier skill score",
    "roc_area": "area under ROC", "fss": "FSS", "spectral_ratio": "spectral ratio", "pooled_csi": "CSI after pooling",
    "pooled_bias": "bias after pooling", "balanced_mse": "balanced MSE", "balanced_mae": "balanced MAE",
    "sal_s": "SAL: S", "sal_a": "SAL: A", "sal_l": "SAL: L", "sal_abs_s": "SAL: |S|", "sal_abs_a": "SAL: |A|",
    "brier_skill_lagrangian": "skill over Lagrangian", "brier_reliability": "Brier: reliability",
    "brier_resolution": "Brier: resolution", "brier_uncertainty": "Brier: uncertainty",
    "crps_between_thresholds": "CRPS between thresholds (mm/h)",
    "csi_optimal": "CSI at the best level",
    "csi_optimal_level": "best decision level", "economic_value": "relative economic value",
    "sal_frames": "SAL: frames",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Section:
    """Charts under one heading.

    Args:
        title: The heading.
        note: What to look for, one or two sentences.
        charts: The panels.
        open: Shown at once, not folded.
    """

    title: str
    note: str
    charts: list[Chart]
    open: bool


class View:
    """Makes charts out of the estimates, of those families that were counted."""

    def __init__(self, statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> None:
        """Keep the numbers and choose the lead times to show."""
        self.families, self.estimates = families, estimates
        self.lead = np.array(statistics.lead_times)
        self.unit, self.x_label = statistics.lead_unit, f"lead time ({statistics.lead_unit})"
        self.models = list(statistics.models)
        shown = shown_lead_times(statistics.lead_times)
        self.ends, self.three = sorted({shown[0], shown[-1]}), sorted({shown[0], shown[len(shown) // 2], shown[-1]})

    def by_lead(self, family: str, score: str) -> list[Chart]:
        """A panel per threshold, or one."""
        axes = self.families[family].score_axes[score]
        places: list[tuple[int, ...]] = list(np.ndindex(*(len(self.families[family].axes[axis]) for axis in axes)))
        y_range = (0.0, 1.0) if score in ("pod", "far") else None
        return [
            Chart(
                f"{LABELS.get(score, score)}{self._where(family, axes, place)}",
                self.x_label,
                LABELS.get(score, score),
                [self.line(model, f"{family}/{score}", (slice(None), *place), self.lead) for model in self.models],
                guides=[(self.lead[[0, -1]], np.ones(2), "")] if "bias" in score or "ratio" in score else [],
                y_range=y_range,
                x_range=(0.0, float(self.lead[-1]) * 1.02),
            )
            for place in places
        ]

    def _where(self, family: str, axes: tuple[str, ...], place: tuple[int, ...]) -> str:
        words = {"threshold": "≥ {:g} mm/h", "window": "window {:g}", "pool": "blocks of {:g}"}
        parts = [
            words.get(axis, axis + " {:.3g}").format(self.families[family].axes[axis][k])
            for axis, k in zip(axes, place, strict=True)
        ]
        return f", {', '.join(parts)}" if parts else ""

    def line(self, model: str, score: str, index: tuple[int | slice, ...], x: NDArray[np.float64]) -> Line:
        """A model's curve with its interval."""
        one = self.estimates.score(model, score)
        ends = (one.low[index], one.high[index]) if self.estimates.enough else (None, None)
        return Line(model, x, one.value[index], self.models.index(model), *ends)

    def by_axis(self, family: str, score: str, axis: str, label: str) -> list[Chart]:
        """A panel per threshold and shown lead time (first, middle and last), over a further axis."""
        positions = np.array(self.families[family].axes[axis], dtype=np.float64)
        return [
            Chart(
                f"≥ {threshold:g} mm/h, after {self.lead[t]:g} {self.unit}",
                label,
                LABELS.get(score, score),
                [self.line(model, f"{family}/{score}", (t, k), positions) for model in self.models],
                x_log=len(positions) > 2,
                y_range=(0.0, 1.0),
            )
            for k, threshold in enumerate(self.families[family].axes["threshold"])
            for t in self.three
        ]
