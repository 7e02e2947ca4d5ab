"""One training run from config to scores."""

import logging
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from nowcast import __version__
from nowcast.config.build import build, plain
from nowcast.config.command_line.quoting import typed
from nowcast.config.mistakes import as_typed
from nowcast.config.program import given_on_command_line
from nowcast.data.balance import balance_of
from nowcast.data.interface import DataModule, as_data_module
from nowcast.data.windows.index import SPLITS
from nowcast.files import written_by_one
from nowcast.forecasting import checkpoint
from nowcast.forecasting.calibration.fitting import fit_calibration
from nowcast.forecasting.named_models import model_name
from nowcast.forecasting.network import at_lead_times
from nowcast.progress import track
from nowcast.report.climate.balance import BALANCE, plain_balance
from nowcast.report.plots.cases import draw
from nowcast.report.plots.contents import Choice
from nowcast.report.results import Output, Scored, write_results
from nowcast.training.failures import explained
from nowcast.training.initial import begin_with
from nowcast.training.provenance import write_provenance
from nowcast.training.resume import (
    Start,
    choose_start,
    for_more_epochs,
    join_metrics,
    keep_metrics,
    note_end,
    note_resumption,
    remove_leftovers,
    stored_settings,
)
from nowcast.training.task import NowcastTask
from nowcast.training.trainer import best_checkpoint, is_first_process, make_task, make_trainer, quieten, train
from nowcast.training.trial_build import build_all, build_network
from nowcast.training.validate import refuse_idle_processes, validate
from nowcast.verification.from_config import make_baselines, make_plan
from nowcast.verification.score_models import score_models
from nowcast.verification.validation import store_validation

log = logging.getLogger(__name__)


def run(config: DictConfig) -> None:
    """Train, choose the best epoch, calibrate, score, draw, and say where everything is."""
    folder, console = Path(config.output), Console()
    quieten()
    with as_typed():
        for key, value in stored_settings(folder, plain(config)).items():
            if not given_on_command_line(f"{key}="):
                OmegaConf.update(config, key, value)
        build_network(config)
        validate(config)
        build_all(config)
        data = as_data_module(build(config.data))
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    data.setup()
    dry_run(config, data)
    task = make_task(config, data)
    with written_by_one(folder) if is_first_process() else nullcontext():
        _run(config, data, task, folder, console)


def _run(config: DictConfig, data: DataModule, task: NowcastTask, folder: Path, console: Console) -> None:
    start = choose_start(folder, plain(config), data.provenance(), first_process=is_first_process())
    if start.finished:
        more = for_more_epochs(folder, plain(config))
        console.print(f"{folder} is finished already: nothing to do; {more}", highlight=False, soft_wrap=True)
        return
    init = None
    if config.init is not None and not (start.known and start.checkpoint):  # a run that goes on has weights of its own
        init = begin_with(config.init, task.net, plain(config))
    trainer = make_trainer(config, folder, start.lower_rate)
    refuse_idle_processes(data, trainer.num_devices, trainer.num_nodes)
    begin_run(config, data, task, folder, console, start, init)
    try:
        with explained(folder, plain(config)):
            trainer = train(trainer, config, data, task, start, console)
            if trainer.is_global_zero:
                after_training(config, data, Path(best_checkpoint(trainer)), folder, console, scoring_device(trainer))
                if not config.evaluate and start.step == trainer.global_step:
                    more = f"for its scores: evaluate=true; {for_more_epochs(folder, plain(config))}"
                    console.print(f"{folder} was trained already; {more}", highlight=False, soft_wrap=True)
    except KeyboardInterrupt as end:  # while scoring
        raise SystemExit(_say_how_to_go_on(130, folder, console)) from end
    except SystemExit as end:
        if end.code in (130, 143):  # LastCheckpoint, told by a signal
            _say_how_to_go_on(end.code, folder, console)
        raise


def scoring_device(trainer: lightning.Trainer) -> torch.device:
    """Where networks are scored: on the CUDA device that they were trained on, or on the CPU (sums need float64)."""
    trained_on = trainer.strategy.root_device
    return trained_on if trained_on.type == "cuda" else torch.device("cpu")


def after_training(
    config: DictConfig, data: DataModule, best: Path, folder: Path, console: Console, device: torch.device
) -> None:
    """What comes after training, in one process."""
    join_metrics(folder)
    models = judge(config, data, best, device)
    if config.evaluate:
        score(config, data, models, best, folder, console, device)
        note_end(folder)
        log.info("finished")
    else:
        console.print(f"wrote {best}", highlight=False, soft_wrap=True)


def _say_how_to_go_on(code: int, folder: Path, console: Console) -> int:
    if is_first_process():
        console.print(
            f"interrupted; go on with the same command, {typed('output', folder)} and resume=auto", soft_wrap=True
        )
    return code


def dry_run(config: DictConfig, data: DataModule) -> None:
    """Find out now what would otherwise fail after training: baselines see fields of the size that they are to score.

    Raises:
        ValueError: A split that is needed (test for scores only) has no window; where there will be scores, test
            windows have no common time step, or a baseline refuses the inputs.
    """
    for split in SPLITS:
        if split != "test" or config.evaluate:
            data.dataset(split)
    if not config.evaluate:
        return
    plan = make_plan(config, data, "test")
    for make in plan.variants.values():
        make(lead_times=data.forecast_steps)
    for baseline in make_baselines(config).values():
        for shape in data.shapes("test"):
            baseline(torch.zeros(1, data.input_steps, 1, *shape), 1)


@rank_zero_only
def begin_run(
    config: DictConfig,
    data: DataModule,
    task: NowcastTask,
    folder: Path,
    console: Console,
    start: Start,
    init: dict[str, Any] | None,
) -> None:
    """Begin the run directory, or take it up again, and say where it is; once, however many processes train."""
    parameters = sum(parameter.numel() for parameter in task.net.parameters())
    if start.known:
        remove_leftovers(folder)
        keep_metrics(folder, start.checkpoint)
        note_resumption(folder, start.checkpoint)
    else:
        write_provenance(folder, config, data, parameters, init)
    log.info("nowcast %s: %s", __version__, " ".join(sys.argv))
    if start.checkpoint is not None:
        log.info("going on from %s", start.checkpoint)
        console.print(f"going on from {start.checkpoint}", highlight=False, soft_wrap=True)
    elif init is not None:
        console.print(f"beginning with the weights of {config.init}", highlight=False, soft_wrap=True)
    console.print(f"{config.name}: {parameters:,} parameters, run directory {folder}", highlight=False)


def judge(config: DictConfig, data: DataModule, best: Path, device: torch.device) -> dict[str, torch.nn.Module]:
    """Calibrate the best checkpoint and note its validation scores in it; the network, as it is and calibrated."""
    loaded = checkpoint.load(best)
    name = model_name(plain(config))
    models: dict[str, torch.nn.Module] = {name: loaded.forecaster}
    if config.calibration is not None:
        fitted = fit_calibration(loaded.forecaster, data, build(config.calibration), device, track)
        checkpoint.add_calibration(best, fitted)
        models[f"{name}_calibrated"] = loaded.with_calibration(fitted)  # of the same network, so that it runs once
    if config.verification.thresholds and data.quantity == "rain_rate":
        thresholds = list(config.verification.thresholds)
        store_validation(best, models, make_baselines(config), data, thresholds, device, track)
    return models


def score(
    config: DictConfig,
    data: DataModule,
    models: Mapping[str, torch.nn.Module],
    best: Path,
    folder: Path,
    console: Console,
    device: torch.device,
) -> None:
    """Score the network beside the baselines on the test windows, and draw it."""
    models = at_lead_times(models, data.lead_times("test")) | make_baselines(config)
    scored = Scored(models, data, "test", make_plan(config, data, "test"), device)
    scores = score_models(models, data.test_dataloader(), scored.plan, device, track)
    facts = {"split": "test", "caveat": data.caveat, "data": data.provenance(), "settings": plain(config)}
    facts |= {BALANCE: plain_balance(balance_of(data))}
    uncertainty, evaluation = build(config.uncertainty), folder / "evaluation"
    output = Output(evaluation, console, uncertainty, html=config.picture, colour_blind_safe=config.colour_blind_safe)
    written = write_results(scores, scored, facts, output)
    if data.caveat:
        console.print(data.caveat, style="yellow", highlight=False)
    if config.picture:
        drawn = Choice([] if scored.plan.main_threshold is None else [scored.plan.main_threshold])
        written += draw(models, data, evaluation, device, drawn, config.colour_blind_safe)
    for path in (best, folder / "metrics.csv", folder / "config.yaml", *written):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
