"""`python -m nowcast.commands.tune_baseline experiment=paper_radar`: a baseline's best settings on validation."""

import math
from itertools import product
from typing import Any

from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.program import program

OVERRIDES, RECORD = "overrides.txt", "tuned.json"
DECISIVE = ("data", "baselines", "baseline", "grid", "variant", "score", "frame_scores")


@program("tune_baseline")
def main(config: DictConfig) -> None:
    """Score every combination of config.grid on the validation windows; write the best one as overrides."""
    from pathlib import Path

    from rich.console import Console

    from nowcast.files import written_by_one

    folder = Path(config.output).expanduser()
    candidates = make_candidates(config)
    data = build(config.data)
    decisive = plain(config)
    facts = {key: decisive[key] for key in DECISIVE} | {"found": data.provenance()}
    with written_by_one(folder):
        if tuned_already(folder, facts):
            Console().print(f"{folder} is tuned already: nothing to do", highlight=False, soft_wrap=True)
            return
        tune(config, candidates, data, folder, facts)


def tune(config: DictConfig, candidates: dict[str, dict[str, Any]], data: Any, folder: Any, facts: Any) -> None:  # noqa: ANN401
    """Score the candidates and write what was found; the overrides last, so that they are there when all is."""
    import json

    import torch
    from rich.console import Console

    from nowcast.forecasting.device import choose_device
    from nowcast.progress import track
    from nowcast.report.scores import report
    from nowcast.verification.from_config import make_plan
    from nowcast.verification.score_models import score_models

    plan = make_plan(config, data, "val")
    if config.variant not in plan.variants:
        raise ValueError(f"variant={config.variant} is not among frame_scores: {', '.join(plan.variants) or 'none'}")
    models: dict[str, torch.nn.Module] = {
        name: build(config.baselines[config.baseline], **settings) for name, settings in candidates.items()
    }
    scores = score_models(models, data.val_dataloader(), plan, choose_device("cpu"), track)
    written = report(scores, folder, Console(quiet=True))
    rows = [entry for entry in scores.variants if entry.variant == config.variant]
    if config.score not in rows[0].overall:
        raise ValueError(f"score={config.score} is not among {config.variant}'s: {', '.join(rows[0].overall)}")
    values = {entry.model: entry.overall[config.score] for entry in rows}
    best = best_candidate(values, highest=rows[0].best[config.score] == "highest", score=config.score)
    console = Console()
    for name, value in values.items():
        console.print(f"{name}: {config.score} {value:.4f}{' best' if name == best else ''}", highlight=False)
    edges = at_an_edge(plain(config.grid), candidates[best])
    if edges:
        console.print(f"the best value is the first or last one tried of {', '.join(edges)}: widen grid.…")
    overrides = [
        f"baselines.{baseline}.{key}={value}"
        for baseline in (config.baseline, *config.same_settings)
        for key, value in candidates[best].items()
    ]
    found = {"baseline": config.baseline, "best": candidates[best], "at_an_edge": edges, "facts": facts}
    (folder / RECORD).write_text(json.dumps(found, indent=1) + "\n")
    (folder / OVERRIDES).write_text("\n".join(overrides) + "\n")
    for path in (*written, folder / OVERRIDES):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def best_candidate(values: dict[str, float], *, highest: bool, score: str) -> str:
    """The candidate whose score is best; one whose score is undefined is never it.

    Raises:
        ValueError: All are undefined.
    """
    defined = {name: value for name, value in values.items() if not math.isnan(value)}
    if not defined:
        raise ValueError(f"score={score} is undefined for every candidate: none is best; choose another score=")
    return (max if highest else min)(defined, key=lambda name: defined[name])


def tuned_already(folder: Any, facts: dict[str, Any]) -> bool:  # noqa: ANN401 (Path is imported late)
    """Whether the folder holds the result of the same search on the same data.

    Raises:
        ValueError: It holds that of another; the message shows what differs.
    """
    import json

    from nowcast.config.differences import differences
    from nowcast.config.moved import as_now

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


def make_candidates(config: DictConfig) -> dict[str, dict[str, Any]]:
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


def at_an_edge(grid: dict[str, list[Any]], best: dict[str, Any]) -> list[str]:
    """Keys whose best value is the first or last of several tried."""
    return [key for key, values in grid.items() if len(values) > 1 and best[key] in (values[0], values[-1])]


if __name__ == "__main__":
    main()
