"""The tables of a report: summary, verdicts and strata, as what its template asks for."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.results.statistics_file import Statistics
from nowcast.report.html.view import LABELS
from nowcast.report.tables import UNDEFINED, shown_lead_times
from nowcast.verification.bootstrap import BETTER, WORSE
from nowcast.verification.intervals import Estimates, by_region, by_stratum
from nowcast.verification.ranking import winners
from nowcast.verification.scores.family import Family
from nowcast.verification.scores.lead_means import are_over_the_same, mean_where_defined

REFERENCES = ("persistence", "extrapolation")


@dataclass(frozen=True)
class _Column:
    """A column of the summary."""

    name: str
    note: str
    score: str
    place: tuple[int, ...]


class Numbers:
    """Tables of the page.

    Args:
        statistics: What was summed.
        families: The scores.
        estimates: Their numbers.
        main: Number of the threshold of the summary.
    """

    def __init__(self, statistics: Statistics, families: Mapping[str, Family], estimates: Estimates, main: int) -> None:
        """Choose the lead times that are shown."""
        self.statistics, self.families, self.estimates, self.main = statistics, families, estimates, main
        self.shown = shown_lead_times(statistics.lead_times)

    def columns(self) -> Iterator[_Column]:
        """What the summary shows, of what was counted."""
        threshold = f"rain ≥ {self.families['categorical'].axes['threshold'][self.main]} mm/h"
        for score in ("csi", "pod", "far", "bias", "ets"):
            yield _Column(LABELS[score], threshold, f"categorical/{score}", (self.main,))
        for score in ("rmse", "mae", "me"):
            yield _Column(LABELS[score], "all cells", f"continuous/{score}", ())
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
            yield _Column("Brier skill", f"{threshold}, best 1", "probability/brier_skill", (self.main,))

    def summary(self) -> dict[str, Any]:
        """Columns and rows."""
        columns = list(self.columns())
        rows = [{"name": name, "cells": []} for name in self.statistics.models]
        for column in columns:
            family, score = column.score.split("/")
            best = self.families[family].best[score]
            means = [self.estimates.mean(name, column.score) for name in self.statistics.models]
            scores = [self.estimates.score(name, column.score) for name in self.statistics.models]
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
        if "probability" in self.families:
            asked.append(("probability/brier", (self.main,)))
        for (model, other), flip in self._pairs():
            key = (other, model) if flip else (model, other)
            for score, place in asked:
                if score not in self.estimates.differences[key]:
                    continue  # one of them cannot give it
                parts = [
                    (self.estimates.mean_differences[key][score], (0, *place)),
                    *((self.estimates.differences[key][score], (t, *place)) for t in self.shown),
                ]
                cells = [self._verdict(one, index, flip) for one, index in parts]
                cells[0]["text"] += self._part(int(parts[0][0].lead_times[parts[0][1]]))
                yield {
                    "name": f"{model} against {other}",
                    "score": LABELS[score.split("/")[1]],
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
