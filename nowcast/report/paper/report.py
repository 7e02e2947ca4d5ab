"""The paper's tables and figures beside those of our runs, written as Markdown and as HTML."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nowcast.config.build import build
from nowcast.config.trusted import trusted
from nowcast.data.interface import DataModule
from nowcast.files import written_whole
from nowcast.forecasting import checkpoint
from nowcast.report.html.text import text_page
from nowcast.report.paper.figures import plot_lead_times, plot_losses
from nowcast.report.paper.rows import PaperRow, read_rows
from nowcast.report.paper.text import write_text
from nowcast.report.plots.cases import make_case
from nowcast.report.plots.contents import Choice
from nowcast.report.plots.maps import plot_forecast
from nowcast.verification.per_frame.frame_metrics import FrameScores
from nowcast.verification.per_frame.paper_metrics import PaperScores
from nowcast.verification.scores.family import Best


def write_paper_report(
    runs: Path,
    folder: Path,
    printed: dict[str, Any],
    experiments: Mapping[str, dict[str, Any]],
    *,
    colour_blind_safe: bool,
    quick: bool,
) -> list[Path]:
    """Collect the runs, draw, and write report.md and report.html, which are returned.

    Args:
        runs: Folder of run directories.
        folder: Where everything goes.
        printed: configs/printed/*.yaml as plain values.
        experiments: Name of a run → config of the paper's experiment of that name, as plain values.
        colour_blind_safe: Colours of the forecasts.
        quick: Say above everything that the runs are reduced.

    Raises:
        FileNotFoundError: There is none of the runs.
    """
    rows = read_rows(runs, printed, best_of(printed), experiments)
    if all(row.run is None for row in rows):
        wanted = ", ".join(dict.fromkeys(row["folder"] for row in printed["rows"]))
        raise FileNotFoundError(f"runs={runs} holds none of the runs {wanted}; scripts/reproduce_paper.sh makes them")
    examples = draw_examples(rows, printed["examples"], folder, colour_blind_safe)
    figures: dict[str, Sequence[Path | None]] = {
        "Scores by lead time (figure 5)": [plot_lead_times(rows, printed["by_lead_time"], folder / "lead_times.svg")],
        f"Training: {printed['by_epoch']}": [plot_losses(rows, folder / "epochs.svg")],
        "Forecasts (figure 6, with all input frames)": examples,
    }
    drawn = {heading: kept for heading, paths in figures.items() if (kept := [path for path in paths if path])}
    text = write_text(printed, rows, drawn, [*caveats(rows), *tuning_caveats(runs)], quick)
    pages = {folder / "report.md": text, folder / "report.html": text_page(text, printed["title"], folder)}
    for path, content in pages.items():
        with written_whole(path) as partial:
            partial.write_text(content, encoding="utf-8")
    return list(pages)


def best_of(printed: Mapping[str, Any]) -> dict[str, Best]:
    """The scores of the variant that is printed: name → "highest" or "lowest"."""
    return dict((FrameScores if printed["variant"] == "frames" else PaperScores).best)


def caveats(rows: Sequence[PaperRow]) -> list[str]:
    """What the data modules of the runs say of their splits."""
    texts = []
    for run in {row.run.folder: row.run for row in rows if row.run is not None}.values():
        data: DataModule = build(trusted(run.config["data"], str(run.folder)))
        texts.append(data.caveat)
    return [text for text in dict.fromkeys(texts) if text]


def tuning_caveats(runs: Path) -> list[str]:
    """Where a baseline's best setting lies at the end of what was tried, so that a better one may lie beyond."""
    texts = []
    for path in sorted(runs.glob("tuned_*/tuned.json")):
        found = json.loads(path.read_text())
        best = ", ".join(f"{key}={value:g}" for key, value in found["best"].items())
        if found["at_an_edge"]:
            edges = " and ".join(found["at_an_edge"])
            texts.append(
                f"{found['baseline']} was tuned on validation ({best}), but the best {edges} is the first or last "
                "value tried: a better one may lie beyond"
            )
    return texts


def draw_examples(
    rows: Sequence[PaperRow], examples: Mapping[str, Any] | None, folder: Path, colour_blind_safe: bool
) -> list[Path]:
    """Figure 6: rainy test windows with the forecasts of some models; none while the run is not finished."""
    run = next((row.run for row in rows if examples and row.folder == examples["folder"] and row.scores), None)
    if examples is None or run is None:
        return []
    models: dict[str, nn.Module] = {"convlstm": checkpoint.load(run.folder / "checkpoints" / "best.ckpt").forecaster}
    for name in examples["baselines"]:
        models[name] = build(trusted(run.config["baselines"][name], str(run.folder)))
    data: DataModule = build(trusted(run.config["data"], str(run.folder)))
    paths = []
    for number, index in enumerate(data.examples("test", examples["windows"]), start=1):
        case = make_case(models, data, index, torch.device("cpu"), Choice(), colour_blind_safe)
        paths.append(plot_forecast(case, folder / f"forecast_{number}.png", every=examples["every"]))
    return paths
