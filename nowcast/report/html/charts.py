"""Which charts a report shows, and of which numbers."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics
from nowcast.report.html import probability
from nowcast.report.html.view import Section, View
from nowcast.report.plots.svg import Chart, Line
from nowcast.verification.intervals import Estimates
from nowcast.verification.scores.family import Family

ELSEWHERE = {"csi", "bias", "mae", "rmse", "me", "correlation", "fss", "spectral_ratio", "rank_histogram"}


def sections(statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> Iterator[Section]:
    """All charts, the most asked for first."""
    view = _Charts(statistics, families, estimates)
    yield view.events()
    yield view.performance()
    yield view.errors()
    yield from view.fractions()
    yield from view.spectra()
    yield from probability.sections(statistics, families, estimates)
    yield from view.ranks()
    yield view.others()


class _Charts(View):
    """Makes sections of what was counted."""

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

    def ratios(self, score: str) -> list[Chart]:
        """A panel per shown lead time."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        return [
            Chart(
                f"spectral ratio after {self.lead[t]:g} {self.unit}",
                "wavelength (cells)",
                "forecast / observed",
                [self.line(model, f"spectrum/{score}", (t,), waves) for model in self.models],
                guides=[(waves, np.ones_like(waves), "")],
                x_log=True,
                y_log=True,
            )
            for t in self.three
        ]

    def observed_spectra(self) -> list[Chart]:
        """Power of forecasts at the last lead time beside that of the observation."""
        waves = np.array(self.families["spectrum"].axes["wavelength"], dtype=np.float64)
        lines = [self.line(model, "spectrum/rapsd_forecast", (-1,), waves) for model in self.models]
        score = "spectrum/rapsd_observed"  # the same of every model that has it
        observed = next(scores[score] for scores in self.estimates.scores.values() if score in scores).value[-1]
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

    def rank_histogram(self, t: int) -> Chart:
        """A panel of one lead time."""
        ranks = np.array(self.families["rank"].axes["rank"], dtype=np.float64)
        return Chart(
            f"after {self.lead[t]:g} {self.unit}",
            "rank of the observation",
            "share",
            [self.line(model, "rank/rank_histogram", (t,), ranks) for model in self.models],
            guides=[(np.array([0.0, 1.0]), np.full(2, 1 / len(ranks)), "")],
            x_range=(0.0, 1.0),
        )

    def other_charts(self) -> Iterator[Chart]:
        """A panel or more of every score that is not shown elsewhere."""
        for name, family in self.families.items():
            for score in family.score_axes:
                if name != probability.FAMILY and score not in ELSEWHERE and not score.startswith("rapsd"):
                    yield from self.by_lead(name, score)
        if probability.FAMILY in self.families:
            for score in ("brier_reliability", "brier_resolution", "brier_uncertainty", "roc_area"):
                yield from self.by_lead(probability.FAMILY, score)


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
