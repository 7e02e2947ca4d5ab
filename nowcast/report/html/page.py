"""Puts the report together and writes it."""

import base64
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics
from nowcast.files import written_whole
from nowcast.report.html import charts, pictures, svg
from nowcast.report.plots.colours import LINE_COLOURS, RAIN_LEVELS
from nowcast.report.tables import UNDEFINED, shown_lead_times
from nowcast.verification.bootstrap import BETTER, WORSE, Bootstrap
from nowcast.verification.intervals import Estimates, by_region, by_stratum
from nowcast.verification.ranking import winners
from nowcast.verification.scores.family import Family
from nowcast.verification.scores.lead_means import are_over_the_same, mean_where_defined

REFERENCES = ("persistence", "extrapolation")


def write_report(
    path: Path,
    statistics: Statistics,
    families: Mapping[str, Family],
    estimates: Estimates,
    bootstrap: Bootstrap,
    *,
    downloads: Sequence[Path],
    colour_blind_safe: bool,
    main_threshold: float | None,
) -> None:
    """Write one HTML file with everything in it.

    Args:
        path: Where to.
        statistics: What was summed.
        families: The scores.
        estimates: Their numbers.
        bootstrap: Where the intervals come from.
        downloads: CSV files to put inside.
        colour_blind_safe: Colours of the maps.
        main_threshold: mm h-1 of the summary; None = the first.
    """
    thresholds = families["categorical"].axes["threshold"]
    main = thresholds.index(main_threshold) if main_threshold in thresholds else 0
    numbers = _Numbers(statistics, families, estimates, main)
    facts = statistics.facts
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nowcast.report", "html"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        title=f"Scores of {', '.join(statistics.models[:4])}{' and others' if len(statistics.models) > 4 else ''}",
        subtitle=f"{estimates.windows} windows in {estimates.blocks} block{'s' if estimates.blocks != 1 else ''}; "
        f"made {facts.get('created', '')} with nowcast {facts.get('software', {}).get('nowcast', '')}",
        enough=estimates.enough,
        how_sure=how_sure(estimates, bootstrap),
        level=f"{bootstrap.level:.0%}",
        remarks=list(_remarks(statistics)),
        summary=numbers.summary(),
        summary_note=f"Events: rain ≥ {thresholds[main]:g} mm/h. In brackets: of how many of the "
        f"{len(statistics.lead_times)} lead times a mean is, where a score is not defined at all of them; the best of "
        "a column is bold where all means are over the same.",
        verdicts=list(numbers.verdicts()),
        verdict_leads=["mean", *(f"{statistics.lead_times[t]:g}" for t in numbers.shown)],
        verdict_note="How much nearer to the best value the first model is than the other, by lead time "
        f"({statistics.lead_unit}); positive is better. Means are over the lead times where the scores of both are "
        "defined, with their number in brackets where not all. "
        f"A verdict is given when the {bootstrap.level:.0%} interval of the difference, paired over the same blocks, "
        "leaves out zero; among many comparisons some do so by chance.",
        key=[
            {
                "name": name,
                "colour": LINE_COLOURS[k % len(LINE_COLOURS)],
                "dash": svg.DASHES[k % len(svg.DASHES)],
            }
            for k, name in enumerate(statistics.models)
        ],
        sections=[
            {
                "title": section.title,
                "note": section.note,
                "open": section.open,
                "charts": [svg.draw(chart, LINE_COLOURS) for chart in section.charts],
            }
            for section in charts.sections(statistics, families, estimates)
            if section.charts
        ],
        maps=pictures.score_maps(statistics),
        map_threshold=f"{statistics.map_threshold or 0:g}",
        map_colours=pictures.map_colours(),
        main_threshold=f"{thresholds[main]:g}",
        examples=[pictures.example(one, colour_blind_safe) for one in statistics.examples],
        rain_colours=list(
            zip(
                pictures.rain_palette(colour_blind_safe),
                ["no data", f"< {RAIN_LEVELS[0]:g}", *(f"≥ {level:g}" for level in RAIN_LEVELS)],
                strict=True,
            )
        ),
        difference_colours=list(zip(pictures.DIFFERENCE_COLOURS, _difference_labels(), strict=True)),
        strata=list(numbers.strata()),
        made=json.dumps(facts, indent=1),
        downloads=[
            {"name": file.name, "gzip": base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()}
            for file in downloads
        ],
    )
    with written_whole(path) as partial:
        partial.write_text(page, encoding="utf-8")


def how_sure(estimates: Estimates, bootstrap: Bootstrap) -> str:
    """One sentence on the uncertainty of all numbers."""
    if not estimates.enough:
        return (
            f"{estimates.blocks} independent block{'s' if estimates.blocks != 1 else ''} of windows, fewer than "
            f"{bootstrap.min_blocks}: no intervals and no verdicts; the scores describe these windows only"
        )
    return f"Intervals: {bootstrap.level:.0%}, {bootstrap.resamples} draws of {estimates.blocks} blocks of windows"


def _remarks(statistics: Statistics) -> Iterator[str]:
    if statistics.facts.get("caveat"):
        yield str(statistics.facts["caveat"])
    missing = statistics.sums["block"]["missing"].sum(axis=(1, 2))
    counts = [f"{name} {int(n):,}" for name, n in zip(statistics.models, missing.tolist(), strict=True) if n]
    if counts:
        yield (
            f"Forecast values that are missing over valid observations count as no rain: {', '.join(counts)} "
            "(verification.common_mask=true leaves them out for all models)"
        )


def _difference_labels() -> list[str]:
    levels = pictures.DIFFERENCE_LEVELS
    between = [f"{low:g} to {high:g}" for low, high in pairwise(levels)]
    return [f"< {levels[0]:g}", *between, f"≥ {levels[-1]:g}"]


@dataclass(frozen=True)
class _Column:
    """A column of the summary."""

    name: str
    note: str
    score: str
    place: tuple[int, ...]


class _Numbers:
    """Tables of the page."""

    def __init__(self, statistics: Statistics, families: Mapping[str, Family], estimates: Estimates, main: int) -> None:
        self.statistics, self.families, self.estimates, self.main = statistics, families, estimates, main
        self.shown = shown_lead_times(statistics.lead_times)

    def columns(self) -> Iterator[_Column]:
        """What the summary shows, of what was counted."""
        threshold = f"rain ≥ {self.families['categorical'].axes['threshold'][self.main]} mm/h"
        for score in ("csi", "pod", "far", "bias", "ets"):
            yield _Column(charts.LABELS[score], threshold, f"categorical/{score}", (self.main,))
        for score in ("rmse", "mae", "me"):
            yield _Column(charts.LABELS[score], "all cells", f"continuous/{score}", ())
        if "fss" in self.families:
            windows = self.families["fss"].axes["window"]
            middle = len(windows) // 2
            yield _Column(f"FSS, {windows[middle]} cells", threshold, "fss/fss", (self.main, middle))
        if "spectrum" in self.families:
            wave = self.families["spectrum"].axes["wavelength"][1]
            yield _Column(f"power at {wave:.1f} cells", "forecast over observed", "spectrum/spectral_ratio", (1,))
        if "ensemble" in self.families:
            yield _Column("CRPS (mm/h)", "of a single forecast its MAE", "ensemble/crps", ())
            yield _Column("spread / error", "", "ensemble/spread_skill", ())
        if "probability" in self.families:
            yield _Column("Brier score", threshold, "probability/brier", (self.main,))

    def summary(self) -> dict[str, Any]:
        """Columns and rows."""
        columns = list(self.columns())
        rows = [{"name": name, "cells": []} for name in self.statistics.models]
        for column in columns:
            family, score = column.score.split("/")
            best = self.families[family].best[score]
            means = [self.estimates.means[name][column.score] for name in self.statistics.models]
            scores = [self.estimates.scores[name][column.score] for name in self.statistics.models]
            by_lead = np.stack([np.moveaxis(one.value, 0, -1)[column.place] for one in scores])  # (models, T)
            index = (0, *column.place)
            values = np.array([one.value[index] for one in means])
            won = winners(values, best) & are_over_the_same(by_lead)
            for row, one, value, bold in zip(rows, means, values.tolist(), won.tolist(), strict=True):
                row["cells"].append(  # type: ignore[attr-defined]
                    {
                        "text": number(value) + self._part(int(one.lead_times[index])),
                        "sort": value,
                        "note": self._interval(float(one.low[index]), float(one.high[index])),
                        "best": bold,
                    }
                )
        return {"columns": [{"name": column.name, "note": column.note} for column in columns], "rows": rows}

    def _part(self, lead_times: int) -> str:
        """How many lead times a mean is of, where not all."""
        return f" ({lead_times})" if 0 < lead_times < len(self.statistics.lead_times) else ""

    def _interval(self, low: float, high: float) -> str:
        if not self.estimates.enough:
            blocks = self.estimates.blocks
            return f"{blocks} block{'s' if blocks != 1 else ''} only"
        return "no interval" if math.isnan(low) or math.isnan(high) else f"{number(low)} to {number(high)}"

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Rows of comparisons: every model against the references, and the first against all others."""
        asked = [("categorical/csi", (self.main,)), ("continuous/rmse", ())]
        if "fss" in self.families:
            asked.append(("fss/fss", (self.main, len(self.families["fss"].axes["window"]) // 2)))
        for (model, other), flip in self._pairs():
            key = (other, model) if flip else (model, other)
            for score, place in asked:
                parts = [
                    (self.estimates.mean_differences[key][score], (0, *place)),
                    *((self.estimates.differences[key][score], (t, *place)) for t in self.shown),
                ]
                cells = [self._verdict(one, index, flip) for one, index in parts]
                cells[0]["text"] += self._part(int(parts[0][0].lead_times[parts[0][1]]))
                yield {
                    "name": f"{model} against {other}",
                    "score": charts.LABELS[score.split("/")[1]],
                    "cells": cells,
                }

    def _pairs(self) -> Iterator[tuple[tuple[str, str], bool]]:
        """(model, other), and whether it was compared the other way round."""
        models = self.statistics.models
        wanted = [(model, other) for model in models for other in REFERENCES if other in models and model != other]
        wanted += [(models[0], other) for other in models[1:]]
        seen: set[frozenset[str]] = set()
        for model, other in wanted:
            if frozenset((model, other)) not in seen:
                seen.add(frozenset((model, other)))
                yield (model, other), models.index(model) > models.index(other)

    def _verdict(self, one: Any, index: tuple[int, ...], flip: bool) -> dict[str, str]:  # noqa: ANN401
        sign = -1.0 if flip else 1.0
        gain, low, high = (sign * float(part[index]) for part in (one.gain, one.low, one.high))
        verdict = str(one.verdict[index])
        if flip:
            verdict, low, high = {BETTER: WORSE, WORSE: BETTER}.get(verdict, verdict), high, low
        return {
            "text": UNDEFINED if math.isnan(gain) else f"{gain:+.3f}",
            "verdict": {BETTER: "▲ better", WORSE: "▼ worse"}.get(verdict, verdict),
            "css": verdict if verdict in (BETTER, WORSE) else "",
            "note": "" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}",
        }

    def strata(self) -> Iterator[dict[str, Any]]:
        """CSI and bias of every group with windows."""
        for grouping in [name for name in self.statistics.groups if name != "block"]:
            for label, windows, scores in by_stratum(self.statistics, self.families, grouping):
                cells = [
                    self._mean(scores[name][f"categorical/{score}"][:, self.main])
                    for name in self.statistics.models
                    for score in ("csi", "bias")
                ]
                yield _row(f"{grouping}: {label}", windows, cells)
        for label, regions in by_region(self.statistics):
            cells = [(float(regions[name][score]), "") for name in self.statistics.models for score in ("csi", "bias")]
            yield _row(f"region: {label}", None, cells)

    def _mean(self, values: NDArray[np.float64]) -> tuple[float, str]:
        mean, defined = mean_where_defined(values)
        return float(mean[0]), self._part(int(defined[0]))


def _row(name: str, windows: int | None, values: list[tuple[float, str]]) -> dict[str, Any]:
    return {
        "name": name,
        "windows": "all" if windows is None else windows,
        "sort": "NaN" if windows is None else windows,
        "cells": [
            {"text": number(value) + part, "sort": "NaN" if math.isnan(value) else value} for value, part in values
        ],
    }


def number(value: float) -> str:
    """With as many digits as are worth reading."""
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
