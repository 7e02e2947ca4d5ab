"""The charts and examples of an evaluation as PNG and GIF, for pages that cannot hold its report.html.

python scripts/report_pictures.py outputs/evaluate/<date_time> docs/my_report [--model NAME] [--examples NAME NAME]
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nowcast.config.build import from_plain
from nowcast.data.results.statistics_file import ExampleFields, Statistics, read_statistics
from nowcast.report.html.charts import Section, sections
from nowcast.report.plots.colours import LINE_COLOURS
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.report.plots.svg import Chart
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.from_config import make_families
from nowcast.verification.intervals import by_stratum, estimate
from nowcast.verification.scores.family import Family

COLUMNS = 4
LINE_MARKERS = "osD^vPX"
NAMES = {  # beginning of a section's title → file
    "Critical": "csi_bias", "Performance": "performance", "Errors": "errors", "Fractions": "fss", "Spectra": "spectra",
    "Reliability": "reliability", "Rank": "ranks",
}  # fmt: skip


def main() -> None:
    """Draw everything, and say what was written."""
    parser = argparse.ArgumentParser(description="Pictures of an evaluation")
    parser.add_argument("evaluation", type=Path, help="folder with statistics.nc")
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="whose events are drawn against those of all others; default: the first")
    parser.add_argument("--examples", nargs="+", help="models that are drawn in the examples; default: all")
    settings = parser.parse_args()
    statistics = read_statistics(settings.evaluation / "statistics.nc")
    families = make_families(from_plain(statistics.families))
    estimates = estimate(statistics, families, Bootstrap(1000, 0.95, 10, 0))
    for section in sections(statistics, families, estimates):
        name = next((file for start, file in NAMES.items() if section.title.startswith(start)), None)
        if name and section.charts:
            say(draw_section(section, statistics.models, settings.output / f"{name}.png"))
    model = settings.model or statistics.models[0]
    if model not in statistics.models:
        parser.error(f"--model {model} was not scored; there are {', '.join(statistics.models)}")
    if "event" in statistics.groups:  # not of runs that scored other blocks
        say(draw_events(events(statistics, families), model, statistics, settings.output / "events.png"))
    for example in statistics.examples:
        models = settings.examples or [name for name in example.rain if name != "observed"]
        for path in draw_example(example, models, settings.output / example.name):
            say(path)


def events(statistics: Statistics, families: Mapping[str, Family]) -> dict[str, NDArray[np.float64]]:
    """Model → CSI (events, T, thresholds), NaN where neither forecast nor observation had such rain."""
    scores = [one for _, _, one in by_stratum(statistics, {"categorical": families["categorical"]}, "event")]
    return {model: np.stack([one[model]["categorical/csi"] for one in scores]) for model in statistics.models}


def draw_events(csi: Mapping[str, NDArray[np.float64]], model: str, statistics: Statistics, path: Path) -> Path:
    """A point per event and other model: above the diagonal `model` is ahead. Two thresholds, two lead times."""
    leads = [len(statistics.lead_times) // 2 - (len(statistics.lead_times) > 1), len(statistics.lead_times) - 1]
    thresholds = statistics.labels["categorical/threshold"][:2]
    figure = Figure(figsize=(12.4, 3.6), layout="constrained", dpi=80)
    places = [(k, lead) for k in range(len(thresholds)) for lead in dict.fromkeys(leads)]
    for axes, (k, lead) in zip(figure.subplots(1, len(places), squeeze=False)[0], places, strict=True):
        others = [name for name in csi if name != model and name != model.removesuffix("_calibrated")]
        for name, colour, marker in zip(others, cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False):
            axes.scatter(csi[name][:, lead, k], csi[model][:, lead, k], c=colour, marker=marker, s=16, label=name)
        axes.plot([0, 1], [0, 1], color="#888888", lw=0.8, zorder=0)
        axes.set(xlim=(0, 0.85), ylim=(0, 0.85), xlabel="CSI of the other", ylabel=f"CSI of {model}", aspect="equal")
        axes.set_title(f"≥ {thresholds[k]:g} mm/h, {statistics.lead_times[lead]:g} {statistics.lead_unit}", fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def say(path: Path) -> None:
    """One line for a file."""
    sys.stdout.write(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB\n")


def draw_section(section: Section, models: Sequence[str], path: Path) -> Path:
    """A panel per chart, with one key for all."""
    columns = min(len(section.charts), 3 if len(section.charts) % 3 == 0 else COLUMNS)
    lines = -(-len(section.charts) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.6 * lines + 0.6), layout="constrained", dpi=80)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, chart in zip(grid.flat, section.charts, strict=False):
        draw_chart(axes, chart, models)
    for axes in list(grid.flat)[len(section.charts) :]:
        axes.remove()
    keys = list(zip(models, cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False))
    handles = [
        grid[0, 0].plot([], [], color=colour, marker=marker, ms=4, label=name)[0] for name, colour, marker in keys
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3 if columns < 3 else len(models), frameon=False, fontsize=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def draw_chart(axes: Axes, chart: Chart, models: Sequence[str]) -> None:
    """One chart of the report."""
    for x, y, _ in chart.guides:
        axes.plot(x, y, color="#aaaaaa", lw=0.8, zorder=1)
    for line in chart.lines:
        colour, marker = LINE_COLOURS[line.number % len(LINE_COLOURS)], LINE_MARKERS[line.number % len(LINE_MARKERS)]
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, lw=0)
        axes.plot(line.x, line.y, color=colour, marker=marker, ms=3, lw=1.3)
    axes.set_title(chart.title, fontsize=9)
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.set(xscale="log" if chart.x_log else "linear", yscale="log" if chart.y_log else "linear")
    if chart.x_log and chart.lines:
        ticks = chart.lines[0].x[:: 1 + len(chart.lines[0].x) // 6]
        axes.set_xticks(ticks, labels=[f"{tick:.2g}" for tick in ticks], minor=False)
        axes.minorticks_off()
    if chart.x_range is not None:
        axes.set_xlim(*chart.x_range)
    if chart.y_range is not None:
        axes.set_ylim(*chart.y_range)
    elif not chart.y_log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))


def draw_example(example: ExampleFields, models: Sequence[str], stem: Path) -> Iterator[Path]:
    """A strip and an animation."""
    case = Case(
        observed=example.rain["observed"],
        forecasts={
            name: np.where(np.isfinite(example.rain["observed"]), example.rain[name], np.float32(np.nan))
            for name in models
        },
        inputs=None,
        init_time=example.init_time,
        timestep_minutes=example.timestep_minutes,
        cell_km=example.cell_km,
        title=f"{example.archive}, forecast from {example.init_time} UTC",
    )
    yield plot_forecast(case, stem.with_suffix(".png"), every=max(1, case.steps // 4))
    yield animate_forecast(case, stem.with_suffix(".gif"))


if __name__ == "__main__":
    main()
