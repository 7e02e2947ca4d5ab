"""The trainer, its loggers and callbacks, and what happens when training diverges."""

import logging
import warnings
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from nowcast import __version__
from nowcast.config.build import build, plain
from nowcast.config.trusted import trusted
from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.forecasting.calibration.probability import AREA
from nowcast.forecasting.network import build_network, refuse_area_without_motion
from nowcast.training.callbacks.checkpoints import AtomicCheckpointIO
from nowcast.training.callbacks.stopping import DivergedError, LowerRate
from nowcast.training.loggers.metrics import MetricsLogger
from nowcast.training.losses.fitting import refuse_head_without_rain, refuse_loss_of_another_head
from nowcast.training.resume import Start, keep_metrics, retry_once
from nowcast.training.task import NowcastTask

log = logging.getLogger(__name__)
CARRIED = ("model", "head", "scaling", "calibration")  # parts that a checkpoint is rebuilt from


def quieten() -> None:
    """Let Lightning's messages appear once, and only those that a user can act on."""
    if not is_first_process():
        logging.getLogger().setLevel(logging.ERROR)  # one log for all
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()  # its lines reach the root logger anyway
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*is smaller than the logging interval.*",
        ".*Experiment logs directory.*exists and is not empty.*",  # it holds config.yaml, and no metrics yet
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*The dirpath has changed.*",  # a new run that begins with the checkpoint of another
    ):
        warnings.filterwarnings("ignore", message=message)


def is_first_process() -> bool:
    """Of those that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0


def make_task(config: DictConfig, data: DataModule) -> NowcastTask:
    """The Lightning module of a config."""
    head, scaling, optimizer = build(config.head), build(config.scaling), build(config.optimizer)
    net = build_network(config.model, head)
    refuse_baseline(net, config)
    refuse_scaling_of_another_quantity(scaling, data)
    thresholds, main = list(config.verification.thresholds), config.verification.main_threshold
    trusted({part: plain(config[part]) for part in CARRIED if config[part] is not None}, "config")  # to be read again
    calibration = None if config.calibration is None else build(config.calibration)
    loss = build(config.loss)
    refuse_loss_of_another_head(loss, head)
    refuse_head_without_rain(head, data.quantity)
    if getattr(calibration, "decide", None) == AREA:
        refuse_area_without_motion(net)
    return NowcastTask(
        net=net,
        head=head,
        scaling=scaling,
        loss=loss,
        optimizer=optimizer["optimizer"],
        schedule=optimizer["schedule"],
        thresholds=thresholds,
        main_threshold=main if thresholds else None,
        calibration=calibration,
        leads=ValidationLeads.of(data) if thresholds and calibration is not None else None,
        forecast_steps=data.forecast_steps,
        identity={"version": __version__, "config": plain(config), "data": data.provenance()},
    )


def refuse_scaling_of_another_quantity(scaling: Any, data: DataModule) -> None:  # noqa: ANN401 (whatever stands under scaling=)
    """Refuse to make grey values of rain as if it were brightness, or the other way round.

    Raises:
        ValueError: With the scaling that fits.
    """
    if getattr(scaling, "quantity", data.quantity) != data.quantity:
        fits = {"rain_rate": "paper", "brightness": "brightness"}[data.quantity]
        raise ValueError(
            f"the scaling is one of {scaling.quantity} ({type(scaling).__name__}), and the data is {data.quantity}; "
            f"add scaling={fits}"
        )


def refuse_baseline(net: torch.nn.Module, config: DictConfig) -> None:
    """Refuse to train what has nothing to train.

    Raises:
        ValueError: With the command that scores it.
    """
    if not getattr(net, "needs_training", True):
        raise ValueError(
            f"model {config.model._target_} is a baseline with nothing to train; score it with "
            "`nowcast evaluate model=…`"
        )


def make_trainer(config: DictConfig, folder: Path, lower_rate: float | None = None) -> lightning.Trainer:
    """The trainer with its callbacks and loggers; metrics.csv is always written."""
    callbacks = [build(node) for node in config.callbacks.values() if node is not None]
    if lower_rate is not None:
        callbacks.append(LowerRate(lower_rate))
    loggers: list[Any] = [MetricsLogger(folder)]
    loggers += [build(node) for node in (config.logger or {}).values() if node is not None]
    trainer: lightning.Trainer = build(
        config.trainer, callbacks=callbacks, logger=loggers, plugins=[AtomicCheckpointIO()], default_root_dir=folder
    )
    return trainer


def train(
    trainer: lightning.Trainer,
    config: DictConfig,
    data: DataModule,
    task: NowcastTask,
    start: Start,
    console: Console,
) -> lightning.Trainer:
    """Train, and once more with a lower learning rate where the config says so and training diverges.

    Returns:
        The trainer that finished.
    """
    folder = Path(config.output)
    try:
        fit(trainer, task, data, start)
    except DivergedError as error:
        factor = (config.callbacks.get("divergence") or {}).get("retry_lr_factor")
        again = None if factor is None or trainer.world_size > 1 else retry_once(folder, factor)
        if again is None:
            raise
        log.warning("%s", error)
        console.print(f"trying once more from {again.checkpoint} with {factor} times the learning rate", soft_wrap=True)
        keep_metrics(folder, again.checkpoint)
        another = make_trainer(config, folder, again.lower_rate)
        return train(another, config, data, make_task(config, data), again, console)
    return trainer


def fit(trainer: lightning.Trainer, task: NowcastTask, data: DataModule, start: Start) -> None:
    """One training, of all processes; the loggers are closed in the end."""
    module = cast(lightning.LightningDataModule, data)
    if not isinstance(trainer.strategy, ModelParallelStrategy):  # no weights are cut, which callbacks=ema would warn of
        warnings.filterwarnings("ignore", message=".*WeightAveraging callback with a model that overrides.*")
    try:
        trainer.fit(task, datamodule=module, ckpt_path=start.checkpoint, weights_only=True)
        trainer.strategy.barrier()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # the first rank goes on alone, with all windows
    finally:
        close_loggers(trainer)


def close_loggers(trainer: lightning.Trainer) -> None:
    """End the run of a logger that keeps one open in this process, as W&B does: the next run would go into it."""
    for logger in trainer.loggers:
        owner = logger if hasattr(logger, "finish") else getattr(logger, "experiment", None)
        finish = getattr(owner, "finish", None)
        if finish is not None:
            finish(exit_code=0 if trainer.state.finished else 1)


def best_checkpoint(trainer: lightning.Trainer) -> str:
    """Path of the best checkpoint.

    Raises:
        ValueError: None was written.
    """
    callback = trainer.checkpoint_callback
    path = getattr(callback, "best_model_path", "") or ""
    if not path:
        raise ValueError("no checkpoint was written: trainer.max_epochs is 0, or no epoch was validated")
    return str(path)
