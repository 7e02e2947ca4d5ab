"""Pictures of a window: the observation and every model's forecast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nowcast.data.interface import DataModule
from nowcast.data.windows.sample import Sample
from nowcast.forecasting.forecast import FieldForecast
from nowcast.report.plots.colours import RainColours
from nowcast.report.plots.contents import Choice, contents_of
from nowcast.report.plots.digits import plot_brightness
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.verification.score_models import run_models


def draw(
    models: Mapping[str, nn.Module],
    data: DataModule,
    folder: Path,
    device: torch.device,
    choice: Choice,
    colour_blind_safe: bool,
) -> list[Path]:
    """Pictures of one test window: the observation and every model's forecast."""
    index = data.examples("test", 1)[0]
    if data.quantity == "rain_rate":
        case = make_case(models, data, index, device, choice, colour_blind_safe)
        return [plot_forecast(case, folder / "forecast.png"), animate_forecast(case, folder / "forecast.gif")]
    sample = data.dataset("test")[index]
    rows = {"input": sample["inputs"][:, 0].numpy(), "observed": sample["targets"][:, 0].numpy()}
    rows |= contents_of(_forecasts(models, sample, device), choice).rain
    return [plot_brightness(rows, "first test sequence", folder / "forecast.png")]


@torch.inference_mode()
def _forecasts(models: Mapping[str, nn.Module], sample: Sample, device: torch.device) -> dict[str, FieldForecast]:
    """Of every model, with B = 1."""
    batch: Any = {key: value[None] for key, value in dict[str, Any](sample).items()}
    return {name: forecast for name, (forecast, _) in run_models(models, batch, device).items()}


def make_case(
    models: Mapping[str, nn.Module],
    data: DataModule,
    index: int,
    device: torch.device,
    choice: Choice,
    colour_blind_safe: bool,
) -> Case:
    """A test window with every model's forecast."""
    sample = data.dataset("test")[index]
    return case_of_sample(
        _forecasts(models, sample, device), data, sample, choice=choice, colour_blind_safe=colour_blind_safe
    )


def case_of_sample(
    forecasts: Mapping[str, FieldForecast],
    data: DataModule,
    sample: Sample,
    *,
    choice: Choice,
    colour_blind_safe: bool,
) -> Case:
    """A window with forecasts (B = 1) of it."""
    contents = contents_of(forecasts, choice)
    series, init_time = data.series[int(sample["archive"])], np.datetime64(int(sample["init_time"]), "s")
    return Case(
        observed=sample["targets"][:, 0].numpy(),
        forecasts=contents.rain,
        probabilities=contents.probabilities,
        inputs=sample["inputs"][:, 0].numpy(),
        init_time=init_time,
        timestep_minutes=series.step_seconds / 60,
        cell_km=series.cell_km,
        title=f"{series.name}, forecast from {init_time} UTC",
        colours=RainColours(colour_blind_safe),
    )
