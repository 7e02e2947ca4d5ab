"""What `nowcast benchmark` cannot measure is refused before anything is measured."""

import importlib.util
import os
import shutil
from pathlib import Path

import torch
from omegaconf import DictConfig

from nowcast.config.program import CONFIGS
from nowcast.files import how_to_install
from nowcast.studies.benchmarks.growth import AXES
from nowcast.studies.benchmarks.rounds import CLOCKS, PRECISIONS


def validate(config: DictConfig) -> None:
    """Refuse what cannot be measured, before anything is.

    Raises:
        ValueError: Naming key, value and what is allowed.
        FileNotFoundError: against= names no file.
    """
    choices = {
        "run": config.sizes,
        "precisions": PRECISIONS,
        "modes": ("train", "inference"),
        "growth": AXES,
    }
    others = config.models or config.growth or config.loading or config.stores
    may_be_empty = ("growth", "run") if others else ("growth",)
    for key, allowed in choices.items():
        unknown = [value for value in config[key] if value not in allowed]
        if unknown or not (config[key] or key in may_be_empty):
            raise ValueError(f"{key}={list(config[key])}: choose from {', '.join(allowed)}")
    largest = min(config.archives.rain.shape)
    if not all(0 < side <= largest for side in config.loading):
        raise ValueError(f"loading={list(config.loading)}: sides must be 1 to {largest} cells (archives.rain.shape)")
    _check_stores(list(config.stores), 2 * largest)
    _check_models(config)
    if config.rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {config.rounds}")
    if not config.compiled or not all(isinstance(value, bool) for value in config.compiled):
        raise ValueError(f"compiled must be [false], [true] or [false,true], got {config.compiled}")
    if config.clock not in CLOCKS or (config.clock == "cpu" and config.device != "cpu"):
        raise ValueError(f"clock must be wall, or on device=cpu also cpu; got clock={config.clock}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda, but torch sees no CUDA device; use device=cpu")
    if config.against is not None and not Path(config.against).expanduser().is_file():
        raise FileNotFoundError(f"against={config.against}: no such file; it must define build(net) -> torch.nn.Module")
    if any(config.compiled):
        require_compiler(config.device)


def _check_models(config: DictConfig) -> None:
    unknown = [name for name in config.models if not (CONFIGS / "model" / f"{name}.yaml").is_file()]
    if unknown:
        known = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
        raise ValueError(f"models={list(config.models)}: there is no {unknown[0]}; choose from {', '.join(known)}")
    for key in ("input_steps", "forecast_steps", "batch_size"):
        if config.of_models[key] < 1:
            raise ValueError(f"of_models.{key} must be at least 1, got {config.of_models[key]}")


def _check_stores(sides: list[int], largest: int) -> None:
    if not all(0 < side <= largest for side in sides):
        raise ValueError(f"stores={sides}: sides must be 1 to {largest} cells (twice archives.rain.shape)")
    if sides and importlib.util.find_spec("zarr") is None:
        raise ValueError(f"stores need the extra cloud; {how_to_install('cloud')}")


def require_compiler(device: str) -> None:
    """torch.compile needs a C++ compiler for CPUs.

    Raises:
        ValueError: There is none.
    """
    candidates = [os.environ.get("CXX"), "g++", "clang++"]
    if device == "cpu" and not any(shutil.which(name) for name in candidates if name):
        raise ValueError("compiled=[true] needs a C++ compiler: install g++, set CXX, or leave compiled=[false]")
