"""`nowcast predict`: a forecast from the newest frames, or from those that end at a time, written and drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from nowcast.config.build import build, plain
from nowcast.data.archive.limits import Limits, as_plain, limits_of
from nowcast.forecasting import checkpoint
from nowcast.forecasting.device import choose_device
from nowcast.forecasting.forecaster import Forecaster, of_checkpoint, of_model
from nowcast.forecasting.predict import open_input, predict
from nowcast.report.forecast import write
from nowcast.report.plots.contents import choice_of
from nowcast.verification.validation import with_worth


def predict_to_file(config: Mapping[str, Any], *, model: str, limits_typed: bool) -> list[Path]:
    """Forecast, say what is known of the forecaster's worth, and write; return what was written.

    Args:
        config: Of `nowcast predict`.
        model: What the model is called that stands in place of a checkpoint.
        limits_typed: Whether the user typed `limits`, which else are those of the training archives.

    Raises:
        ValueError: What is given does not forecast rain, or from that input.
    """
    device = choose_device(config["device"])
    forecaster = choose_forecaster(config, model)
    steps = forecaster.forecast_steps if config["forecast_steps"] is None else config["forecast_steps"]
    if steps is None:
        raise ValueError(f"forecast_steps= is missing: how many steps is {forecaster.name} to go, such as 12?")
    reader = None if config["source"] is None else build(config["source"])
    if reader is None or limits_typed or not forecaster.limits:
        limits = limits_of(config["limits"])
    else:
        limits = limits_of_training(forecaster)
    inputs = config["input"] if isinstance(config["input"], str) else plain(config["input"])
    init_time, output = config["init_time"], Path(config["output"]).expanduser()
    with open_input(inputs, reader, limits, forecaster, init_time) as source:
        result = predict(forecaster, source, init_time=init_time, forecast_steps=int(steps), device=device)
        written = write(
            result, forecaster, limits, output,
            plot=config["plot"], choice=choice_of(config["pictures"]), colour_blind_safe=config["colour_blind_safe"],
        )  # fmt: skip
    console = Console()
    for line in forecaster.worth:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in [*result.remarks, *warnings(forecaster)]:
        console.print(line, style="yellow", highlight=False, soft_wrap=True, markup=False)
    return written


def choose_forecaster(config: Mapping[str, Any], model: str) -> Forecaster:
    """The network of a checkpoint, or a model that needs none.

    Raises:
        ValueError: What is given does not forecast rain.
    """
    if config["checkpoint"] is None:
        return of_model(model, build(config["model"]), plain(config["model"]))
    loaded = checkpoint.load(Path(config["checkpoint"]).expanduser())
    return with_worth(of_checkpoint(loaded, calibrated=config["calibrated"]), loaded)


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
