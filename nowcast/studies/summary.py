"""The runs of a folder beside each other: mean and spread over seeds."""

import statistics
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from nowcast.config.differences import flat
from nowcast.config.moved import as_now
from nowcast.forecasting.named_models import model_name
from nowcast.report.csv_files import read_records, write_rows
from nowcast.report.mean_csi import MeanScore, mean_csi
from nowcast.studies.comparison import compare
from nowcast.studies.time_to_skill import MODEL, labels_of, read_learning, report_learning

SEEDS = ("seed", "data.seed")
MIN_COMPARED = 2
MAX_COLUMNS = 6  # settings in the printed table; the file has them all
SCORES = {"val_best": "best validation score", "test_csi": "test CSI", "test_csi_calibrated": "test CSI, calibrated"}
OVER_LEAD_TIMES = ("test_csi", "test_csi_calibrated")


def summarise_if_any(folder: Path) -> None:
    """The tables, unless no run got as far as a directory."""
    if list(folder.glob("*/config.yaml")):
        summarise(folder)


def compare_all(folder: Path, config: DictConfig) -> None:
    """Scores of all runs of a folder beside each other, with intervals: the report in its folder `comparison`.

    Args:
        folder: Holds the runs' directories.
        config: Whose uncertainty, main threshold and colours hold.
    """
    found = {name: run / "evaluation" / "statistics.nc" for run, name in named_runs(folder).items()}
    found = {name: path for name, path in found.items() if path.exists()}
    if len(found) < MIN_COMPARED:
        return
    settings = {
        "pool": False,
        "uncertainty": config.uncertainty,
        "main_threshold": config.verification.main_threshold,
        "html": True,
        "colour_blind_safe": config.colour_blind_safe,
    }
    console = Console()
    try:
        written = compare(found, folder / "comparison", OmegaConf.create(settings), quiet=True)
    except ValueError as error:  # of runs on other data, or with other lead times
        console.print(f"no comparison of the runs: {error}", highlight=False, soft_wrap=True)
        return
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def named_runs(folder: Path) -> dict[Path, str]:
    """Directory → name of each run: that of its settings (`labels_of`), and of its directory."""
    runs = read_runs(folder)
    names, rows = table(runs)
    labels = dict(zip((repr(row["settings"]) for row in rows), labels_of(names, rows), strict=True))
    settings = ([run["settings"].get(name, "") for name in names] for run in runs)
    return {run["folder"]: f"{labels[repr(own)]} {run['folder'].name}" for run, own in zip(runs, settings, strict=True)}


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Every run of a folder (`read_run`)."""
    return [read_run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]


def summarise(folder: Path) -> None:
    """Read the runs of a folder, print tables and write them.

    Raises:
        FileNotFoundError: There is no run in the folder.
    """
    runs = read_runs(folder)
    if not runs:
        raise FileNotFoundError(f"{folder} has no run: no {folder}/*/config.yaml")
    names, rows = table(runs)
    path, console = folder / "summary.csv", Console()
    write_summary(path, names, rows)
    console.print(summary_table(f"{folder}: mean ± standard deviation over seeds", names, rows))
    groups = {label: row["learning"] for label, row in zip(labels_of(names, rows), rows, strict=True)}
    for written in (path, *report_learning(folder, groups, console)):
        console.print(f"wrote {written}", highlight=False, soft_wrap=True)


def write_summary(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """One row per combination of settings; what `table` gives."""
    columns = [f"{s}_{part}" for s in SCORES for part in ("mean", "sd")]
    lines = (
        [*row["settings"], row["runs"], row["unfinished"]]
        + [number for s in SCORES for number in row["scores"][s]]
        + list(row["lead_times"].values())
        for row in rows
    )
    write_rows(path, [*names, "runs", "unfinished", *columns, *(f"{s}_lead_times" for s in OVER_LEAD_TIMES)], lines)


def summary_table(title: str, names: list[str], rows: list[dict[str, Any]]) -> Table:
    """The same for a terminal, with the first MAX_COLUMNS settings."""
    shown = Table(title=title, title_justify="left")
    of_models = f"{MODEL}_target_" in names  # which have hardly a setting in common
    labels = labels_of(names, rows)
    for name in [*([""] if of_models else names[:MAX_COLUMNS]), "runs", *SCORES.values()]:
        shown.add_column(name, overflow="fold")
    for label, row in zip(labels, rows, strict=True):
        count = f"{row['runs']}" + (f" (+{row['unfinished']} unfinished)" if row["unfinished"] else "")
        cells = [_cell(*row["scores"][s]) + ("*" if s in row["partial"] else "") for s in SCORES]
        shown.add_row(*([label] if of_models else map(str, row["settings"][:MAX_COLUMNS])), count, *cells)
    if any(row["partial"] for row in rows):
        shown.caption = "* over fewer lead times than there are, in a run that is undefined at some (see summary.csv)"
    return shown


def read_run(folder: Path) -> dict[str, Any]:
    """Settings and scores of a run; scores that it does not have are absent.

    The test CSI is that of the network at the main threshold, averaged over lead times as in the printed tables; its
    "means" say over how many.
    """
    config = as_now(yaml.safe_load((folder / "config.yaml").read_text()))
    settings = {key: value for key, value in flat(config).items() if not _in_run(key, value, str(config["output"]))}
    for name in ("output", "resume", "name"):
        settings.pop(name, None)
    scores: dict[str, float] = {}
    means: dict[str, MeanScore] = {}
    chosen_by = config["callbacks"].get("checkpoint") or {}
    monitor, mode = str(chosen_by.get("monitor", "")), chosen_by.get("mode")
    metrics = folder / "metrics.csv"
    logged = read_records(metrics) if metrics.exists() else []
    values = [float(row[monitor]) for row in logged if row.get(monitor)]
    finished = (folder / "evaluation" / "scores.csv").exists() or not config["evaluate"]
    if values and finished:
        scores["val_best"] = (max if mode == "max" else min)(values)
    model = model_name(config)
    for name, key in ((model, "test_csi"), (f"{model}_calibrated", "test_csi_calibrated")):
        csi = mean_csi(folder / "evaluation" / "scores.csv", name, config["verification"]["main_threshold"])
        if csi is not None and csi.defined:
            scores[key], means[key] = csi.value, csi
    return {
        "folder": folder,
        "settings": settings,
        "scores": scores,
        "means": means,
        "learning": read_learning(folder, config),
        "finished": finished and (bool(values) or not monitor),
    }


def _in_run(key: str, value: Any, output: str) -> bool:  # noqa: ANN401 (whatever a setting may be)
    """Whether a setting is a path of the run directory, in which runs differ without being different."""
    is_path = key.rpartition(".")[2] in ("output", "dirpath", "save_dir")
    return isinstance(value, str) and (value.startswith(f"{output}/") or (is_path and value == output))


def table(runs: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of the settings that differ, and one row per combination of them: seeds are averaged over."""
    keys = list(dict.fromkeys(key for run in runs for key in run["settings"] if key not in SEEDS))
    names = [key for key in keys if len({repr(run["settings"].get(key)) for run in runs}) > 1]
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(repr([run["settings"].get(name) for name in names]), []).append(run)
    rows = []
    for group in groups.values():
        done = [run for run in group if run["finished"]]
        scores = {s: _mean_and_spread([run["scores"][s] for run in done if s in run["scores"]]) for s in SCORES}
        means = {s: [run["means"][s] for run in done if s in run["means"]] for s in SCORES if s in OVER_LEAD_TIMES}
        rows.append(
            {
                "settings": [group[0]["settings"].get(name, "") for name in names],
                "runs": len(done),
                "unfinished": len(group) - len(done),
                "scores": scores,
                "learning": [run["learning"] for run in done],
                "lead_times": {s: min((one.defined for one in of), default="") for s, of in means.items()},
                "partial": [s for s, of in means.items() if any(one.is_part for one in of)],
            }
        )
    return names, rows


def _mean_and_spread(values: list[float]) -> tuple[float | str, float | str]:
    """Mean and sample standard deviation; empty where there are too few values."""
    return (statistics.fmean(values) if values else "", statistics.stdev(values) if len(values) > 1 else "")


def _cell(mean: float | str, spread: float | str) -> str:
    if isinstance(mean, str):
        return "–"  # noqa: RUF001 (as in the tables of scores)
    return f"{mean:.3f}" + (f" ± {spread:.3f}" if isinstance(spread, float) else "")
