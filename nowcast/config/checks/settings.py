"""Names, types and ranges of what a config builds are checked before anything is made, without importing it."""

import copy
import json
import math
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nowcast.config.checks.definitions import NotThereError
from nowcast.config.checks.signatures import signature
from nowcast.config.command_line.quoting import typed
from nowcast.config.grouped import name_now
from nowcast.config.mistakes import UsageError, near
from nowcast.config.moved import TARGETS

HYDRAS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
MISSING = "???"
# What Lightning and torch take without a word, and fail with later or never say, and what our own classes refuse, but
# only after seconds of imports: class → argument → least, largest.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "lightning.Trainer": {
        "max_epochs": (-1, math.inf),
        "max_steps": (-1, math.inf),
        "gradient_clip_val": (0, math.inf),
        "accumulate_grad_batches": (1, math.inf),
        "log_every_n_steps": (1, math.inf),
        "check_val_every_n_epoch": (1, math.inf),
        "num_sanity_val_steps": (-1, math.inf),
        "limit_train_batches": (0, math.inf),
        "limit_val_batches": (0, math.inf),
        "num_nodes": (1, math.inf),
    },
    "nowcast.data.datamodule.RadarDataModule": {
        "input_steps": (1, math.inf),
        "forecast_steps": (1, math.inf),
        "batch_size": (1, math.inf),
        "workers": (0, math.inf),
    },
    "nowcast.data.windows.settings.WindowSettings": {"stride": (1, math.inf)},
    "nowcast.data.windows.settings.SplitSettings": {
        "val_fraction": (0, 1),
        "test_fraction": (0, 1),
        "gap_minutes": (0, math.inf),
    },
    "nowcast.data.windows.settings.SamplingSettings": {
        "min_rain_fraction": (0, 1),
        "min_valid_fraction": (0, 1),
        "samples_per_epoch": (1, math.inf),
    },
    "nowcast.data.mnist.moving_mnist.MovingMnist": {
        "input_steps": (1, math.inf),
        "forecast_steps": (1, math.inf),
        "batch_size": (1, math.inf),
        "workers": (0, math.inf),
    },
    "nowcast.data.mnist.settings.DigitSettings": {"per_sequence": (1, math.inf)},
    "nowcast.data.mnist.settings.SequenceCounts": {
        "train": (1, math.inf),
        "val": (1, math.inf),
        "test": (1, math.inf),
    },
    "nowcast.training.callbacks.stopping.EarlyStopping": {"patience": (0, math.inf)},
    "lightning.pytorch.callbacks.EMAWeightAveraging": {"decay": (0, 1)},
    "torch.optim.AdamW": {"lr": (0, math.inf), "eps": (0, math.inf), "weight_decay": (0, math.inf)},
    "nowcast.training.optimizers.PaperRMSProp": {"lr": (0, math.inf), "decay": (0, 1), "eps": (0, math.inf)},
    "nowcast.training.optimizers.warmup_cosine": {"warmup_fraction": (0, 1), "min_factor": (0, 1)},
}
SEEDS = (0, 2**32 - 1)  # what torch and numpy take


def check_settings(config: DictConfig) -> None:
    """Refuse what the constructors that a config names would refuse, or take and fail with later.

    Raises:
        UsageError: A class is not there, an argument is unknown, of the wrong type or out of range; it names the key.
    """
    if config.get("output", "") is None:  # of `nowcast check`: none is written, and paths in it are none
        config = copy.deepcopy(config)
        config.output = "output"
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(values, dict)
    if values.get("checkpoint") is not None:  # its data settings are those that count; evaluate checks them with these
        values.pop("data", None)
    if isinstance(values.get("seed"), int):
        _check_range("seed", values["seed"], *SEEDS)
    _check_node(values, "")


def _check_node(node: Any, key: str) -> None:  # noqa: ANN401 (whatever a config holds)
    if isinstance(node, dict):
        if "_target_" in node:
            _check_arguments(node, key)
        for name, value in node.items():
            _check_node(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_node(value, f"{key}[{index}]")


def _check_arguments(node: dict[str, Any], key: str) -> None:
    target = str(node["_target_"])
    try:
        known = signature(target)
    except NotThereError as error:
        if target in TARGETS:
            moved = f"{key}._target_={TARGETS[target]}"
            raise UsageError(f"{key}._target_={target} lies elsewhere now: type {moved}") from None
        raise UsageError(_not_there(f"{key}._target_={target}", error)) from None
    arguments = {str(name): value for name, value in node.items() if name not in HYDRAS}
    for name, value in arguments.items():
        place = f"{key}.{name}"
        if now := name_now(target, name, value):
            raise UsageError(f"{place} is called {key}.{now} now: type {typed(f'{key}.{now}', value)}")
        if known is not None and name not in known.annotations and not known.open:
            close, allowed = near(name, known.annotations, f"{key}."), ", ".join(sorted(known.annotations))
            raise UsageError(f"{place} is unknown to {target}{close}; allowed: {allowed}")
        if value == MISSING:
            continue
        if known is not None and (allowed := known.refuses(name, value)):
            raise UsageError(f"{place} must be {allowed}, got {_shown(value)}")
        if isinstance(value, int | float) and name in RANGES.get(target, {}):
            _check_range(place, value, *RANGES[target][name])


def _check_range(key: str, value: float, least: float, largest: float) -> None:
    if not least <= value <= largest:
        allowed = f"from {least:.10g} to {largest:.10g}" if math.isfinite(largest) else f"at least {least:g}"
        raise UsageError(f"{key} must be {allowed}, got {value}")


def _not_there(setting: str, error: NotThereError) -> str:
    missing = error.missing
    if Path(missing).is_dir() or Path(f"{missing}.py").is_file():
        return (
            f"{setting}: {missing} lies in the working directory, which nothing is imported from; name its folder: "
            "PYTHONPATH=$PWD nowcast …"
        )
    return f"{setting}: there is no {missing}{near(missing, error.near, '')}"


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)
