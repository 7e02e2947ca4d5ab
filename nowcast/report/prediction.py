"""`nowcast predict`: a forecast from the newest frames, or from those that end at a time, written and drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console

from nowcast.config.build import build, plain
from nowcast.config.command_line.arguments import decision_of
from nowcast.data.archive.frame import Reader
from nowcast.data.archive.limits import Limits, as_plain, limits_of
from nowcast.data.masks.given import use_masks
from nowcast.forecasting import checkpoint
from nowcast.forecasting.device import choose_device
from nowcast.forecasting.forecaster import Forecaster, of_checkpoint, of_model, untrained
from nowcast.forecasting.predict import Input, Prediction, open_input, predict
from nowcast.progress import track
from nowcast.report.forecast import write
from nowcast.verification.worth import with_worth

Draw = Callable[[Prediction, str, Path], list[Path]]  # forecast, the model's name and the file → what was drawn


def predict_to_file(config: Mapping[str, Any], *, model: str, limits_typed: bool, draw: Draw | None) -> list[Path]:
    """Forecast, say what is known of the forecaster's worth, and write; return what was written.

    Args:
        config: Of `nowcast predict`.
        model: What the model is called that stands in place of a checkpoint.
        limits_typed: Whether the user typed `limits`, which else are those of the training archives.
        draw: Draws a forecast beside its file; None = it is not drawn.

    Raises:
        ValueError: What is given does not forecast rain, or from that input.
    """
    work = Work.of(config, model=model, limits_typed=limits_typed)
    inputs = config["input"] if isinstance(config["input"], str) else plain(config["input"])
    init_time, output = config["init_time"], Path(config["output"]).expanduser()
    with open_input(inputs, work.reader, work.limits, work.forecaster, init_time, track) as source:
        result = work.predict(source, init_time)
        write(result, work.forecaster, work.limits, output)
        written = [output] if draw is None else [output, *draw(result, work.forecaster.name, output)]
    say(work.forecaster, result.remarks)
    return written


@dataclass(frozen=True, eq=False)
class Work:
    """All that a forecast needs beside its input, loaded once.

    Args:
        forecaster: What forecasts.
        steps: How many steps.
        reader: Format of provider files; None for an archive.
        limits: Physical range of their values.
        device: Where it runs.
        mask: Files of cells that are no data in the input; None = none.
    """

    forecaster: Forecaster
    steps: int
    reader: Reader | None
    limits: Limits
    device: torch.device
    mask: str | Sequence[str] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], *, model: str, limits_typed: bool) -> Self:
        """As the config of `nowcast predict` says; see `predict_to_file`."""
        device = choose_device(config["device"])
        forecaster = choose_forecaster(config, model)
        steps = forecaster.forecast_steps if config["forecast_steps"] is None else config["forecast_steps"]
        if steps is None:
            raise ValueError(f"forecast_steps= is missing: how many steps is {forecaster.name} to go, such as 12?")
        mask = config["mask"] if config["mask"] is None or isinstance(config["mask"], str) else plain(config["mask"])
        reader = None if config["source"] is None else build(config["source"])
        if reader is None or limits_typed or not forecaster.limits:
            limits = limits_of(config["limits"])
        else:
            limits = limits_of_training(forecaster)
        return cls(forecaster, int(steps), reader, limits, device, mask)

    def predict(self, source: Input, init_time: str | None) -> Prediction:
        """Forecast from an input."""
        use_masks([source.archive], self.mask, "mask")
        return predict(self.forecaster, source, init_time=init_time, forecast_steps=self.steps, device=self.device)


def say(forecaster: Forecaster, remarks: Sequence[str]) -> None:
    """Print what is known of a forecaster's worth, and what is to be said of a forecast."""
    console = Console()
    for line in forecaster.worth:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in [*remarks, *warnings(forecaster)]:
        console.print(line, style="yellow", highlight=False, soft_wrap=True, markup=False)


def choose_forecaster(config: Mapping[str, Any], model: str) -> Forecaster:
    """The network of a checkpoint, or a model that needs none.

    Raises:
        ValueError: What is given does not forecast rain.
    """
    if config["checkpoint"] is None:
        return of_model(model, untrained(model, config["model"]), plain(config["model"]))
    loaded = checkpoint.load(config["checkpoint"])
    decide = decision_of(config["decide"])
    forecaster = with_worth(
        of_checkpoint(loaded, calibrated=config["calibrated"], decide=decide, cells=config["cells"]), loaded
    )
    if decide is None or not forecaster.worth:
        return forecaster
    other = f"these scores are of rain rates by the decision of the training, and the forecast is by decide={decide}"
    return replace(forecaster, worth=[*forecaster.worth, other])


def limits_of_training(forecaster: Forecaster) -> Limits:
    """The physical range of provider files as the training archives had it.

    Raises:
        ValueError: They had different ones.
    """
    if len(forecaster.limits) > 1:
        found = " and ".join(str(as_plain(limits)) for limits in forecaster.limits)
        raise ValueError(
            f"the archives that this network was trained on were prepared with different limits, {found}; choose by "
            "limits.rain_rate=[<lowest>,<highest>] and the like"
        )
    return forecaster.limits[0]


def warnings(forecaster: Forecaster) -> list[str]:
    """What the user should know before using the forecast."""
    if not forecaster.beaten_by:
        return []
    return [
        f"{' and '.join(forecaster.beaten_by)} did better than {forecaster.name} on its validation windows: "
        f"model={forecaster.beaten_by[-1]} in place of checkpoint= forecasts with that "
        f"(forecast_steps={forecaster.forecast_steps})"
    ]
