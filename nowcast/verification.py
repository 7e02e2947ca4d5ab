"""Scores several forecasters on the same windows in one pass, and writes what came out."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from nowcast.calibration import CalibrationFit, FrequencyCalibration
from nowcast.checkpoint import NetworkForecaster
from nowcast.data.cells import cell_km
from nowcast.data.datamodule import RadarDataModule
from nowcast.data.dataset import RadarDataset, Sample
from nowcast.data.interface import DataModule
from nowcast.digits_plot import plot_brightness
from nowcast.metrics import Contingency, ContinuousErrors, LeadTimeScores
from nowcast.plotting import Case, animate_forecast, plot_forecast, plot_scores
from nowcast.tables import (
    SCORES,
    ModelScores,
    score_table,
    write_continuous_csv,
    write_scores_csv,
    write_scores_netcdf,
)
from nowcast.variants import VariantScores, variant_table, write_variant_csv

log = logging.getLogger(__name__)
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Counting:
    """What to score, and over which lead times.

    Args:
        thresholds: Rain rates in mm h-1 for the pooled scores; empty where the data is no rain.
        variants: Name → what makes a metric from lead_times=T.
        lead_times: T lead times.
        lead_unit: Theirs: "minutes" or "frames".
    """

    thresholds: list[float]
    variants: Mapping[str, Callable[..., LeadTimeScores]]
    lead_times: tuple[float, ...]
    lead_unit: str


@dataclass(frozen=True)
class Scores:
    """What came out: pooled scores by model, and every variant's scores by model."""

    pooled: list[ModelScores]
    variants: list[VariantScores]


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
    counting: Counting,
    device: torch.device,
    track: Track,
) -> Scores:
    """Run every model on every window once and sum the statistics; memory does not grow with the windows.

    Args:
        models: Name → module from physical values (B, T_in, 1, H, W) and steps to a forecast of the same kind.
        loader: The windows.
        counting: What to score.
        device: Where networks run.
        track: Progress bar.
    """
    steps = len(counting.lead_times)
    pooled = {name: _pooled(counting, device) for name in models}
    variants = {
        name: {variant: make(lead_times=steps).to(device) for variant, make in counting.variants.items()}
        for name in models
    }
    for model in models.values():
        model.to(device).eval()
    for batch in track(loader, "evaluating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        for name, model in models.items():
            logits = model.logits(inputs, steps) if isinstance(model, NetworkForecaster) else None
            forecast = model(inputs, steps) if logits is None else model.from_logits(logits)  # type: ignore[operator]
            for metric in pooled[name]:
                metric.update(forecast, targets, mask)
            for variant in variants[name].values():
                variant.update(forecast, targets, mask, None if _calibrated(model) else logits)
    return Scores(
        [
            _summary(name, *metrics, counting.thresholds, counting.lead_times)
            for name, metrics in pooled.items()
            if metrics
        ],
        [_variant(name, variant, metric, counting) for name in models for variant, metric in variants[name].items()],
    )


def _pooled(counting: Counting, device: torch.device) -> tuple[Contingency, ContinuousErrors] | tuple[()]:
    if not counting.thresholds:
        return ()
    steps = len(counting.lead_times)
    return Contingency(counting.thresholds, steps).to(device), ContinuousErrors(steps).to(device)


def _calibrated(model: nn.Module) -> bool:
    return isinstance(model, NetworkForecaster) and model.calibration is not None


def _variant(name: str, variant: str, metric: LeadTimeScores, counting: Counting) -> VariantScores:
    by_lead_time = {score: values.cpu().numpy().reshape(-1) for score, values in metric.compute().items()}
    return VariantScores(
        variant, name, tuple(counting.lead_times), counting.lead_unit, by_lead_time, metric.overall(), metric.best
    )


def _summary(
    name: str,
    contingency: Contingency,
    errors: ContinuousErrors,
    thresholds: Sequence[float],
    lead_times: Sequence[float],
) -> ModelScores:
    # torchmetrics hands out a single value without its axes.
    shape = (len(thresholds), len(lead_times))
    scores = {key: value.cpu().numpy().reshape(shape) for key, value in contingency.compute().items()}
    continuous = {key: value.cpu().numpy().reshape(shape[1]) for key, value in errors.compute().items()}
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


def report(scores: Scores, folder: Path, console: Console) -> list[Path]:
    """Print the tables and write them.

    Pooled scores go to scores.csv, errors.csv, scores.nc and csi.png, each variant to <variant>.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if scores.pooled:
        console.print(score_table(scores.pooled, "csi", "highest"))
        console.print(score_table(scores.pooled, "bias", "nearest one"))
        written = [folder / "scores.csv", folder / "errors.csv", folder / "scores.nc"]
        write_scores_csv(written[0], scores.pooled)
        write_continuous_csv(written[1], scores.pooled)
        write_scores_netcdf(written[2], scores.pooled)
        written.append(plot_scores(scores.pooled, "csi", folder / "csi.png"))
    for variant in dict.fromkeys(score.variant for score in scores.variants):
        models = [score for score in scores.variants if score.variant == variant]
        console.print(variant_table(models))
        written.append(folder / f"{variant}.csv")
        write_variant_csv(written[-1], models)
    return written


def draw(
    models: Mapping[str, nn.Module],
    data: DataModule,
    folder: Path,
    device: torch.device,
    colour_blind_safe: bool,
) -> list[Path]:
    """Pictures of one test window: the observation and every model's forecast."""
    if isinstance(data, RadarDataModule):
        index = rainiest(data.dataset("test"), 1)[0]
        case = make_case(models, data, index, device, colour_blind_safe)
        return [plot_forecast(case, folder / "forecast.png"), animate_forecast(case, folder / "forecast.gif")]
    sample = data.dataset("test")[0]
    rows = {"input": sample["inputs"][:, 0].numpy(), "observed": sample["targets"][:, 0].numpy()}
    rows |= _forecasts(models, sample, device)
    return [plot_brightness(rows, "first test sequence", folder / "forecast.png")]


@torch.inference_mode()
def _forecasts(models: Mapping[str, nn.Module], sample: Sample, device: torch.device) -> dict[str, NDArray[Any]]:
    inputs, steps = sample["inputs"][None].to(device), len(sample["targets"])
    return {name: model(inputs, steps)[0, :, 0].cpu().numpy() for name, model in models.items()}


def rainiest(dataset: RadarDataset, count: int) -> list[int]:
    """Indices of the windows with the largest share of rainy cells, at most one of each archive."""
    chosen: dict[int, int] = {}
    for index in np.argsort(-dataset.rain_fraction, kind="stable").tolist():
        chosen.setdefault(int(dataset.samples[index, 0]), index)
    return list(chosen.values())[:count]


def make_case(
    models: Mapping[str, nn.Module], data: RadarDataModule, index: int, device: torch.device, colour_blind_safe: bool
) -> Case:
    """A test window with every model's forecast."""
    dataset = data.dataset("test")
    sample = dataset[index]
    step, cell = _geometry(data, dataset, index)
    init_time = np.datetime64(int(sample["init_time"]), "s")
    archive = dataset.regions[int(sample["archive"])].archive
    return Case(
        observed=sample["targets"][:, 0].numpy(),
        forecasts=_forecasts(models, sample, device),
        inputs=sample["inputs"][:, 0].numpy(),
        init_time=init_time,
        timestep_minutes=step,
        cell_km=cell,
        title=f"{archive.name}, forecast from {init_time} UTC",
        colour_blind_safe=colour_blind_safe,
    )


def _geometry(data: RadarDataModule, dataset: RadarDataset, index: int) -> tuple[float, float]:
    which = int(dataset.samples[index, 0])
    region = dataset.regions[which]
    return data.steps[which] / 60, cell_km(region.archive.grid)[0] * region.factor[0]
