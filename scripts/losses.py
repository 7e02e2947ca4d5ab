"""docs/losses.md: what each loss of amounts makes of the same small network, on the same rain, in as much time.

python scripts/losses.py [--runs outputs/losses] [--page docs/losses.md] [key=value …]
"""

import argparse
import csv
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from nowcast.config.build import build
from nowcast.config.trusted import trusted
from nowcast.data.interface import DataModule
from nowcast.files import written_whole
from nowcast.forecasting import checkpoint
from nowcast.report.plots.cases import make_case
from nowcast.report.plots.contents import Choice
from nowcast.report.plots.maps import plot_forecast

LOSSES = (  # as they stand in the page
    "mse", "mae", "cross_entropy", "balanced", "weighted_mae", "pinball", "soft_csi", "probability_matching", "facl",
)  # fmt: skip
TEXT = Path(__file__).with_suffix(".md")
CSI, ERRORS, FINEST = (0.5, 5.0), ("mae", "me"), 4.0  # mm/h; columns of errors.csv; cells
NOTHING = "\N{EN DASH}"
WORDS = {"mae": "MAE (mm/h)", "me": "mean error (mm/h)"}
Row = Mapping[str, str]


def main() -> None:
    """Train with each loss, unless that was done, draw, and write the page."""
    parser = argparse.ArgumentParser(description="The page of losses")
    parser.add_argument("--runs", type=Path, default=Path("outputs/losses"))
    parser.add_argument("--page", type=Path, default=Path("docs/losses.md"))
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=LOSSES)
    parser.add_argument("overrides", nargs="*", help="key=value for every training; behind -- after --losses")
    settings = parser.parse_args()
    typed = settings.overrides
    start = settings.runs / "start"
    train("losses_start", start, typed)
    for loss in settings.losses:
        train("losses", settings.runs / loss, [f"loss={loss}", f"init={start / 'checkpoints' / 'last.ckpt'}", *typed])
    figure = draw({loss: settings.runs / loss for loss in settings.losses}, settings.page.with_suffix(".png"))
    rows = {loss: scores(settings.runs / loss / "evaluation", "unet") for loss in settings.losses}
    evaluation = settings.runs / settings.losses[0] / "evaluation"
    rows |= {name: scores(evaluation, name) for name in ("extrapolation", "persistence")}
    text = page(rows, figure.name, typed, [seconds(start), seconds(settings.runs / settings.losses[0])])
    with written_whole(settings.page) as partial:
        partial.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {figure}\nwrote {settings.page}\n")


def train(experiment: str, folder: Path, typed: Sequence[str]) -> None:
    """Train and score, or go on where that ended.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = [sys.executable, "-m", "nowcast.commands.train", f"experiment={experiment}", "resume=auto"]
    subprocess.run([*command, f"output={folder}", *typed], check=True)


def scores(evaluation: Path, model: str) -> dict[str, float]:
    """CSI at two thresholds, bias at the higher one, errors, and power of short waves, all at the last lead time."""
    found = {}
    for threshold in CSI:
        row = last(evaluation / "scores.csv", {"model": model, "threshold": threshold}, "lead_time_minutes")
        found[f"CSI ≥ {threshold:g}"] = number(row["csi"])
    found[f"bias ≥ {CSI[-1]:g}"] = number(row["bias"])
    row = last(evaluation / "errors.csv", {"model": model}, "lead_time_minutes")
    found |= {WORDS[name]: number(row[name]) for name in ERRORS}
    of_waves = {"model": model, "score": "spectral_ratio"}
    waves = rows_of(evaluation / "intervals.csv", of_waves)
    lead = max(float(each["lead_time"]) for each in waves if each["lead_time"] != "mean")
    short = [each for each in waves if each["lead_time"] == f"{lead:g}" and float(each["position"]) < FINEST]
    found["power of waves under 4 cells"] = number(short[-1]["value"]) if short else math.nan
    return found


def seconds(run: Path) -> float:
    """How long a run was trained."""
    return float(yaml.safe_load((run / "config.yaml").read_text())["callbacks"]["processor_time"]["limit_seconds"])


def rows_of(path: Path, wanted: Mapping[str, object]) -> list[Row]:
    """Lines of a CSV file in which columns hold these texts or numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(same(row[key], value) for key, value in wanted.items())]


def same(text: str, value: object) -> bool:
    """Whether a cell holds a value."""
    return float(text) == value if isinstance(value, float) else text == value


def last(path: Path, wanted: Mapping[str, object], lead: str) -> Row:
    """The line of the last lead time."""
    return max(rows_of(path, wanted), key=lambda row: float(row[lead]))


def number(text: str) -> float:
    """A cell; an empty one is undefined."""
    return float(text) if text else math.nan


def draw(runs: Mapping[str, Path], path: Path) -> Path:
    """The rainiest test window with the forecasts of all losses."""
    config: dict[str, Any] = yaml.safe_load((next(iter(runs.values())) / "config.yaml").read_text())
    data: DataModule = build(trusted(config["data"], "config of the run"))
    models = {loss: checkpoint.load(run / "checkpoints" / "last.ckpt").forecaster for loss, run in runs.items()}
    case = make_case(models, data, data.examples("test", 1)[0], torch.device("cpu"), Choice(), colour_blind_safe=False)
    return plot_forecast(case, path, every=2)


def page(rows: Mapping[str, Mapping[str, float]], figure: str, typed: Sequence[str], took: Sequence[float]) -> str:
    """The page as Markdown."""
    columns = list(next(iter(rows.values())))
    table = [f"| loss | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for name, values in rows.items():
        cells = [NOTHING if math.isnan(values[column]) else f"{values[column]:.3f}" for column in columns]
        table.append(f"| {name} | {' | '.join(cells)} |")
    words = {
        "figure": figure,
        "table": "\n".join(table),
        "command": " ".join(["python scripts/losses.py", *typed]),
        "before": f"{took[0]:g}",
        "after": f"{took[1]:g}",
    }
    return TEXT.read_text(encoding="utf-8").format(**words)


if __name__ == "__main__":
    main()
