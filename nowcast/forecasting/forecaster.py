"""What makes a forecast: the network of a checkpoint or a model without one, and what is to be said of either."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import nn

from nowcast.config.build import build, kind_of
from nowcast.config.command_line.arguments import NATIVE, NETWORK
from nowcast.config.mistakes import UsageError
from nowcast.data.archive.limits import Limits, limits_of
from nowcast.forecasting.checkpoint import Checkpoint
from nowcast.forecasting.named_models import model_name


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A model with what it takes and who it is.

    Args:
        name: Its name, with "_calibrated" where a calibration is applied.
        model: Rain rates (B, T_in, 1, H, W) and a number of steps → rain rates (B, T_out, 1, H, W), mm h-1.
        input_steps: Frames that it takes.
        timesteps: Time steps in seconds that it knows; empty = any.
        any_step: Shortest and longest time step in seconds of those that it forecasts from though it was not trained on
            them; None = it knows no others.
        cell_km: Cells that it knows; None = any.
        forecast_steps: Frames that it was trained, calibrated and scored on; None = it was not trained.
        identity: Attributes of a forecast file that say which model made it; empty ones are left out.
        worth: What is known of its scores, a line each.
        beaten_by: Simple forecasts that were better on its validation windows.
        limits: Physical ranges that its training archives were prepared with, as far as they say.
        masked: Whether cells of its training archives were no data by a mask.
        native_cells: It forecasts in the cells of its input, where these are finer than those that it knows.
    """

    name: str
    model: nn.Module
    input_steps: int
    timesteps: Sequence[int]
    cell_km: float | None
    forecast_steps: int | None
    identity: Mapping[str, str]
    worth: Sequence[str] = ()
    beaten_by: Sequence[str] = ()
    limits: Sequence[Limits] = field(default=())
    any_step: tuple[float, float] | None = None
    native_cells: bool = False
    masked: bool = False

    def takes_step(self, step_seconds: int) -> bool:
        """Whether it forecasts from frames so far apart, be it trained on them or not."""
        if self.any_step is None:
            return not self.timesteps or step_seconds in self.timesteps
        return step_seconds in self.timesteps or self.any_step[0] <= step_seconds <= self.any_step[1]

    def step_for(self, given: str, native: int) -> int:
        """The time step in seconds of a forecast from frames that come every `native` seconds.

        Of the frames some are left out where it was trained on a multiple of their step alone.

        Args:
            given: What the user calls the frames.
            native: Their time step.

        Raises:
            ValueError: It knows none that is a multiple.
        """
        fitting = [step for step in self.timesteps or [native] if step % native == 0]
        if native in fitting or (not fitting and self.takes_step(native)):
            return native
        if not fitting:
            known = self._trained_steps()
            known += "" if self.any_step is None else ", and takes {:g} to {:g} min".format(*_minutes(self.any_step))
            raise ValueError(f"{given}: time step {native / 60:g} min; this checkpoint was trained on {known}")
        return fitting[0]

    def of_step(self, step_seconds: int) -> str:
        """What is to be said of the time step of a forecast; "" if it was trained."""
        if not self.timesteps or step_seconds in self.timesteps:
            return ""
        return (
            f"frames every {step_seconds / 60:g} min were not in the training of {self.name}, which saw "
            f"{self._trained_steps()}: it is told the step, but not scored on it"
        )

    def _trained_steps(self) -> str:
        return f"{', '.join(f'{minutes:g}' for minutes in _minutes(self.timesteps))} min"

    def _trained_until(self, step_seconds: int) -> int:
        """Steps of a forecast whose lead times were trained; one that is told the step knows them in minutes."""
        steps = self.forecast_steps or 0
        return steps if self.any_step is None else steps * max(self.timesteps) // step_seconds

    def beyond(self, steps: int, step_seconds: int) -> str:
        """What is to be said of the steps of a forecast that were not trained; "" if all were."""
        if self.forecast_steps is None or steps <= (trained := self._trained_until(step_seconds)):
            return ""
        calibrated = " and calibrated as the last one that was" if self.name.endswith("_calibrated") else ""
        last = trained * step_seconds / 60
        return (
            f"lead times beyond {last:g} min (steps {trained + 1} to {steps}) were never trained nor "
            f"scored{calibrated}: {self.name} was trained on {self.forecast_steps} steps"
        )


def _minutes(seconds: Sequence[float]) -> list[float]:
    return [step / 60 for step in seconds]


def _any_step(net: nn.Module, trained: Sequence[int]) -> tuple[float, float] | None:
    """Seconds: what a network that is told the step can make of others, if training showed it what a step is."""
    reach = getattr(net, "step_minutes", None)
    return None if reach is None or len(trained) < 2 else (reach[0] * 60, reach[1] * 60)


def in_native_cells(loaded: Checkpoint, cells: str | None) -> bool:
    """Whether a network forecasts in the cells of its input: null where it can, cells=native|network as it says.

    Raises:
        UsageError: It is to, and cannot.
    """
    can = hasattr(loaded.forecaster.net, "cell_km")
    if cells == NATIVE and not can:
        raise UsageError(
            f"cells={NATIVE}: {type(loaded.forecaster.net).__name__} forecasts in the cells that it was trained on, "
            f"{loaded.data['cell_km']:.3g} km, and in no finer ones: leave cells= out, and they are averaged to these"
        )
    return can and cells != NETWORK


def of_checkpoint(
    loaded: Checkpoint, *, calibrated: bool, decide: str | None = None, cells: str | None = None
) -> Forecaster:
    """The network of a checkpoint.

    Args:
        loaded: The checkpoint.
        calibrated: With its calibration.
        decide: By which of its decisions (Checkpoint.calibrated); None = as fitted.
        cells: Which it forecasts in (in_native_cells).

    Raises:
        ValueError: It was trained on something else than radar archives, is to be calibrated and cannot, or is to
            forecast in cells that it cannot.
    """
    if missing := [key for key in ("timesteps_seconds", "cell_km", "input_steps") if key not in loaded.data]:
        raise ValueError(
            f"{loaded.path} was trained on {loaded.config.get('data', {}).get('_target_', 'data')}, which says nothing "
            f"of {' and '.join(missing)}: it forecasts no radar frames. Give a checkpoint trained on radar archives "
            "(data=radar); nowcast evaluate scores this one"
        )
    model = loaded.calibrated(decide) if calibrated else loaded.forecaster
    if model is None:
        raise ValueError(f"{loaded.path} holds no calibration; use calibrated=false")
    name = model_name(loaded.config)
    name = f"{name}_calibrated" if calibrated else name
    return Forecaster(
        name,
        model,
        int(loaded.data["input_steps"]),
        [int(step) for step in loaded.data["timesteps_seconds"]],
        float(loaded.data["cell_km"]),
        int(loaded.data["forecast_steps"]),
        {
            "model": str(loaded.config["model"]["_target_"]),
            "references": getattr(loaded.forecaster.net, "reference", ""),
            "checkpoint": loaded.path.name,
            "checkpoint_sha256": hashlib.sha256(loaded.path.read_bytes()).hexdigest(),
            "training_data": ", ".join(
                f"{archive} {fingerprint[:12]}" for archive, fingerprint in loaded.data.get("archives", {}).items()
            ),
        },
        limits=[limits_of(one) for one in loaded.data.get("limits", [])],
        any_step=_any_step(loaded.forecaster.net, loaded.data["timesteps_seconds"]),
        native_cells=in_native_cells(loaded, cells),
        masked=bool(loaded.data.get("masks")),
    )


def untrained(name: str, node: Any) -> nn.Module:  # noqa: ANN401 (a config node)
    """The model of a config node, which is to forecast without a checkpoint.

    Raises:
        UsageError: It is a network, which has to be trained.
    """
    _refuse_network(name, kind_of(node), unsaid=False)  # before it is built: a head says what a network is built with
    model = build(node)
    _refuse_network(name, model, unsaid=True)
    return cast(nn.Module, model)


def _refuse_network(name: str, model: object, *, unsaid: bool) -> None:
    if getattr(model, "needs_training", unsaid):
        raise UsageError(
            f"model={name} is a network, which has to be trained: nowcast train model={name}, and then in place of "
            "model= checkpoint=<run>/checkpoints/best.ckpt"
        )


def of_model(name: str, model: nn.Module, settings: Mapping[str, Any]) -> Forecaster:
    """A model that needs no training.

    Raises:
        ValueError: It does not say how many frames it takes.
    """
    frames = getattr(model, "input_steps", None)
    if not isinstance(frames, int):
        raise ValueError(f"model={name} does not say how many frames it takes: {type(model).__name__}.input_steps")
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    identity = {
        "model": str(settings["_target_"]),
        "model_settings": json.dumps(arguments),
        "references": getattr(model, "reference", ""),
    }
    return Forecaster(name, model.eval(), frames, (), None, None, identity)
