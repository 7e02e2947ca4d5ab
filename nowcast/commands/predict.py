"""`nowcast predict checkpoint=<file>|model=<name> input=<archive or provider files> output=<nowcast.nc>`."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.command_line.arguments import moment, one_archive, refuse_no_steps
from nowcast.config.mistakes import UsageError, as_typed, refuse_missing_checkpoint
from nowcast.config.program import given_on_command_line, program

if TYPE_CHECKING:
    from nowcast.data.archive.limits import Limits
    from nowcast.forecasting.forecaster import Forecaster


@program("predict")
def main(config: DictConfig) -> None:
    """Forecast from the newest complete frames, or from those that end at init_time."""
    output = Path(config.output).expanduser()
    if output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    if (config.checkpoint is None) == (config.model is None):
        found = "neither" if config.model is None else "both"
        raise UsageError(f"give either checkpoint=<file> or model=persistence|extrapolation|…, got {found}")
    if config.checkpoint is not None:
        refuse_missing_checkpoint(Path(config.checkpoint).expanduser())
    with as_typed():
        refuse_what_was_typed(config)
    from rich.console import Console

    from nowcast.forecasting.device import choose_device
    from nowcast.forecasting.predict import open_input, predict
    from nowcast.report.forecast import write

    device = choose_device(config.device)
    forecaster = choose_forecaster(config)
    steps = forecaster.forecast_steps if config.forecast_steps is None else config.forecast_steps
    if steps is None:
        raise ValueError(f"forecast_steps= is missing: how many steps is {forecaster.name} to go, such as 12?")
    reader = None if config.source is None else build(config.source)
    limits = choose_limits(config, forecaster)
    inputs = config.input if isinstance(config.input, str) else plain(config.input)
    with open_input(inputs, reader, limits, forecaster, config.init_time) as source:
        result = predict(forecaster, source, init_time=config.init_time, forecast_steps=int(steps), device=device)
        written = write(
            result, forecaster, limits, output, plot=config.plot, colour_blind_safe=config.colour_blind_safe
        )
    console = Console()
    for line in forecaster.worth:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in [*result.remarks, *warnings(forecaster)]:
        console.print(line, style="yellow", highlight=False, soft_wrap=True, markup=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def refuse_what_was_typed(config: DictConfig) -> None:
    """Refuse what needs no file to be read.

    Raises:
        ValueError: init_time is no time, there is no forecast step, or there are several files or a folder without
            source=.
        FileNotFoundError: There is no such archive.
    """
    if config.init_time is not None:
        moment(config.init_time)
    if config.forecast_steps is not None:
        refuse_no_steps(config.forecast_steps)
    if config.source is None:
        one_archive(config.input)


def choose_forecaster(config: DictConfig) -> "Forecaster":
    """The network of a checkpoint, or a model that needs none.

    Raises:
        ValueError: What is given does not forecast rain.
    """
    from hydra.core.hydra_config import HydraConfig

    from nowcast.forecasting import checkpoint
    from nowcast.forecasting.forecaster import of_checkpoint, of_model
    from nowcast.verification.validation import with_worth

    if config.checkpoint is not None:
        loaded = checkpoint.load(Path(config.checkpoint).expanduser())
        return with_worth(of_checkpoint(loaded, calibrated=config.calibrated), loaded)
    return of_model(HydraConfig.get().runtime.choices["model"], build(config.model), plain(config.model))


def choose_limits(config: DictConfig, forecaster: "Forecaster") -> "Limits":
    """The physical range of provider files: as typed, else as the training archives had it, else as prepare has it.

    Raises:
        ValueError: There are provider files, and the training archives had different ones.
    """
    from nowcast.data.archive.limits import as_plain, limits_of

    if config.source is None or given_on_command_line("limits") or not forecaster.limits:
        return limits_of(config.limits)
    if len(forecaster.limits) > 1:
        found = " and ".join(str(as_plain(limits)) for limits in forecaster.limits)
        raise ValueError(
            f"the archives that this network was trained on were prepared with different limits, {found}; choose by "
            "limits.rain_rate=[<lowest>,<highest>] and the like"
        )
    return forecaster.limits[0]


def warnings(forecaster: "Forecaster") -> list[str]:
    """What the user should know before using the forecast."""
    if not forecaster.beaten_by:
        return []
    return [
        f"{' and '.join(forecaster.beaten_by)} did better than {forecaster.name} on its validation windows: "
        f"model={forecaster.beaten_by[-1]} in place of checkpoint= forecasts with that "
        f"(forecast_steps={forecaster.forecast_steps})"
    ]


if __name__ == "__main__":
    main()
