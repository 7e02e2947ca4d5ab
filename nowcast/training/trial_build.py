"""Everything that a training builds is built once before anything is made: constructors know best what they refuse."""

import torch
from omegaconf import DictConfig

from nowcast.config.build import build
from nowcast.config.mistakes import UsageError
from nowcast.forecasting import network as forecasting
from nowcast.forecasting.calibration.method import Method
from nowcast.training.losses.fitting import (
    refuse_events_beyond_head,
    refuse_head_without_rain,
    refuse_loss_of_another_head,
)
from nowcast.training.trainer import refuse_baseline


def build_network(config: DictConfig) -> None:
    """Build the network without memory for its weights.

    Raises:
        ValueError: It refuses what it is given, or is a baseline.
    """
    with torch.device("meta"):
        net = forecasting.build_network(config.model, build(config.head))
    refuse_baseline(net, config)


def build_objective(config: DictConfig) -> None:
    """Build what says what is learned – head, loss, scaling, calibration – and let it go.

    Raises:
        UsageError: A part refuses what it is given, or does not fit the others.
    """
    built = {name: build(config[name]) for name in ("scaling", "loss", "uncertainty", "head")}
    refuse_loss_of_another_head(built["loss"], built["head"])
    refuse_head_without_rain(built["head"], getattr(built["scaling"], "quantity", "rain_rate"))
    refuse_events_beyond_head(built["head"], list(config.verification.thresholds))
    if config.calibration is not None:
        method: Method = build(config.calibration)
        method.fitting(built["head"], 1)
        for threshold in [config.verification.main_threshold] if config.verification.thresholds else []:
            method.csi(built["head"], built["scaling"], threshold, 1)


def build_all(config: DictConfig) -> None:
    """Build the parts of a training config beside the network that need no data, and let them go.

    Raises:
        UsageError: A part refuses what it is given; the message names the setting.
    """
    build_objective(config)
    rain = (
        len(config.verification.thresholds) > 0
    )  # else scores of events have none, and are not built for a run either
    for group in ("frame_scores", *(["scores"] if rain else []), "baselines"):
        for node in config[group].values():
            build(node)
    _build_optimizer(config.optimizer)
    callbacks = [build(node) for node in config.callbacks.values() if node is not None]
    loggers = [build(node) for node in (config.logger or {}).values() if node is not None]
    build(config.trainer, callbacks=callbacks, logger=loggers)


def _build_optimizer(node: DictConfig) -> None:
    optimizer = build(node)["optimizer"]
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UsageError(f"{error} (config: optimizer.optimizer → {node.optimizer['_target_']})") from error
