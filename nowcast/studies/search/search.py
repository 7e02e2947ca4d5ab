"""One search from config to best.yaml."""

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import optuna
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState
from rich.console import Console

from nowcast.config.build import build, plain
from nowcast.config.checks.settings import check_settings
from nowcast.config.command_line.overrides import override_text
from nowcast.config.compose import compose_train, standalone
from nowcast.config.mistakes import as_typed
from nowcast.config.program import config_folders, given_on_command_line
from nowcast.config.start import command_line, environment
from nowcast.files import written_whole
from nowcast.studies.search.process import Ended, device_shares, environment_of, run_process
from nowcast.studies.search.progress import StudyProgress
from nowcast.studies.search.report import best_trials, tie, write_plots, write_trials
from nowcast.studies.search.samplers import Grid
from nowcast.studies.search.slots import slot_of
from nowcast.studies.search.space import Scalar, SearchSpace
from nowcast.studies.search.study import SECONDS, Objective, log_file, open_storage, open_study, quieten, trial_folder
from nowcast.studies.search.workers import Rules, Workers
from nowcast.training.trial_build import build_network, build_objective
from nowcast.training.validate import logged
from nowcast.training.validate import validate as validate_training

TRAIN, START = command_line("train", []), environment("train")
REFRESH_SECONDS = 1.0


def search(config: DictConfig) -> None:
    """Open or continue a study, run what is missing, and write tables, plots and the best config."""
    quieten()
    settings, folder, console = config.tune, Path(config.output), Console()
    space = SearchSpace(plain(settings.space))
    objectives = [Objective(name, node.metric, node.mode) for name, node in settings.objectives.items() if node]
    pruner, sampler = build(settings.pruner), build(settings.sampler)
    given = [text for text in given_on_command_line("") if not text.lstrip("+~").startswith(("tune", "output="))]
    with as_typed():
        validate(config, objectives, pruner)
        base = check_configs(given, list(settings.fixed), space)
    devices, jobs = share_out(config)
    grid = space.grid() if sampler.func is Grid else []
    storage = open_storage(settings.storage, settings.heartbeat_seconds, settings.grace_seconds, settings.retries)
    study = open_study(settings.study, storage, objectives, definition(base, settings), grid)
    environments = [environment_of(share, jobs, os.cpu_count() or 1) for share in device_shares(devices, jobs)]

    def run_trial(number: int, seed: int, values: dict[str, Scalar], worker: int, watch: Callable[[], bool]) -> Ended:
        own = [f"seed={seed}", f"output={override_text(str(trial_folder(folder, number)))}"]
        command = [*TRAIN, *config_folders(), *given, *settings.fixed, *space.overrides(values), *own]
        variables = {**os.environ, **START, "WANDB_RUN_GROUP": settings.study, **environments[worker]}
        log = log_file(folder, number)
        return run_process(command, variables, log, watch, settings.poll_seconds, settings.stop_seconds)

    rules = Rules(
        trials=min(settings.trials, len(grid)) if grid else settings.trials,
        retries=settings.retries,
        diverged=settings.diverged,
        seed=settings.seed,
        poll_seconds=settings.poll_seconds,
        grace_seconds=settings.grace_seconds,
    )
    threads = environments[0].get("OMP_NUM_THREADS")
    workers = Workers(
        study, sampler, pruner, space, objectives, rules, folder, run_trial, {"threads": threads} if threads else {}
    )
    console.print(f"study {settings.study}: {rules.trials} trials, {jobs} at once, in {folder}", highlight=False)
    try:
        run_workers(workers, jobs, settings.give_up_after, console)
    except SystemExit:
        console.print("interrupted; what was running is queued again: go on with the same command", soft_wrap=True)
        raise
    finally:
        write_trials(folder / "trials.csv", study, objectives, settings.seed)
        storage.engine.dispose()
    for path in write_plots(folder / "plots", study, objectives):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if tied := tie(study, objectives):
        console.print(tied, style="yellow", highlight=False, soft_wrap=True, markup=False)
    refuse_without_best(study)
    write_best(study, folder, given, space, settings.seed, console)


def validate(config: DictConfig, objectives: Sequence[Objective], pruner: optuna.pruners.BasePruner) -> None:
    """Refuse settings that contradict each other, before anything is begun.

    Raises:
        ValueError: Naming the keys, their values and the way out.
    """
    validate_training(config)
    settings = config.tune
    known = [SECONDS, "train/loss", *logged(config.verification)]
    for objective in objectives:
        if objective.metric not in known:
            raise ValueError(
                f"tune.objectives.{objective.name}.metric={objective.metric} is not logged; choose one of "
                f"{', '.join(known)}"
            )
    if not objectives:
        raise ValueError("tune.objectives is empty")
    if settings.diverged not in ("failed", "worst"):
        raise ValueError(f"tune.diverged must be failed or worst, got {settings.diverged!r}")
    for key in ("trials", "heartbeat_seconds", "give_up_after"):
        if settings[key] < 1:
            raise ValueError(f"tune.{key} must be at least 1, got {settings[key]}")
    if settings.grace_seconds <= settings.heartbeat_seconds:
        raise ValueError(
            f"tune.grace_seconds={settings.grace_seconds} must exceed tune.heartbeat_seconds="
            f"{settings.heartbeat_seconds}, or living workers are taken for dead"
        )
    if len(objectives) > 1 and not isinstance(pruner, optuna.pruners.NopPruner):
        raise ValueError(
            f"{len(objectives)} objectives cannot be pruned, as none of them says alone which trial is behind; "
            "add tune/pruner=none"
        )


def check_configs(given: list[str], fixed: list[str], space: SearchSpace) -> DictConfig:
    """The training config without any trial's values, after every choice and every end of a range was tried on it.

    Raises:
        ValueError: A key of the space is given on the command line, too, or a trial would be refused.
        HydraException: A key or a group of the space does not exist.
    """
    for p in space.parameters:
        if any(text.lstrip("+~").split("=")[0] == p.key for text in given):
            raise ValueError(
                f"{p.key} is given on the command line and searched as tune.space.{p.name}; drop one of them"
            )
    for point in space.samples() or [{}]:
        check_trial([*given, *fixed], space.overrides(point))
    return compose_train([*given, *fixed])


def check_trial(always: list[str], own: list[str]) -> None:
    """Refuse what `nowcast train` would refuse in a trial before it reads data.

    Raises:
        ValueError: It does; the message names the trial's values.
        HydraException: A key or a group of the space does not exist.
    """
    config = compose_train([*always, *own])
    try:
        check_settings(config)
        validate_training(config)
        build_network(config)
        build_objective(config)
    except ValueError as error:
        raise ValueError(f"a trial with {' '.join(own) or 'these settings'} would be refused: {error}") from error


def definition(base: DictConfig, settings: DictConfig) -> dict[str, Any]:
    """What makes two starts the same study: the training config, the space, the objectives and the seed."""
    train: Any = OmegaConf.to_container(base, resolve=False)
    del train["output"]
    searched = {key: value for key, value in plain(settings).items() if key in ("space", "objectives", "seed")}
    return {**train, "tune": searched}


def share_out(config: DictConfig) -> tuple[list[str], int]:
    """The CUDA devices, as CUDA_VISIBLE_DEVICES names them, and the number of trials at once."""
    devices: list[str] = []
    if config.trainer.accelerator == "gpu":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    jobs = config.tune.jobs
    if jobs is None:
        jobs = len(devices) if devices and config.trainer.devices == 1 else 1
    if jobs < 1:
        raise ValueError(f"tune.jobs must be at least 1, or null for one per CUDA device, got {jobs}")
    return devices, jobs


def run_workers(workers: Workers, jobs: int, give_up_after: int, console: Console) -> None:
    """Run the workers to the end, and show how far they are.

    Raises:
        ValueError: The first trials all failed.
        SystemExit: Ctrl-C (130) or SIGTERM (143); the running trials are queued again.
    """
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            workers.work(worker)
        except Exception as error:
            errors.append(error)
            workers.stop.set()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(jobs)]
    before = signal.signal(signal.SIGTERM, _terminated)
    progress = StudyProgress(
        workers.study, workers.objectives, workers.rules.trials, workers.rules.retries, workers.folder, console
    )
    try:
        with progress:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(REFRESH_SECONDS)
                progress.refresh()
                refuse_hopeless(workers.study, give_up_after)
            for thread in threads:
                thread.join()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        workers.stop.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGTERM, before)
    if errors:
        raise errors[0]


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def refuse_hopeless(study: optuna.Study, give_up_after: int) -> None:
    """End a search whose first trials all failed.

    Raises:
        ValueError: With the end of the last one's log.
    """
    trials = study.get_trials(deepcopy=False)
    failed = [trial for trial in trials if "error" in trial.user_attrs]
    if len(failed) >= give_up_after and all(
        trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials
    ):
        raise ValueError(
            f"the first {len(failed)} trials all failed, and so would the others (tune.give_up_after={give_up_after}); "
            f"trial {failed[-1].number} said:\n{failed[-1].user_attrs['error']}"
        )


def refuse_without_best(study: optuna.Study) -> None:
    """End a search of which nothing came.

    Raises:
        ValueError: No trial has a finite value; with the end of the last failed one's log.
    """
    if best_trials(study):
        return
    failed = [trial for trial in study.get_trials(deepcopy=False) if "error" in trial.user_attrs]
    why = f"; trial {failed[-1].number} said:\n{failed[-1].user_attrs['error']}" if failed else ""
    raise ValueError(f"no trial has a finite value, and so there is no best one{why}")


def write_best(
    study: optuna.Study, folder: Path, given: list[str], space: SearchSpace, seed: int, console: Console
) -> None:
    """Write the config of the best trial and print the command that runs it again; of several where none is best."""
    for trial in best_trials(study):
        name = "best" if len(study.directions) == 1 else f"best_{trial.number:04d}"
        settings = [*given, *space.overrides(trial.params), f"seed={seed + slot_of(trial)}"]
        with written_whole(folder / f"{name}.yaml") as partial:
            partial.write_text(
                f"# Trial {trial.number} of study {study.study_name}: {list(trial.values)}\n"
                + standalone(settings, f"{study.study_name}_{name}")
            )
        threads = trial.user_attrs.get("threads")
        prefix = f"OMP_NUM_THREADS={threads} " if threads else ""
        console.print(
            f"trial {trial.number} again, with scores of the test split:\n"
            f"{prefix}nowcast train --config-dir={shlex.quote(str(folder))} --config-name={name}",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip
