"""The report of an evaluation: charts, tables, maps and examples in one HTML file."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nowcast.data.results.statistics_file import ExampleFields, Statistics
from nowcast.files import written_whole
from nowcast.report.climate.balance import BALANCE, HEADINGS, NOTE, balance_cells
from nowcast.report.html import charts, pictures
from nowcast.report.html.numbers import Numbers
from nowcast.report.html.template import render
from nowcast.report.plots import svg
from nowcast.report.plots.colours import PROBABILITY_LEVELS, RAIN_LEVELS
from nowcast.report.tables import how_sure
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import Estimates
from nowcast.verification.scores.family import Family

Values = dict[str, Any]  # of the template's names


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
    page = render(
        "report.html.j2",
        **_heading(statistics, estimates, bootstrap),
        **_tables(Numbers(statistics, families, estimates, main), f"{thresholds[main]:g}", bootstrap),
        **_charts(statistics, families, estimates),
        **_maps(statistics),
        **_examples(statistics.examples, colour_blind_safe),
        **_balance(statistics.facts),
        made=json.dumps(_without_balance(statistics.facts), indent=1),
        downloads=[_packed(file) for file in downloads],
    )
    with written_whole(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _heading(statistics: Statistics, estimates: Estimates, bootstrap: Bootstrap) -> Values:
    models, facts = statistics.models, statistics.facts
    return {
        "title": f"Scores of {', '.join(models[:4])}{' and others' if len(models) > 4 else ''}",
        "subtitle": f"{estimates.windows} windows in {estimates.blocks} block{'s' if estimates.blocks != 1 else ''}; "
        f"made {facts.get('created', '')} with nowcast {facts.get('software', {}).get('nowcast', '')}",
        "enough": estimates.enough,
        "how_sure": how_sure(estimates, bootstrap),
        "level": f"{bootstrap.level:.0%}",
        "remarks": list(_remarks(statistics)),
    }


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


def _tables(numbers: Numbers, threshold: str, bootstrap: Bootstrap) -> Values:
    lead_times, unit = numbers.statistics.lead_times, numbers.statistics.lead_unit
    return {
        "main_threshold": threshold,
        "summary": numbers.summary(),
        "summary_note": f"Events: rain ≥ {threshold} mm/h. In brackets: of how many of the {len(lead_times)} lead "
        "times a mean is, where a score is not defined at all of them; the best of a column is bold where all means "
        "are over the same.",
        "verdicts": list(numbers.verdicts()),
        "verdict_leads": ["mean", *(f"{lead_times[t]:g}" for t in numbers.shown)],
        "verdict_note": "How much nearer to the best value the first model is than the other, by lead time "
        f"({unit}); positive is better. Means are over the lead times where the scores of both are "
        "defined, with their number in brackets where not all. "
        f"A verdict is given when the {bootstrap.level:.0%} interval of the difference, paired over the same blocks, "
        "leaves out zero; among many comparisons some do so by chance.",
        "strata": list(numbers.strata()),
    }


def _charts(statistics: Statistics, families: Mapping[str, Family], estimates: Estimates) -> Values:
    return {
        "key": [{"name": name, "sample": svg.sample(k)} for k, name in enumerate(statistics.models)],
        "sections": [
            {
                "title": section.title,
                "note": section.note,
                "open": section.open,
                "charts": [svg.draw(chart) for chart in section.charts],
            }
            for section in charts.sections(statistics, families, estimates)
            if section.charts
        ],
    }


def _maps(statistics: Statistics) -> Values:
    return {
        "maps": pictures.score_maps(statistics),
        "map_threshold": f"{statistics.map_threshold or 0:g}",
        "map_colours": pictures.map_colours(),
    }


def _examples(examples: Iterable[ExampleFields], colour_blind_safe: bool) -> Values:
    rain_labels = ["no data", f"< {RAIN_LEVELS[0]:g}", *(f"≥ {level:g}" for level in RAIN_LEVELS)]
    examples = list(examples)
    said = any(one.probabilities for one in examples)
    return {
        "examples": [pictures.example(one, colour_blind_safe) for one in examples],
        "probability_colours": _probability_colours() if said else [],
        "rain_colours": list(zip(pictures.rain_palette(colour_blind_safe), rain_labels, strict=True)),
        "difference_colours": list(zip(pictures.DIFFERENCE_COLOURS, _difference_labels(), strict=True)),
    }


def _probability_colours() -> list[tuple[str, str]]:
    shares = [f"{100 * level:g}" for level in PROBABILITY_LEVELS]
    labels = ["no data", f"< {shares[0]}", *(f"{low} to {high}" for low, high in pairwise(shares))]
    return list(zip(pictures.probability_palette(), labels, strict=True))


def _difference_labels() -> list[str]:
    levels = pictures.DIFFERENCE_LEVELS
    between = [f"{low:g} to {high:g}" for low, high in pairwise(levels)]
    return [f"< {levels[0]:g}", *between, f"≥ {levels[-1]:g}"]


def _balance(facts: Mapping[str, Any]) -> Values:
    return {
        "balance": [balance_cells(row) for row in facts.get(BALANCE, [])],
        "balance_headings": HEADINGS,
        "balance_note": NOTE,
    }


def _without_balance(facts: Any) -> Any:  # noqa: ANN401 (plain values)
    """The facts without that table, which has a place of its own; those of several runs hold one each."""
    if not isinstance(facts, Mapping):
        return facts
    return {key: _without_balance(value) for key, value in facts.items() if key != BALANCE}


def _packed(file: Path) -> dict[str, str]:
    return {"name": file.name, "gzip": base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()}
