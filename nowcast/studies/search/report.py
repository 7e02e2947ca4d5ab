"""What a study leaves to read: trials.csv, the best trial's config, and plots."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot as plt
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as png

from nowcast.files import written_whole
from nowcast.report.csv_files import write_rows
from nowcast.studies.search.slots import slot_of
from nowcast.studies.search.study import Objective

PLOTS = {  # file name → function of both of Optuna's drawing modules
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "parallel_coordinates": "plot_parallel_coordinate",
    "slices": "plot_slice",
}


def state_word(trial: FrozenTrial) -> str:
    """Word: complete | pruned | failed | diverged | interrupted | lost | surplus | running | waiting."""
    if trial.state == TrialState.COMPLETE:
        return "diverged" if "diverged" in trial.user_attrs else "complete"
    if trial.state == TrialState.FAIL:
        words = {"surplus": "surplus", "interrupted": "interrupted", "error": "failed"}
        return next((word for attribute, word in words.items() if attribute in trial.user_attrs), "lost")
    return trial.state.name.lower()


def write_trials(path: Path, study: optuna.Study, objectives: Sequence[Objective], seed: int) -> None:
    """One row per trial, oldest first; a pruned trial's score is that of its last epoch."""
    trials = study.get_trials(deepcopy=False)
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    columns = ["trial", "first_trial", "state", *[o.name for o in objectives], "epochs", "duration_seconds", "seed"]
    columns += [*names, "host", "error"]
    rows = []
    for trial in trials:
        values = list(trial.values or [""] * len(objectives))
        seconds, host, error = (trial.user_attrs.get(name, "") for name in ("seconds", "host", "error"))
        run = [len(trial.intermediate_values) or "", seconds, seed + slot_of(trial)]
        parameters = [trial.params.get(name, "") for name in names]
        rows.append([trial.number, slot_of(trial), state_word(trial), *values, *run, *parameters, host, error])
    write_rows(path, columns, rows)


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The best trial; with several objectives those that none beats in all of them; empty when none is finite."""
    return [
        trial
        for trial in (study.best_trials if any(t.state == TrialState.COMPLETE for t in study.trials) else [])
        if trial.values and all(map(math.isfinite, trial.values))
    ][: None if len(study.directions) > 1 else 1]


def tie(study: optuna.Study, objectives: Sequence[Objective]) -> str:
    """What is to be said of trials that are as good as the best; "" if it is alone, or there are several objectives."""
    best = best_trials(study)
    if len(study.directions) > 1 or not best:
        return ""
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    same = [trial.number for trial in complete if trial.values == best[0].values]
    if len(same) < 2:
        return ""
    score = f"{objectives[0].metric}={best[0].values[0]:g}"
    who = f"all {len(same)} completed trials" if len(same) == len(complete) else f"trials {', '.join(map(str, same))}"
    return (
        f"{who} tie with {score}: trial {best[0].number}, the first of them, is not better than the others. A score "
        "that tells them apart: more trainer.max_epochs, or tune.objectives.score.metric=val/loss "
        "tune.objectives.score.mode=min with another tune.study="
    )


def write_plots(folder: Path, study: optuna.Study, objectives: Sequence[Objective]) -> list[Path]:
    """Optuna's plots as PNG and HTML; none before two trials with finite values, which they need.

    HTML files share one plotly.min.js beside them and need no network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finite = [t for t in study.get_trials(deepcopy=False) if t.values and all(map(math.isfinite, t.values))]
    complete = [t for t in finite if t.state == TrialState.COMPLETE]
    if len(complete) < 2:
        return []
    written: list[Path] = []
    for index, objective in enumerate(objectives):
        suffix = f"_{objective.name}" if len(objectives) > 1 else ""
        for name, function in PLOTS.items():
            if name == "importances" and len({t.values[index] for t in complete}) < 2:
                continue  # nothing to explain
            target = _target(index, objective, len(objectives), lowest=name == "importances")
            written += _draw(folder / f"{name}{suffix}", study, function, **target)
    if len(objectives) == 1:
        written += _draw(folder / "epochs", study, "plot_intermediate_values")
    elif len(objectives) <= 3:
        written += _draw(
            folder / "pareto_front", study, "plot_pareto_front", target_names=[o.metric for o in objectives]
        )
    return written


def _target(index: int, objective: Objective, count: int, lowest: bool) -> dict[str, Any]:
    """What to draw; importances of one of several objectives are those for its lowest values."""
    if count == 1:
        return {"target_name": objective.metric}
    sign = -1.0 if lowest and objective.mode == "max" else 1.0
    value: Callable[[FrozenTrial], float] = lambda trial: sign * trial.values[index]  # noqa: E731
    return {"target": value, "target_name": objective.metric}


def _draw(stem: Path, study: optuna.Study, function: str, **arguments: Any) -> list[Path]:  # noqa: ANN401 (passed on)
    html, image = stem.with_suffix(".html"), stem.with_suffix(".png")
    with warnings.catch_warnings(), matplotlib.rc_context({"axes.titlesize": "medium", "font.size": 9}):
        warnings.filterwarnings("ignore", message=".*identical low and high.*")  # a parameter with one value
        warnings.filterwarnings("ignore", message="Some regimes for parameter.*")  # few trials: docs/sweeps.md says so
        warnings.filterwarnings("ignore", message=".*to achieve low `target` values.*")  # as `_target` wants
        getattr(optuna.visualization, function)(study, **arguments).write_html(html, include_plotlyjs="directory")
        axes = np.ravel(getattr(png, function)(study, **arguments))
        figure = axes[0].figure
        figure.set_size_inches(max(8.0, 3.6 * len(axes)), 5.0)
        if function == "plot_slice":  # names of choices are long
            for axis in axes:
                plt.setp(axis.get_xticklabels(which="both"), rotation=25, ha="right")
        with written_whole(image) as partial:
            figure.savefig(partial, dpi=120, format="png", bbox_inches="tight")
        plt.close(figure)
    return [image, html]
