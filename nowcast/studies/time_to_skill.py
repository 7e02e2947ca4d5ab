"""What the runs of a folder had learned after how many processor seconds."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nowcast.report.csv_files import read_records, write_records
from nowcast.report.plots.svg import Chart, Line, write_charts

CAVEAT = "They are about so much training, and no verdict about what more of it would give"
MODEL = "model."


@dataclass(frozen=True, eq=False)
class Learning:
    """How one run learned.

    Attributes:
        monitor: The score that chooses its best epoch; empty = none does.
        mode: max or min, which of its values is the best.
        seconds: (N,) processor seconds of training before each validation; on CUDA device seconds.
        scores: Name → (N,) values, NaN = undefined.
        parameters: Of the network, if that is known.
        peak_mib: Of one training batch, where it was measured.
    """

    monitor: str
    mode: str
    seconds: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    parameters: int | None = None
    peak_mib: float | None = None

    @property
    def best(self) -> float:
        """Of the monitored score; NaN = it was never defined."""
        values = self.scores.get(self.monitor, np.array([]))
        values = values[~np.isnan(values)]
        return float((values.max if self.mode == "max" else values.min)()) if len(values) else float("nan")

    def seconds_to(self, level: float) -> float | None:
        """Of the first validation at which the monitored score was at least as good; None = of none."""
        values = self.scores.get(self.monitor, np.array([]))
        there = values >= level if self.mode == "max" else values <= level
        return float(self.seconds[there.argmax()]) if there.any() else None


def read_learning(folder: Path, config: Mapping[str, Any]) -> Learning:
    """How the run of a folder learned; of one from before seconds were counted only its size is known.

    Args:
        folder: Of the run.
        config: Of the run, plain values.
    """
    chosen_by = config["callbacks"].get("checkpoint") or {}
    path, facts = folder / "time.csv", folder / "provenance.json"
    rows = read_records(path) if path.exists() else []
    seconds = np.array([float(row["processor_seconds"]) for row in rows])
    names = [name for name in (rows[0] if rows else {}) if name.startswith("val/")]
    scores = {name: np.array([float(row.get(name) or "nan") for row in rows]) for name in names}
    memory = [float(row["peak_memory_mib"]) for row in rows if row.get("peak_memory_mib")]
    parameters = json.loads(facts.read_text()).get("parameters") if facts.exists() else None
    monitor, mode = str(chosen_by.get("monitor", "")), str(chosen_by.get("mode", "max"))
    return Learning(monitor, mode, seconds, scores, parameters, max(memory, default=None))


def common_level(runs: Sequence[Learning]) -> float | None:
    """The score that all runs reached: the worst of their best ones. None = they have none in common."""
    if not runs or len({(run.monitor, run.mode) for run in runs}) > 1:
        return None
    bests = [run.best for run in runs]
    if np.isnan(bests).any():
        return None
    return min(bests) if runs[0].mode == "max" else max(bests)


def labels_of(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short name for each combination of settings: its model, and what else it takes to tell it from the others.

    Args:
        names: Of the settings that differ between combinations.
        rows: Of each combination its values, as "settings".
    """
    named = [dict(zip(names, row["settings"], strict=True)) for row in rows]
    target = f"{MODEL}_target_"
    of_model = [name for name in names if name.startswith(MODEL) and name != target] if target in names else []
    others = [name for name in names if name not in (target, *of_model)]
    labels = []
    for each in named:
        parts = [str(each[target]).rpartition(".")[2].lower()] if target in names else []
        alike = [other for other in named if all(other[name] == each[name] for name in names if name not in of_model)]
        further = [name for name in of_model if len({repr(other[name]) for other in alike}) > 1]
        parts += [f"{name.removeprefix(MODEL)}={each[name]}" for name in (*others, *further)]
        labels.append(" ".join(parts) or "run")
    return labels


def report_learning(folder: Path, groups: Mapping[str, Sequence[Learning]], console: Console) -> list[Path]:
    """Print a table, write it and curves; return what was written: nothing where no run counted its seconds.

    Args:
        folder: Where to.
        groups: Name of each combination of settings → its runs.
        console: For the table.
    """
    every = [run for runs in groups.values() for run in runs if len(run.seconds)]
    if not every:
        return []
    level = common_level(every)
    rows = [{"run": name} | _row(runs, level) for name, runs in groups.items()]
    path = folder / "time_to_skill.csv"
    write_records(path, list(rows[0]), rows)
    console.print(_table(rows, every[0].monitor, level))
    console.print(f"{CAVEAT}.", highlight=False)
    return [path, write_charts(folder / "time_to_skill.svg", _charts(groups), list(groups), most_columns=2)]


def _row(runs: Sequence[Learning], level: float | None) -> dict[str, Any]:
    counted = [run for run in runs if len(run.seconds)]
    memory = [run.peak_mib for run in counted if run.peak_mib is not None]
    reached = [] if level is None else [run.seconds_to(level) for run in counted]
    seconds = [one for one in reached if one is not None]
    return {
        "runs": len(counted),
        "parameters": next((run.parameters for run in runs if run.parameters is not None), None),
        "peak_memory_mib": max(memory, default=None),
        "processor_seconds": statistics.fmean(float(run.seconds[-1]) for run in counted) if counted else None,
        "best_mean": statistics.fmean(run.best for run in counted) if counted else None,
        "level": level,
        "seconds_to_level_mean": statistics.fmean(seconds) if seconds else None,
        "seconds_to_level_sd": statistics.stdev(seconds) if len(seconds) > 1 else None,
    }


def _table(rows: Sequence[Mapping[str, Any]], monitor: str, level: float | None) -> Table:
    table = Table(title="learning by processor seconds of training", title_justify="left")
    table.add_column("", overflow="fold")
    to_level = "" if level is None else f"s to {monitor} {level:.3f}"
    for column in ("runs", "parameters", "MiB a batch", "s", f"best {monitor}", *([to_level] if to_level else [])):
        table.add_column(column, justify="right", overflow="fold")
    for row in rows:
        parameters = "–" if row["parameters"] is None else f"{row['parameters']:,}"  # noqa: RUF001 (as in other tables)
        cells = [_number(row[key], "{:.3g}") for key in ("peak_memory_mib", "processor_seconds")]
        cells.append(_number(row["best_mean"], "{:.3f}"))
        if to_level:
            spread = row["seconds_to_level_sd"]
            more = "" if spread is None else f" ± {spread:.3g}"
            cells.append(_number(row["seconds_to_level_mean"], "{:.3g}") + more)
        table.add_row(str(row["run"]), str(row["runs"]), parameters, *cells)
    if to_level:
        table.caption = "the last column: until a run was first seen to be as good as the worst run became"
    return table


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or np.isnan(value) else form.format(value)  # noqa: RUF001


def _charts(groups: Mapping[str, Sequence[Learning]]) -> list[Chart]:
    """The monitored score and the loss against seconds: a line for each run, of one colour for each combination."""
    every = [run for runs in groups.values() for run in runs if len(run.seconds)]
    names = dict.fromkeys([*(run.monitor for run in every), "val/loss"])
    latest = max(float(run.seconds[-1]) for run in every)
    charts = []
    for name in names:
        lines = [
            Line(label, run.seconds, run.scores[name], number)
            for number, (label, runs) in enumerate(groups.items())
            for run in runs
            if name in run.scores
        ]
        if lines:
            title, x_label = f"{name} on validation windows", "processor seconds of training"
            charts.append(Chart(title, x_label, name, lines, x_range=(0.0, 1.02 * latest), y_zero=False))
    return charts
