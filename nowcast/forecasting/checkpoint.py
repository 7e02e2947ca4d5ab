"""Checkpoints: written atomically, read without executing anything, enough to forecast with."""

import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from nowcast.config.build import build
from nowcast.config.command_line.arguments import checkpoint_path
from nowcast.config.mistakes import refuse_missing_checkpoint
from nowcast.config.moved import as_now, calibration_now
from nowcast.config.trusted import trusted
from nowcast.files import written_whole
from nowcast.forecasting.calibration.by_lead_time import Calibration
from nowcast.forecasting.network import NetworkForecaster, build_network
from nowcast.forecasting.weights_file import SUFFIX, read_weights


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        path: The file.
        forecaster: The network without calibration.
        calibration: The fitted calibration, None if there is none.
        config: The training config, plain types.
        data: Facts of the training data (fingerprints, time steps in seconds, cell size in km, input_steps).
        version: Version of nowcast that wrote it.
        validation: Scores on validation windows beside simple forecasts' (validation.py), None if there are none.
    """

    path: Path
    forecaster: NetworkForecaster
    calibration: Calibration | None
    config: dict[str, Any]
    data: dict[str, Any]
    version: str
    validation: dict[str, Any] | None

    def calibrated(self, decide: str | None = None) -> NetworkForecaster | None:
        """The same network with its calibration, for lead times of the fit (`at` for others); None if it has none.

        Args:
            decide: How probabilities become a field of rain: bias | csi | area | a ratio; None = as fitted.

        Raises:
            UsageError: The calibration holds no levels for that.
        """
        if self.calibration is None:
            return None
        return self.with_calibration(self.calibration if decide is None else self.calibration.decided_by(decide))

    def with_calibration(self, calibration: Calibration) -> NetworkForecaster:
        """The same network with a calibration."""
        one = self.forecaster
        return NetworkForecaster(one.net, one.scaling, one.head, calibration)


def read(path: Path) -> dict[str, Any]:
    """The raw content of a checkpoint, or of weights that were handed on, which hold no state of a training.

    Nothing in it is executed: PyTorch loads it with weights_only.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a checkpoint of this project.
    """
    refuse_missing_checkpoint(path)
    content = read_weights(path) if path.suffix == SUFFIX else _unpickled(path)
    content["nowcast"] = as_now(content["nowcast"])
    if "calibration" in content:
        content["calibration"] = calibration_now(content["calibration"], content["nowcast"])
    return content


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, … by kind of damage
        # PyTorch's own words go on to advise loading without the check
        why = str(error).splitlines()[0] if isinstance(error, RuntimeError) else "damaged, or another kind of file"
        raise ValueError(f"{path}: not a readable checkpoint ({why})") from error
    if not isinstance(content, dict) or "nowcast" not in content or "state_dict" not in content:
        raise ValueError(f"{path}: not written by nowcast (no 'nowcast' entry)")
    return content


def epochs_trained(content: dict[str, Any]) -> int:
    """How many epochs a checkpoint's weights have trained to their end; it may have been written inside another one."""
    loop = content["loops"]["fit_loop"]
    inside = content["epoch"] + bool(loop["epoch_loop.batch_progress"]["is_last_batch"])
    return int(max(inside, loop["epoch_progress"]["current"]["processed"]))  # trainer.max_time cuts an epoch short


def load(given: str | PathLike[str]) -> Checkpoint:
    """Rebuild network, scaling and calibration from a checkpoint alone.

    Args:
        given: The file, or "pretrained" (checkpoint_path).

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a checkpoint of this project, its weights do not fit its own config, or that names a class that
            is not this project's.
    """
    path = checkpoint_path(given)
    content = read(path)
    identity = content["nowcast"]
    config = trusted({part: identity["config"][part] for part in ("model", "scaling", "head")}, str(path))
    head, scaling = build(config.head), build(config.scaling)
    net = build_network(config.model, head)
    for part, prefix in ((net, "net."), (scaling, "scaling.")):
        state = {
            key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
        }
        try:
            part.load_state_dict(state, strict=True)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: weights do not fit the stored config: {error}") from error
    if hasattr(net, "cell_km"):
        net.cell_km = identity["data"].get("cell_km")
    calibration = None
    if "calibration" in content:
        stored = content["calibration"]
        calibration = build(trusted(stored["applied"], f"{path}: calibration"))
        calibration.load_state_dict(stored["state"], strict=True)
    forecaster = NetworkForecaster(net, scaling, head, None).eval()
    return Checkpoint(
        path,
        forecaster,
        calibration,
        identity["config"],
        identity["data"],
        identity["version"],
        content.get("validation"),  # checkpoints from before have none
    )


def add_calibration(path: Path, calibration: Calibration) -> None:
    """Store a fitted calibration in an existing checkpoint, replacing the file atomically."""
    content = read(path)
    content["calibration"] = {"applied": calibration.node(), "state": calibration.state_dict()}
    save(content, path)


def add_validation(path: Path, scores: dict[str, Any]) -> None:
    """Store scores on validation windows, plain values, in an existing checkpoint, replacing the file atomically."""
    content = read(path)
    content["validation"] = scores
    save(content, path)


def save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary name, flush it, then give it its name."""
    with written_whole(path) as partial, partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
