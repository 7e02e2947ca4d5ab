"""The charts of probabilities."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from nowcast.data.results.statistics_file import Statistics
from nowcast.report.html.view import Section, View
from nowcast.report.plots.svg import Chart, Line
from nowcast.verification.intervals import Estimates
from nowcast.verification.scores.family import Family

FAMILY = "probability"


def sections(statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> Iterator[Section]:
    """Brier score and skills, reliability, ROC, best decision level and value; nothing where they were not counted."""
    if FAMILY not in families:
        return
    view = _Probabilities(statistics, families, estimates)
    yield view.brier()
    yield view.reliability()
    yield view.characteristic()
    yield view.levels()
    yield view.values()


class _Probabilities(View):
    """Makes the sections."""

    def brier(self) -> Section:
        """Brier score, its skills and the truncated CRPS by lead time."""
        names = ("brier", "brier_skill", "brier_skill_lagrangian", "crps_between_thresholds")
        known = [name for name in names if self.estimates.knows(f"{FAMILY}/{name}")]
        return Section(
            "Brier score and its skills by lead time",
            "Mean squared error of the probability, best 0. Skill against always saying the observed frequency, and, "
            "where it was scored, against the share of wet cells around the place that the motion brings along: best "
            "1, 0 is no better. CRPS: the Brier score added up over the rates from the first to the last threshold.",
            [chart for name in known for chart in self.by_lead(FAMILY, name)],
            open=True,
        )

    def reliability(self) -> Section:
        """Reliability diagrams, and beside each how often a probability was forecast."""
        return Section(
            "Reliability",
            "How often it rained when a probability was forecast; the diagonal is reliable, the flat grey line the "
            "observed frequency, and what lies between it and the steeper one adds no skill. Beside it: how often each "
            "probability was forecast.",
            [
                chart
                for k, t, title in self._panels()
                for chart in (self._reliability(k, t, title), self._shares(k, t, title))
            ],
            open=True,
        )

    def characteristic(self) -> Section:
        """ROC."""
        ends = np.array([0.0, 1.0])
        return Section(
            "Relative operating characteristic",
            "POD against POFD of every decision level; the diagonal has no skill.",
            [
                Chart(
                    title,
                    "POFD",
                    "POD",
                    [self._curve(model, "roc_pofd", "roc_pod", k, t, bars=False) for model in self.models],
                    [(ends, ends, "")],
                    x_range=(0.0, 1.0),
                    y_range=(0.0, 1.0),
                )
                for k, t, title in self._panels()
            ],
            open=False,
        )

    def levels(self) -> Section:
        """The best decision level and its CSI."""
        return Section(
            "CSI at the best decision level",
            "What the CSI is when rain is forecast from the probability on that suits it best, and that probability. "
            "It is chosen on the windows that are scored: a level chosen before reaches less.",
            [chart for name in ("csi_optimal", "csi_optimal_level") for chart in self.by_lead(FAMILY, name)],
            open=True,
        )

    def values(self) -> Section:
        """Economic value over ratios of cost to loss."""
        return Section(
            "Relative economic value",
            "What a forecast saves who protects himself from the best decision level on, as a share of what a perfect "
            "one saves, by the cost of protection over the loss that it prevents; 0 is no better than to protect "
            "always or never.",
            self.by_axis(FAMILY, "economic_value", "cost_loss", "cost / loss"),
            open=False,
        )

    def _panels(self) -> Iterator[tuple[int, int, str]]:
        """Number of each threshold and shown lead time (first and last), and a title."""
        for k, threshold in enumerate(self.families[FAMILY].axes["threshold"]):
            for t in self.ends:
                yield k, t, f"≥ {threshold:g} mm/h, after {self.lead[t]:g} {self.unit}"

    def _reliability(self, k: int, t: int, title: str) -> Chart:
        ends = np.array([0.0, 1.0])
        always = [self.estimates.score(model, f"{FAMILY}/csi_by_level").value[t, k, 0] for model in self.models]
        rate = next((value for value in always if np.isfinite(value)), np.nan)  # CSI of "always" is the frequency
        return Chart(
            title,
            "forecast probability",
            "observed frequency",
            [self._curve(model, "forecast_probability", "reliability", k, t, bars=True) for model in self.models],
            [(ends, ends, ""), (ends, np.full(2, rate), ""), (ends, (ends + rate) / 2, "")],
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.0),
        )

    def _shares(self, k: int, t: int, title: str) -> Chart:
        probabilities = np.array(self.families[FAMILY].axes["probability"], dtype=np.float64)
        every = [self.line(model, f"{FAMILY}/forecast_share", (t, k), probabilities) for model in self.models]
        # What was never said is a gap, and has no place on a logarithmic axis.
        lines = [replace(line, y=np.where(line.y > 0, line.y, np.nan), low=None, high=None) for line in every]
        return Chart(title, "forecast probability", "share of forecasts", lines, y_log=True, x_range=(0.0, 1.0))

    def _curve(self, model: str, x: str, y: str, k: int, t: int, *, bars: bool) -> Line:
        """Points where x is known; bars = with intervals."""
        across = self.estimates.score(model, f"{FAMILY}/{x}").value[t, k]
        known, one = np.isfinite(across), self.line(model, f"{FAMILY}/{y}", (t, k), across)
        low, high = (part[known] if bars and part is not None else None for part in (one.low, one.high))
        return Line(model, across[known], one.y[known], one.number, low, high, bars=bars)
