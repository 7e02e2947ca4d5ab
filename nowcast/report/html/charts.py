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
    yield view.events()
    yield view.performance()
    yield view.errors()
    yield from view.fractions()
    yield from view.spectra()
    yield from view.probabilities()
    yield from view.ranks()
    yield view.others()


class _View:
    """Makes sections out of the estimates, of those families that were counted."""

    def __init__(self, statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> None:
        self.families, self.estimates = families, estimates
        self.lead = np.array(statistics.lead_times)
        self.unit, self.x_label = statistics.lead_unit, f"lead time ({statistics.lead_unit})"
        self.models = list(statistics.models)
        shown = shown_lead_times(statistics.lead_times)
        self.ends, self.three = sorted({shown[0], shown[-1]}), sorted({shown[0], shown[len(shown) // 2], shown[-1]})

    def events(self) -> Section:
        """CSI and bias."""
        return Section(
            "Critical success index and frequency bias by lead time",
            "CSI: of all cells where rain was forecast or observed, the share where it was both; best 1. Bias: how "
            "often rain was forecast for each time it was observed; best 1, below 1 it rains too seldom.",
            [*self.by_lead("categorical", "csi"), *self.by_lead("categorical", "bias")],
            open=True,
        )

    def performance(self) -> Section:
        """POD against success ratio by threshold."""
        return Section(
            "Performance diagram",
            "POD against success ratio (1 - false alarm ratio), a point per lead time, the first one at the top right "
            "of its curve as a rule; best is the upper right corner. Grey: lines of equal CSI (curved) and bias "
            "(straight).",
            self.performance_charts(),
            open=True,
        )

    def errors(self) -> Section:
        """Of the rain rate."""
        return Section(
            "Errors of the rain rate by lead time",
            "A forecast with little variability has a small RMSE: read it beside bias and spectra.",
            [chart for score in ("mae", "rmse", "me", "correlation") for chart in self.by_lead("continuous", score)],
            open=True,
        )

    def fractions(self) -> Iterator[Section]:
        """A section for each border that was counted."""
        for name in self.families:
            if name.startswith("fss"):
                border = getattr(self.families[name], "border", "")
                yield Section(
                    f"Fractions skill score by scale (border: {border})",
                    "Skill when rain may be displaced within a square window; best 1. Larger windows forgive more.",
                    self.by_axis(name, "fss", "window", "window (cells)"),
                    open=name == "fss",
                )

    def spectra(self) -> Iterator[Section]:
        """By wavelength."""
        if "spectrum" in self.families:
            yield Section(
                "Spectra by lead time",
                "Power of the forecast over that of the observation by wavelength: below 1 at short waves, it is "
                "blurred.",
                [*self.ratios("spectral_ratio"), *self.observed_spectra()],
                open=True,
            )

    def probabilities(self) -> Iterator[Section]:
        """Reliability and ROC."""
        if "probability" not in self.families:
            return
        yield Section(
            "Reliability",
            "How often it rained when a probability was forecast; the diagonal is reliable.",
            self.by_probability("forecast_probability", "reliability"),
            open=True,
        )
        yield Section(
            "Relative operating characteristic",
            "POD against POFD of every decision level; the diagonal has no skill.",
            self.by_probability("roc_pofd", "roc_pod"),
            open=False,
        )

    def ranks(self) -> Iterator[Section]:
        """The rank histogram."""
        if "rank" in self.families:
            yield Section(
                "Rank histogram",
                "Where the observation falls among the members; flat is reliable, a U is too sure.",
                [self.rank_histogram(t) for t in self.ends],
                open=True,
            )

    def others(self) -> Section:
        """What no other section shows."""
        return Section("All other scores by lead time", "", list(self.other_charts()), open=False)

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

    def performance_charts(self) -> list[Chart]:
        """A panel per threshold."""
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
        return [
            Chart(
                f"≥ {threshold:g} mm/h, after {self.lead[t]:g} {self.unit}",
                label,
                LABELS.get(score, score),
                [self._line(model, f"{family}/{score}", (t, k), positions) for model in self.models],
                x_log=len(positions) > 2,
                y_range=(0.0, 1.0),
            )
            for k, threshold in enumerate(self.families[family].axes["threshold"])
            for t in self.three
        ]

    def ratios(self, score: str) -> list[Chart]:
        """A panel per shown lead time."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        return [
            Chart(
                f"spectral ratio after {self.lead[t]:g} {self.unit}",
                "wavelength (cells)",
                "forecast / observed",
                [self._line(model, f"spectrum/{score}", (t,), waves) for model in self.models],
                guides=[(waves, np.ones_like(waves), "")],
                x_log=True,
                y_log=True,
            )
            for t in self.three
        ]

    def observed_spectra(self) -> list[Chart]:
        """Power of forecasts at the last lead time beside that of the observation."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        lines = [self._line(model, "spectrum/rapsd_forecast", (-1,), waves) for model in self.models]
        observed = self.estimates.scores[self.models[0]]["spectrum/rapsd_observed"].value[-1]
        return [
            Chart(
                f"power after {self.lead[-1]:g} {self.unit} (grey: observed)",
                "wavelength (cells)",
                "mm²/h²",
                lines,
                guides=[(waves, observed, "")],
                x_log=True,
                y_log=True,
            )
        ]

    def by_probability(self, x: str, y: str) -> list[Chart]:
        """A panel per threshold and shown lead time (first and last)."""
        return [
            self._against(x, y, t, k, f"≥ {threshold:g} mm/h, after {self.lead[t]:g} {self.unit}")
            for k, threshold in enumerate(self.families["probability"].axes["threshold"])
            for t in self.ends
        ]

    def rank_histogram(self, t: int) -> Chart:
        """A panel of one lead time."""
        ranks = np.array(self.families["rank"].axes["rank"], dtype=np.float64)
        return Chart(
            f"after {self.lead[t]:g} {self.unit}",
            "rank of the observation",
            "share",
            [self._line(model, "rank/rank_histogram", (t,), ranks) for model in self.models],
            guides=[(np.array([0.0, 1.0]), np.full(2, 1 / len(ranks)), "")],
            x_range=(0.0, 1.0),
        )

    def _against(self, x: str, y: str, t: int, k: int, title: str) -> Chart:
        labels = {"reliability": ("forecast probability", "observed frequency"), "roc_pod": ("POFD", "POD")}[y]
        scores = {model: self.estimates.scores[model] for model in self.models}
        lines = [
            Line(model, scores[model][f"probability/{x}"].value[t, k], scores[model][f"probability/{y}"].value[t, k], n)
            for n, model in enumerate(self.models)
        ]
        kept = [
            Line(line.name, line.x[np.isfinite(line.x)], line.y[np.isfinite(line.x)], line.number) for line in lines
        ]
        diagonal = np.array([0.0, 1.0])
        return Chart(title, *labels, kept, [(diagonal, diagonal, "")], x_range=(0.0, 1.0), y_range=(0.0, 1.0))

    def other_charts(self) -> Iterator[Chart]:
        """A panel or more of every score that is not shown elsewhere."""
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
