"""Which charts a report shows, and of which numbers."""

from collections.abc import Iterator, Mapping
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
    "sal_frames": "SAL: frames",
}  # fmt: skip
CURVES = ("reliability", "forecast_probability", "forecast_share", "roc_pod", "roc_pofd", "rank_histogram")


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


def sections(statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> Iterator[Section]:
    """All charts, the most asked for first."""
    view = _View(statistics, families, estimates)
    yield Section(
        "Critical success index and frequency bias by lead time",
        "CSI: of all cells where rain was forecast or observed, the share where it was both; best 1. Bias: how often "
        "rain was forecast for each time it was observed; best 1, below 1 it rains too seldom.",
        [*view.by_lead("categorical", "csi"), *view.by_lead("categorical", "bias")],
        open=True,
    )
    yield Section(
        "Performance diagram",
        "POD against success ratio (1 - false alarm ratio), a point per lead time, the first one at the top right of "
        "its curve as a rule; best is the upper right corner. Grey: lines of equal CSI (curved) and bias (straight).",
        view.performance(),
        open=True,
    )
    yield Section(
        "Errors of the rain rate by lead time",
        "A forecast with little variability has a small RMSE: read it beside bias and spectra.",
        [chart for score in ("mae", "rmse", "me", "correlation") for chart in view.by_lead("continuous", score)],
        open=True,
    )
    for name in families:
        if name.startswith("fss"):
            border = getattr(families[name], "border", "")
            yield Section(
                f"Fractions skill score by scale (border: {border})",
                "Skill when rain may be displaced within a square window; best 1. Larger windows forgive more.",
                view.by_axis(name, "fss", "window", "window (cells)"),
                open=name == "fss",
            )
    if "spectrum" in families:
        yield Section(
            "Spectra by lead time",
            "Power of the forecast over that of the observation by wavelength: below 1 at short waves, it is blurred.",
            [*view.spectra("spectral_ratio"), *view.observed_spectra()],
            open=True,
        )
    yield from view.ensembles()
    yield Section(
        "All other scores by lead time", "", list(view.others()), open=False,
    )  # fmt: skip


class _View:
    """Picks numbers out of the estimates."""

    def __init__(self, statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> None:
        self.families, self.estimates = families, estimates
        self.lead = np.array(statistics.lead_times)
        self.x_label = f"lead time ({statistics.lead_unit})"
        self.models = list(statistics.models)
        self.shown = shown_lead_times(statistics.lead_times)

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
                [self._line(model, f"{family}/{score}", (slice(None), *place), self.lead) for model in self.models],
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

    def _line(self, model: str, score: str, index: tuple[int | slice, ...], x: NDArray[np.float64]) -> Line:
        one = self.estimates.scores[model][score]
        ends = (one.low[index], one.high[index]) if self.estimates.enough else (None, None)
        return Line(model, x, one.value[index], self.models.index(model), *ends)

    def performance(self) -> list[Chart]:
        """POD against success ratio by threshold."""
        guides = [*_csi_lines(), *_bias_lines()]
        return [
            Chart(
                f"≥ {threshold:g} mm/h",
                "success ratio (1 - FAR)",
                "POD",
                [
                    Line(
                        model,
                        1 - self.estimates.scores[model]["categorical/far"].value[:, k],
                        self.estimates.scores[model]["categorical/pod"].value[:, k],
                        number,
                    )
                    for number, model in enumerate(self.models)
                ],
                guides=guides,
                x_range=(0.0, 1.0),
                y_range=(0.0, 1.0),
            )
            for k, threshold in enumerate(self.families["categorical"].axes["threshold"])
        ]

    def by_axis(self, family: str, score: str, axis: str, label: str) -> list[Chart]:
        """A panel per threshold and shown lead time (first, middle and last), over a further axis."""
        positions = np.array(self.families[family].axes[axis], dtype=np.float64)
        leads = sorted({self.shown[0], self.shown[len(self.shown) // 2], self.shown[-1]})
        return [
            Chart(
                f"≥ {threshold:g} mm/h, after {self.lead[t]:g} {self.x_label.split('(')[1].rstrip(')')}",
                label,
                LABELS.get(score, score),
                [self._line(model, f"{family}/{score}", (t, k), positions) for model in self.models],
                x_log=len(positions) > 2,
                y_range=(0.0, 1.0),
            )
            for k, threshold in enumerate(self.families[family].axes["threshold"])
            for t in leads
        ]

    def spectra(self, score: str) -> list[Chart]:
        """A panel per shown lead time."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        return [
            Chart(
                f"spectral ratio after {self.lead[t]:g} {self.x_label.split('(')[1].rstrip(')')}",
                "wavelength (cells)",
                "forecast / observed",
                [self._line(model, f"spectrum/{score}", (t,), waves) for model in self.models],
                guides=[(waves, np.ones_like(waves), "")],
                x_log=True,
                y_log=True,
            )
            for t in sorted({self.shown[0], self.shown[len(self.shown) // 2], self.shown[-1]})
        ]

    def observed_spectra(self) -> list[Chart]:
        """Power of forecasts at the last lead time beside that of the observation."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        lines = [self._line(model, "spectrum/rapsd_forecast", (-1,), waves) for model in self.models]
        observed = self.estimates.scores[self.models[0]]["spectrum/rapsd_observed"].value[-1]
        return [
            Chart(
                f"power after {self.lead[-1]:g} {self.x_label.split('(')[1].rstrip(')')} (grey: observed)",
                "wavelength (cells)",
                "mm²/h²",
                lines,
                guides=[(waves, observed, "")],
                x_log=True,
                y_log=True,
            )
        ]

    def ensembles(self) -> Iterator[Section]:
        """Reliability, ROC and ranks, where they were counted."""
        if "probability" not in self.families:
            return
        leads = sorted({self.shown[0], self.shown[-1]})
        thresholds = self.families["probability"].axes["threshold"]
        unit = self.x_label.split("(")[1].rstrip(")")
        minutes = [f"after {self.lead[t]:g} {unit}" for t in leads]
        diagonal = np.array([0.0, 1.0])
        yield Section(
            "Reliability",
            "How often it rained when a probability was forecast; the diagonal is reliable.",
            [
                self._against("forecast_probability", "reliability", t, k, f"≥ {threshold:g} mm/h, {when}", diagonal)
                for k, threshold in enumerate(thresholds)
                for t, when in zip(leads, minutes, strict=True)
            ],
            open=True,
        )
        yield Section(
            "Relative operating characteristic",
            "POD against POFD of every decision level; the diagonal has no skill.",
            [
                self._against("roc_pofd", "roc_pod", t, k, f"≥ {threshold:g} mm/h, {when}", diagonal)
                for k, threshold in enumerate(thresholds)
                for t, when in zip(leads, minutes, strict=True)
            ],
            open=False,
        )
        if "rank" in self.families:
            ranks = np.array(self.families["rank"].axes["rank"], dtype=np.float64)
            yield Section(
                "Rank histogram",
                "Where the observation falls among the members; flat is reliable, a U is too sure.",
                [
                    Chart(
                        when,
                        "rank of the observation",
                        "share",
                        [self._line(model, "rank/rank_histogram", (t,), ranks) for model in self.models],
                        guides=[(np.array([0.0, 1.0]), np.full(2, 1 / len(ranks)), "")],
                        x_range=(0.0, 1.0),
                    )
                    for t, when in zip(leads, minutes, strict=True)
                ],
                open=True,
            )

    def _against(self, x: str, y: str, t: int, k: int, title: str, diagonal: NDArray[np.float64]) -> Chart:
        labels = {"reliability": ("forecast probability", "observed frequency"), "roc_pod": ("POFD", "POD")}[y]
        scores = {model: self.estimates.scores[model] for model in self.models}
        lines = [
            Line(model, scores[model][f"probability/{x}"].value[t, k], scores[model][f"probability/{y}"].value[t, k], n)
            for n, model in enumerate(self.models)
        ]
        kept = [
            Line(line.name, line.x[np.isfinite(line.x)], line.y[np.isfinite(line.x)], line.number) for line in lines
        ]
        return Chart(title, *labels, kept, [(diagonal, diagonal, "")], x_range=(0.0, 1.0), y_range=(0.0, 1.0))

    def others(self) -> Iterator[Chart]:
        """What no other section shows."""
        shown = {"csi", "bias", "mae", "rmse", "me", "correlation", "fss", "spectral_ratio"}
        for name, family in self.families.items():
            for score in family.score_axes:
                if score not in shown and score not in CURVES and not score.startswith("rapsd"):
                    yield from self.by_lead(name, score)


def _csi_lines() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], str]]:
    success = np.linspace(0.01, 1, 60)
    for csi in (0.1, 0.3, 0.5, 0.7, 0.9):
        # 1/csi = 1/pod + 1/success - 1
        inverse = 1 / csi - 1 / success + 1
        pod = np.divide(1, inverse, where=inverse >= 1, out=np.full_like(success, np.nan))
        yield success, pod, f"{csi:g}"


def _bias_lines() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], str]]:
    success = np.linspace(0, 1, 60)
    for bias in (0.5, 1.0, 2.0):
        yield success, bias * success, ""
