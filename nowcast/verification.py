"""Scores several forecasters on the same windows in one pass, and writes what came out."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from nowcast.calibration import CalibrationFit, FrequencyCalibration
from nowcast.checkpoint import NetworkForecaster
from nowcast.data.cells import cell_km
from nowcast.data.datamodule import RadarDataModule
from nowcast.data.dataset import RadarDataset, Sample
from nowcast.metrics import Contingency, ContinuousErrors
from nowcast.plotting import Case, animate_forecast, plot_forecast, plot_scores
from nowcast.tables import (
    SCORES,
    ModelScores,
    score_table,
    write_continuous_csv,
    write_scores_csv,
    write_scores_netcdf,
)

log = logging.getLogger(__name__)
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


def lead_minutes(data: RadarDataModule) -> tuple[float, ...]:
    """Lead times of the test windows in minutes.

    Raises:
        ValueError: Test archives differ in time step, so that a step has no lead time in common.
    """
    data.setup()
    steps = {step for step, starts in zip(data.steps, data.starts("test"), strict=True) if len(starts) > 0} or set(
        data.steps
    )
    if len(steps) > 1:
        raise ValueError(
            f"test archives have time steps of {sorted(step / 60 for step in steps)} min; a score by lead time "
            "needs one: evaluate them separately, or set data.timestep_minutes"
        )
    step = steps.pop()
    return tuple(step / 60 * (k + 1) for k in range(data.forecast_steps))


def choose_device(name: str) -> torch.device:
    """The torch device.

    Raises:
        ValueError: Unknown, or a CUDA device where there is none.
    """
    if name not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda, but torch sees no CUDA device; use device=cpu")
    return torch.device(name)


@torch.inference_mode()
def score_models(
    models: Mapping[str, nn.Module],
    loader: DataLoader[Sample],
    thresholds: Sequence[float],
    lead_times: Sequence[float],
    device: torch.device,
    track: Track,
) -> list[ModelScores]:
    """Run every model on every window once and sum the statistics; memory does not grow with the windows.

    Args:
        models: Name → module from rain rate (B, T_in, 1, H, W) mm h-1 and steps to a forecast in mm h-1.
        loader: The windows.
        thresholds: mm h-1.
        lead_times: Minutes.
        device: Where networks run.
        track: Progress bar.
    """
    steps = len(lead_times)
    counts = {name: Contingency(list(thresholds), steps).to(device) for name in models}
    errors = {name: ContinuousErrors(steps).to(device) for name in models}
    for model in models.values():
        model.to(device).eval()
    for batch in track(loader, "evaluating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        for name, model in models.items():
            forecast = model(inputs, steps)
            counts[name].update(forecast, targets, mask)
            errors[name].update(forecast, targets, mask)
    return [_summary(name, counts[name], errors[name], thresholds, lead_times) for name in models]


def _summary(
    name: str,
    contingency: Contingency,
    errors: ContinuousErrors,
    thresholds: Sequence[float],
    lead_times: Sequence[float],
) -> ModelScores:
    scores = {key: value.cpu().numpy() for key, value in contingency.compute().items()}
    continuous = {key: value.cpu().numpy() for key, value in errors.compute().items()}
    missing = contingency.missing_forecasts.cpu().numpy()
    if missing.any():
        log.warning(
            "%s: %d forecast values were missing over valid observations and count as no rain",
            name,
            missing.sum(),
        )
    return ModelScores(
        name,
        tuple(thresholds),
        tuple(lead_times),
        contingency.counts.cpu().numpy(),
        {key: scores[key] for key in SCORES},
        continuous,
        missing,
    )


@torch.inference_mode()
def fit_calibration(
    forecaster: NetworkForecaster,
    loader: DataLoader[Sample],
    forecast_steps: int,
    levels: int,
    device: torch.device,
    track: Track,
) -> FrequencyCalibration:
    """Fit the frequency calibration of a network on validation windows."""
    fit = CalibrationFit(forecast_steps, levels).to(device)
    forecaster.to(device).eval()
    for batch in track(loader, "calibrating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        grey = forecaster.grey(inputs, forecast_steps)
        fit.update(grey, forecaster.scaling.to_grey(targets), mask)
    return fit.fit().cpu()


def report(scores: Sequence[ModelScores], folder: Path, console: Console) -> list[Path]:
    """Print the tables and write scores.csv, errors.csv, scores.nc and the picture of CSI by lead time."""
    folder.mkdir(parents=True, exist_ok=True)
    console.print(score_table(scores, "csi", "highest"))
    console.print(score_table(scores, "bias", "nearest one"))
    written = [folder / "scores.csv", folder / "errors.csv", folder / "scores.nc"]
    write_scores_csv(written[0], scores)
    write_continuous_csv(written[1], scores)
    write_scores_netcdf(written[2], scores)
    written.append(plot_scores(scores, "csi", folder / "csi.png"))
    return written


@torch.inference_mode()
def picture(
    models: Mapping[str, nn.Module],
    data: RadarDataModule,
    folder: Path,
    device: torch.device,
    colour_blind_safe: bool,
) -> list[Path]:
    """PNG and GIF of the rainiest test window: the observation and every model's forecast."""
    dataset = data.dataset("test")
    index = int(np.argmax(dataset.rain_fraction))
    sample = dataset[index]
    step, cell = _geometry(data, dataset, index)
    forecasts = {
        name: model(sample["inputs"][None].to(device), data.forecast_steps)[0, :, 0].cpu().numpy()
        for name, model in models.items()
    }
    init_time = np.datetime64(int(sample["init_time"]), "s")
    archive = dataset.regions[int(sample["archive"])].archive
    case = Case(
        observed=sample["targets"][:, 0].numpy(),
        forecasts=forecasts,
        inputs=sample["inputs"][:, 0].numpy(),
        init_time=init_time,
        timestep_minutes=step,
        cell_km=cell,
        title=f"{archive.name}, forecast from {init_time} UTC",
        colour_blind_safe=colour_blind_safe,
    )
    return [plot_forecast(case, folder / "forecast.png"), animate_forecast(case, folder / "forecast.gif")]


def _geometry(data: RadarDataModule, dataset: RadarDataset, index: int) -> tuple[float, float]:
    which = int(dataset.samples[index, 0])
    region = dataset.regions[which]
    return data.steps[which] / 60, cell_km(region.archive.grid)[0] * region.factor[0]
