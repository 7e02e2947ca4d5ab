"""What is scored, by name: networks as they are and calibrated, baselines, and forecasts from files."""

import hashlib
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig
from torch import nn

from nowcast.data.interface import DataModule
from nowcast.forecasting import checkpoint
from nowcast.forecasting.checkpoint import Checkpoint
from nowcast.forecasting.external import FileForecasts
from nowcast.forecasting.forecast import says_of
from nowcast.forecasting.named_models import RESERVED, as_typed, free_name, joined, model_name, renamed
from nowcast.forecasting.network import last_threshold

Models = dict[str, nn.Module]


def load_checkpoints(given: str | ListConfig | DictConfig) -> dict[str, Checkpoint]:
    """Name → checkpoint of a file, of a list of files, or of a mapping.

    Raises:
        ValueError: They cannot see the same windows.
    """
    if isinstance(given, DictConfig):
        loaded = {str(name): checkpoint.load(path) for name, path in given.items()}
    elif isinstance(given, ListConfig):
        loaded = {}
        for path in given:
            one = checkpoint.load(path)
            loaded[free_name(one.config.get("name", "network"), loaded)] = one
    else:
        one = checkpoint.load(given)
        loaded = {model_name(one.config): one}
    first = next(iter(loaded.values()))
    for one in loaded.values():
        for key in ("input_steps", "timesteps_seconds", "cell_km"):
            if one.data.get(key) != first.data.get(key):
                raise ValueError(
                    f"{one.path} was trained with {key}={one.data.get(key)}, {first.path} with {first.data.get(key)}: "
                    "they do not see the same windows; evaluate them one by one"
                )
    return loaded


def networks(loaded: Mapping[str, Checkpoint], decide: str | None) -> Models:
    """Each network as it is and, where it has a calibration, calibrated and decided by `decide` (None = as fitted).

    Raises:
        ValueError: One is called as another one calibrated, or has no levels for that decision.
    """
    models: Models = {}
    for name, one in loaded.items():
        calibrated = one.calibrated(decide)
        versions: Models = {name: one.forecaster}
        if calibrated is not None:
            versions[f"{name}_calibrated"] = calibrated
        files = {known: str(other.path) for known, other in loaded.items()}
        way = f"Type {as_typed('checkpoint', renamed(files, name, models))}"
        models = joined(models, versions, f"the checkpoint {one.path}", way)
    return models


def with_baselines(models: Models, baselines: Models, loaded: Mapping[str, Checkpoint]) -> Models:
    """Networks and baselines.

    Raises:
        ValueError: A network is called as a baseline.
    """
    files = {name: str(one.path) for name, one in loaded.items()}
    for name in [name for name in files if {name, f"{name}_calibrated"} & baselines.keys()]:
        files = renamed(files, name, {**models, **baselines})
    return joined(models, baselines, "a baseline (baselines.<name>)", f"Type {as_typed('checkpoint', files)}")


def with_forecasts(models: Models, systems: Mapping[str, FileForecasts], files: Mapping[str, Any]) -> Models:
    """Models and forecasts from files, which are as the user typed them.

    Raises:
        ValueError: A system is called as a model.
    """
    for name in [name for name in systems if name in models or name in RESERVED]:
        files = renamed(files, name, models)
    return joined(models, systems, "a system of forecasts=", f"Type {as_typed('forecasts', files)}")


def file_forecasts(given: Mapping[str, str | list[str]], data: DataModule) -> dict[str, FileForecasts]:
    """Forecasts of other systems by name.

    Raises:
        ValueError: The data is no rain.
    """
    if given and data.quantity != "rain_rate":
        raise ValueError(f"forecasts= are of rain, and the data is {data.quantity}; choose data=radar")
    files = {str(name): [one] if isinstance(one, str) else list(one) for name, one in given.items()}
    return {name: FileForecasts(patterns, data) for name, patterns in files.items()}


def refuse_other_quantity(models: Models, data: DataModule) -> None:
    """Refuse to score networks of pictures on rain, or those of rain on pictures.

    Raises:
        ValueError: Naming the network.
    """
    for name, model in models.items():
        known = getattr(getattr(model, "scaling", None), "quantity", data.quantity)
        if known != data.quantity:
            raise ValueError(
                f"{name} was trained on {known} (scaling of its config), and the data is {data.quantity}; leave data= "
                "to the checkpoint, or choose data like that of its training"
            )


def checkpoint_facts(loaded: Mapping[str, Checkpoint]) -> dict[str, dict[str, Any]]:
    """Where each checkpoint comes from, in plain types."""
    return {
        name: {
            "file": str(one.path),
            "sha256": hashlib.sha256(one.path.read_bytes()).hexdigest(),
            "run": one.config.get("name"),
            "nowcast": one.version,
            "training_data": one.data.get("archives", {}),
            "training_split": one.data.get("split"),
            "forecast_steps": one.data.get("forecast_steps"),
        }
        for name, one in loaded.items()
    }


def beyond_training(checkpoints: Mapping[str, Mapping[str, Any]], forecast_steps: int) -> list[str]:
    """What is to be said of networks that are scored on more steps than they were trained on."""
    return [
        f"{name} was trained on {facts['forecast_steps']} steps: its later ones of {forecast_steps} were never trained"
        for name, facts in checkpoints.items()
        if facts["forecast_steps"] is not None and facts["forecast_steps"] < forecast_steps
    ]


def beyond_thresholds(models: Mapping[str, nn.Module], thresholds: list[float]) -> list[str]:
    """What is to be said of models that say nothing of a threshold that is scored: they have no score there."""
    last = {name: last_threshold(model) for name, model in models.items()}
    unknown = {name: [one for one in thresholds if most and not says_of([most], one)] for name, most in last.items()}
    return [
        f"{name} says nothing of more than {last[name]:g} mm/h, and has no score at "
        f"{', '.join(f'{one:g}' for one in beyond)} mm/h (verification.thresholds={_listed(thresholds)}; without: "
        f"verification.thresholds={_listed([one for one in thresholds if one not in beyond])})"
        for name, beyond in unknown.items()
        if beyond
    ]


def _listed(thresholds: list[float]) -> str:
    return f"[{','.join(f'{one:g}' for one in thresholds)}]"
