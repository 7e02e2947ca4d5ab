"""`python -m nowcast.commands.paper_report printed=radar|mnist runs=<folder>`: the paper's tables beside ours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.program import program
from nowcast.config.trusted import trusted

if TYPE_CHECKING:
    from pathlib import Path

    from nowcast.report.paper.rows import PaperRow
    from nowcast.verification.scores.family import Best


@program("paper_report")
def main(config: DictConfig) -> None:
    """Collect the runs, draw, and write report.md and report.html."""
    from pathlib import Path

    from rich.console import Console

    from nowcast.files import written_whole
    from nowcast.report.html.text import text_page
    from nowcast.report.paper.figures import plot_lead_times, plot_losses
    from nowcast.report.paper.rows import read_rows
    from nowcast.report.paper.text import write_text

    printed, runs, folder = plain(config.printed), Path(config.runs).expanduser(), Path(config.output).expanduser()
    rows = read_rows(runs, printed, best_of(printed), experiments_of(printed))
    if all(row.run is None for row in rows):
        wanted = ", ".join(dict.fromkeys(row["folder"] for row in printed["rows"]))
        raise FileNotFoundError(f"runs={runs} holds none of the runs {wanted}; scripts/reproduce_paper.sh makes them")
    examples = draw_examples(rows, printed["examples"], folder, config.colour_blind_safe)
    figures: dict[str, Sequence[Path | None]] = {
        "Scores by lead time (figure 5)": [plot_lead_times(rows, printed["by_lead_time"], folder / "lead_times.svg")],
        f"Training: {printed['by_epoch']}": [plot_losses(rows, folder / "epochs.svg")],
        "Forecasts (figure 6, with all input frames)": examples,
    }
    drawn = {heading: kept for heading, paths in figures.items() if (kept := [path for path in paths if path])}
    text = write_text(printed, rows, drawn, [*caveats(rows), *tuning_caveats(runs)], config.quick)
    pages = {"report.md": text, "report.html": text_page(text, printed["title"], folder)}
    for name, content in pages.items():
        with written_whole(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
        Console().print(f"wrote {folder / name}", highlight=False, soft_wrap=True)


def best_of(printed: dict[str, Any]) -> "dict[str, Best]":
    """The scores of the variant that is printed: name → "highest" or "lowest"."""
    from nowcast.verification.per_frame.frame_metrics import FrameScores
    from nowcast.verification.per_frame.paper_metrics import PaperScores

    return dict((FrameScores if printed["variant"] == "frames" else PaperScores).best)


def experiments_of(printed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Folder of a run → the paper's experiment of the same name, as plain values."""
    folders = dict.fromkeys(row["folder"] for row in printed["rows"])
    composed = {name: hydra.compose("train", [f"experiment={name}", "output=none"]) for name in folders}
    return {name: plain(config) for name, config in composed.items()}


def caveats(rows: Sequence["PaperRow"]) -> list[str]:
    """What the data modules of the runs say of their splits."""
    texts = []
    for run in {row.run.folder: row.run for row in rows if row.run is not None}.values():
        texts.append(build(trusted(run.config["data"], str(run.folder))).caveat)
    return [text for text in dict.fromkeys(texts) if text]


def tuning_caveats(runs: "Path") -> list[str]:
    """Where a baseline's best setting lies at the end of what was tried, so that a better one may lie beyond."""
    import json

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
    rows: Sequence["PaperRow"], examples: dict[str, Any] | None, folder: "Path", colour_blind_safe: bool
) -> list["Path"]:
    """Figure 6: rainy test windows with the forecasts of some models; none while the run is not finished."""
    import torch

    from nowcast.forecasting import checkpoint
    from nowcast.report.plots.cases import make_case
    from nowcast.report.plots.maps import plot_forecast

    run = next((row.run for row in rows if examples and row.folder == examples["folder"] and row.scores), None)
    if examples is None or run is None:
        return []
    models: dict[str, torch.nn.Module] = {
        "convlstm": checkpoint.load(run.folder / "checkpoints" / "best.ckpt").forecaster
    }
    for name in examples["baselines"]:
        models[name] = build(trusted(run.config["baselines"][name], str(run.folder)))
    data = build(trusted(run.config["data"], str(run.folder)))
    paths = []
    for number, index in enumerate(data.examples("test", examples["windows"]), start=1):
        case = make_case(models, data, index, torch.device("cpu"), colour_blind_safe)
        paths.append(plot_forecast(case, folder / f"forecast_{number}.png", every=examples["every"]))
    return paths


if __name__ == "__main__":
    main()
