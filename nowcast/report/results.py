"""What is made of scores once they are counted: tables, statistics, intervals, examples and the report."""

import dataclasses
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from nowcast import __version__
from nowcast.data.interface import DataModule
from nowcast.data.results.statistics_file import ExampleFields, Statistics, write_statistics
from nowcast.data.windows.index import Split
from nowcast.data.windows.sample import Sample
from nowcast.report.estimate_files import (
    write_differences_csv,
    write_estimates_csv,
    write_events_csv,
    write_strata_csv,
)
from nowcast.report.html.page import write_report
from nowcast.report.scores import report
from nowcast.report.tables import how_sure
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import estimate, worth_reporting
from nowcast.verification.plan import Scores, ScoringPlan
from nowcast.verification.score_models import run_models
from nowcast.verification.scores.family import Family

Examples = Literal["ranked", "events"]
EXAMPLE_SIDE = 128  # cells of an example's longer side; larger grids are thinned


@dataclass(frozen=True, eq=False)
class Scored:
    """What was scored, on which windows and how.

    Args:
        models: By name.
        data: The windows.
        split: Of them.
        plan: What was counted.
        device: Where networks run.
    """

    models: Mapping[str, nn.Module]
    data: DataModule
    split: Split
    plan: ScoringPlan
    device: torch.device


@dataclass(frozen=True, eq=False)
class Output:
    """Where results go and what belongs to them.

    Args:
        folder: For files.
        console: For tables.
        bootstrap: Intervals.
        html: Whether there is to be a report.
        colour_blind_safe: Colours of its maps.
        examples: The windows that it shows: "ranked", the first model's best, median and worst, or "events", the median
            one of each archive.
    """

    folder: Path
    console: Console
    bootstrap: Bootstrap
    html: bool
    colour_blind_safe: bool
    examples: Examples = "ranked"


def write_results(scores: Scores, scored: Scored, facts: Mapping[str, Any], output: Output) -> list[Path]:
    """Print the tables and write everything; return what was written.

    Args:
        scores: What was counted.
        scored: Of what.
        facts: What is to be known of it, plain types.
        output: Where to.
    """
    written = report(scores, output.folder, output.console)
    if scores.statistics is None:
        return written
    examples = make_examples(scores.window_scores, scored, output.examples) if output.html else []
    statistics = dataclasses.replace(scores.statistics, facts={**facts, **software()}, examples=examples)
    write_statistics(output.folder / "statistics.nc", statistics)
    written.append(output.folder / "statistics.nc")
    return written + write_estimates(statistics, scored.plan.families, scored.plan.main_threshold, output)


def write_estimates(
    statistics: Statistics, families: Mapping[str, Family], main_threshold: float | None, output: Output
) -> list[Path]:
    """Intervals, differences and strata as CSV, and the report; return what was written."""
    families = worth_reporting(statistics, families)
    estimates = estimate(statistics, families, output.bootstrap)
    output.console.print(how_sure(estimates, output.bootstrap), highlight=False)
    written = [output.folder / name for name in ("intervals.csv", "differences.csv", "strata.csv")]
    write_estimates_csv(written[0], estimates, families, statistics.lead_times)
    write_differences_csv(written[1], estimates, families, statistics.lead_times)
    write_strata_csv(written[2], statistics, families)
    if "event" in statistics.groups and len(statistics.models) > 1:
        written.append(output.folder / "events.csv")
        write_events_csv(written[-1], statistics, families)
    if output.html:
        written.append(output.folder / "report.html")
        write_report(
            written[-1],
            statistics,
            families,
            estimates,
            output.bootstrap,
            downloads=written[:-1],
            colour_blind_safe=output.colour_blind_safe,
            main_threshold=main_threshold,
        )
    return written


def software() -> dict[str, Any]:
    """Versions and the time, in plain types."""
    return {
        "software": {"nowcast": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def make_examples(window_scores: list[float], scored: Scored, which: Examples) -> list[ExampleFields]:
    """The windows to look at, each thinned to EXAMPLE_SIDE cells."""
    loader = scored.data.ordered_loader(scored.split)
    order = [index for batch in loader.batch_sampler for index in batch]  # type: ignore[union-attr]
    scores = dict(zip(order, window_scores, strict=True))
    chosen = _by_rank(scores) if which == "ranked" else _by_event(scores, scored)
    dataset = scored.data.dataset(scored.split)
    return [_example(name, scores[index], dataset[index], scored) for name, index in chosen.items()]


def _by_rank(scores: Mapping[int, float]) -> dict[str, int]:
    """Best, median and worst of the windows with a score, by number."""
    ranked = sorted((score, index) for index, score in scores.items() if not math.isnan(score))
    if not ranked:
        return {}
    return {"best": ranked[-1][1], "median": ranked[len(ranked) // 2][1], "worst": ranked[0][1]}


def _by_event(scores: Mapping[int, float], scored: Scored) -> dict[str, int]:
    """The median window of each archive; those without a score, for want of rain, are below all others."""
    archives, _ = scored.data.origins(scored.split)
    chosen = {}
    for number in sorted(set(archives.tolist())):
        ranked = sorted(
            (-1.0 if math.isnan(scores[index]) else scores[index], index)
            for index in scores
            if archives[index] == number
        )
        chosen[scored.data.series[number].name] = ranked[len(ranked) // 2][1]
    return chosen


@torch.inference_mode()
def _example(name: str, score: float, sample: Sample, scored: Scored) -> ExampleFields:
    threshold = scored.plan.main_threshold
    batch: Any = {key: value[None] for key, value in dict[str, Any](sample).items()}
    series = scored.data.series[int(sample["archive"])]
    thin = math.ceil(max(sample["targets"].shape[-2:]) / EXAMPLE_SIDE)
    rain, probabilities = {"observed": sample["targets"][:, 0].numpy()}, {}
    for model_name, (forecast, _) in run_models(scored.models, batch, scored.device).items():
        rain[model_name] = _where_seen(forecast.single(), sample["mask"])
        if threshold is not None and forecast.exceedance and forecast.knows(threshold):
            probabilities[model_name] = _where_seen(forecast.probability(threshold), sample["mask"])
    return ExampleFields(
        name=name,
        score=score,
        archive=series.name,
        init_time=np.datetime64(int(sample["init_time"]), "s"),
        timestep_minutes=series.step_seconds / 60,
        cell_km=series.cell_km * thin,
        rain=_thinned(rain, thin),
        probabilities=_thinned(probabilities, thin),
        threshold=math.nan if threshold is None else threshold,
    )


def _where_seen(field: Tensor, mask: Tensor) -> NDArray[np.float32]:
    """(T, H, W) of a forecast of one window where the radar sees, as it is scored; NaN elsewhere."""
    seen: NDArray[np.float32] = torch.where(mask, field[0].cpu(), torch.nan)[:, 0].numpy()
    return seen


def _thinned(fields: Mapping[str, NDArray[np.float32]], every: int) -> dict[str, NDArray[np.float32]]:
    return {name: np.ascontiguousarray(field[:, ::every, ::every]) for name, field in fields.items()}
