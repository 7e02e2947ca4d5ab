"""Settings of a baseline that score best on validation windows, out of a grid."""

import json
import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from nowcast.config.build import build, plain
from nowcast.config.differences import differences
from nowcast.config.moved import as_now
from nowcast.data.interface import DataModule, as_data_module
from nowcast.files import written_by_one
from nowcast.forecasting.device import choose_device
from nowcast.progress import track
from nowcast.report.scores import report
from nowcast.verification.from_config import make_plan
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.score_models import score_models

OVERRIDES, RECORD = "overrides.txt", "tuned.json"
DECISIVE = ("data", "baselines", "baseline", "grid", "variant", "score", "frame_scores")
Settings = dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What the scores of the candidates say.

    Attributes:
        values: Name of each candidate → its score.
        best: The name of the best one.
        written: The files with all scores.
    """

    values: dict[str, float]
    best: str
    written: list[Path]


def tune_baseline(config: DictConfig) -> list[Path]:
    """Score every combination of config.grid on the validation windows; write the best one as overrides.

    Returns:
        What was written; nothing where the folder holds the result of the same search.

    Raises:
        ValueError: A setting is refused, or the folder holds the result of another search.
    """
    folder, console = Path(config.output).expanduser(), Console()
    candidates = make_candidates(config)
    data = as_data_module(build(config.data))
    decisive = plain(config)
    facts = {key: decisive[key] for key in DECISIVE} | {"found": data.provenance()}
    with written_by_one(folder):
        if tuned_already(folder, facts):
            console.print(f"{folder} is tuned already: nothing to do", highlight=False, soft_wrap=True)
            return []
        tuned = score(config, candidates, data, folder)
        for name, value in tuned.values.items():
            best = " best" if name == tuned.best else ""
            console.print(f"{name}: {config.score} {value:.4f}{best}", highlight=False)
        edges = at_an_edge(plain(config.grid), candidates[tuned.best])
        if edges:
            console.print(f"the best value is the first or last one tried of {', '.join(edges)}: widen grid.…")
        found = {"baseline": config.baseline, "best": candidates[tuned.best], "at_an_edge": edges, "facts": facts}
        return [*tuned.written, write_overrides(folder, config, found)]


def score(config: DictConfig, candidates: dict[str, Settings], data: DataModule, folder: Path) -> Tuned:
    """Score the candidates and write the scores.

    Raises:
        ValueError: There is no such variant or score, or it is undefined for all.
    """
    plan = make_plan(config, data, "val")
    if config.variant not in plan.variants:
        raise ValueError(f"variant={config.variant} is not among frame_scores: {', '.join(plan.variants) or 'none'}")
    models: dict[str, nn.Module] = {
        name: build(config.baselines[config.baseline], **settings) for name, settings in candidates.items()
    }
    scores = score_models(models, data.val_dataloader(), plan, choose_device("cpu"), track)
    written = report(scores, folder, Console(quiet=True))
    rows: list[VariantScores] = [entry for entry in scores.variants if entry.variant == config.variant]
    if config.score not in rows[0].overall:
        raise ValueError(f"score={config.score} is not among {config.variant}'s: {', '.join(rows[0].overall)}")
    values = {entry.model: entry.overall[config.score] for entry in rows}
    best = best_candidate(values, highest=rows[0].best[config.score] == "highest", score=config.score)
    return Tuned(values, best, written)


def write_overrides(folder: Path, config: DictConfig, found: dict[str, Any]) -> Path:
    """Write the record, and last the overrides, so that they are there when all is."""
    overrides = [
        f"baselines.{baseline}.{key}={value}"
        for baseline in (config.baseline, *config.same_settings)
        for key, value in found["best"].items()
    ]
    (folder / RECORD).write_text(json.dumps(found, indent=1) + "\n")
    (folder / OVERRIDES).write_text("\n".join(overrides) + "\n")
    return folder / OVERRIDES


def best_candidate(values: dict[str, float], *, highest: bool, score: str) -> str:
    """The candidate whose score is best; one whose score is undefined is never it.

    Raises:
        ValueError: All are undefined.
    """
    defined = {name: value for name, value in values.items() if not math.isnan(value)}
    if not defined:
        raise ValueError(f"score={score} is undefined for every candidate: none is best; choose another score=")
    return (max if highest else min)(defined, key=lambda name: defined[name])


def tuned_already(folder: Path, facts: dict[str, Any]) -> bool:
    """Whether the folder holds the result of the same search on the same data.

    Raises:
        ValueError: It holds that of another; the message shows what differs.
    """
    if not (folder / OVERRIDES).exists():
        return False
    if not (folder / RECORD).exists():
        raise ValueError(f"{folder} holds {OVERRIDES} without {RECORD}; choose another output=, or delete it")
    before = as_now(json.loads((folder / RECORD).read_text())["facts"])
    if changed := differences(before, json.loads(json.dumps(facts))):
        raise ValueError(
            f"{folder} holds a baseline tuned otherwise: {'; '.join(changed[:8])}. Choose another output=, or delete it"
        )
    return True


def make_candidates(config: DictConfig) -> dict[str, Settings]:
    """Name → settings, for every combination of the grid.

    Raises:
        ValueError: The baseline is none of the config's, or has no such setting.
    """
    for baseline in (config.baseline, *config.same_settings):
        settings = config.baselines.get(baseline)
        if settings is None:
            known = [name for name, node in config.baselines.items() if node is not None]
            raise ValueError(f"{baseline} is not among the experiment's baselines: {', '.join(known)}")
        if unknown := [key for key in config.grid if key not in settings]:
            allowed = ", ".join(key for key in settings if key != "_target_")
            raise ValueError(f"grid.{unknown[0]}: {baseline} has no such setting; it has {allowed}")
    grid = plain(config.grid)
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return {" ".join(f"{key}={value}" for key, value in settings.items()): settings for settings in combinations}


def at_an_edge(grid: dict[str, list[Any]], best: Settings) -> list[str]:
    """Keys whose best value is the first or last of several tried."""
    return [key for key, values in grid.items() if len(values) > 1 and best[key] in (values[0], values[-1])]
