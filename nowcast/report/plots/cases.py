"""Pictures of a window: the observation and every model's forecast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nowcast.data.interface import DataModule
from nowcast.data.windows.dataset import Sample
from nowcast.forecasting.forecast import Ensemble, FieldForecast
from nowcast.report.plots.colours import RainColours
from nowcast.report.plots.digits import plot_brightness
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.verification.score_models import run_models


def draw(
    models: Mapping[str, nn.Module],
    data: DataModule,
    folder: Path,
    device: torch.device,
    colour_blind_safe: bool,
) -> list[Path]:
    """Pictures of one test window: the observation and every model's forecast."""
    index = data.examples("test", 1)[0]
    if data.quantity == "rain_rate":
        case = make_case(models, data, index, device, colour_blind_safe)
        return [plot_forecast(case, folder / "forecast.png"), animate_forecast(case, folder / "forecast.gif")]
    sample = data.dataset("test")[index]
    rows = {"input": sample["inputs"][:, 0].numpy(), "observed": sample["targets"][:, 0].numpy()}
    rows |= _forecasts(models, sample, device)
    return [plot_brightness(rows, "first test sequence", folder / "forecast.png")]


@torch.inference_mode()
def _forecasts(models: Mapping[str, nn.Module], sample: Sample, device: torch.device) -> dict[str, NDArray[Any]]:
    """(T, H, W) of every model, of an ensemble its mean, which the name says then."""
    batch: Any = {key: value[None] for key, value in dict[str, Any](sample).items()}
    rows = {}
    for name, (forecast, _) in run_models(models, batch, device).items():
        rows[shown_name(name, forecast)] = forecast.single()[0, :, 0].cpu().numpy()
    return rows


def shown_name(name: str, forecast: FieldForecast) -> str:
    """A model's name, which says what is drawn where that is not all that the forecast holds."""
    if isinstance(forecast, Ensemble) and forecast.values.shape[1] > 1:
        return f"{name}, mean of {forecast.values.shape[1]}"
    return name


def make_case(
    models: Mapping[str, nn.Module], data: DataModule, index: int, device: torch.device, colour_blind_safe: bool
) -> Case:
    """A test window with every model's forecast."""
    sample = data.dataset("test")[index]
    return case_of_sample(_forecasts(models, sample, device), data, sample, colour_blind_safe=colour_blind_safe)


def case_of_sample(
    forecasts: Mapping[str, NDArray[Any]],
    data: DataModule,
    sample: Sample,
    *,
    colour_blind_safe: bool,
) -> Case:
    """A window with forecasts (T, H, W) mm h-1 of it."""
    series, init_time = data.series[int(sample["archive"])], np.datetime64(int(sample["init_time"]), "s")
    return Case(
        observed=sample["targets"][:, 0].numpy(),
        forecasts=forecasts,
        inputs=sample["inputs"][:, 0].numpy(),
        init_time=init_time,
        timestep_minutes=series.step_seconds / 60,
        cell_km=series.cell_km,
        title=f"{series.name}, forecast from {init_time} UTC",
        colours=RainColours(colour_blind_safe),
    )
