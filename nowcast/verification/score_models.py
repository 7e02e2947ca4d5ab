"""Scores several forecasters on the same windows in one pass, and writes what came out."""

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nowcast.forecasting.calibration import CalibrationFit, FrequencyCalibration
from nowcast.forecasting.checkpoint import NetworkForecaster
from nowcast.report.plots.colours import RainColours
from nowcast.verification.plan import Counting, ModelSums, Scores, add_lead_time, collect
from nowcast.data.windows.dataset import Sample
from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.report.plots.digits import plot_brightness
from nowcast.forecasting.external import FileForecasts
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.report.plots.curves import plot_scores
from nowcast.verification.scores.members import any_missing, members_of, single
from nowcast.report.tables import ModelScores, score_table, write_continuous_csv, write_scores_csv, write_scores_netcdf
from nowcast.verification.per_frame.variants import variant_table, write_variant_csv

log = logging.getLogger(__name__)
MIN_EVENTS = 0.01  # share of cells with rain below which a window's CSI says nothing
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


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
        models: Name → module from physical values (B, T_in, 1, H, W) and steps to a forecast of the same kind, with
            an axis of members after the first if it is an ensemble; or forecasts from files.
        loader: The windows.
        counting: What to score.
        device: Where networks run.
        track: Progress bar.

    Raises:
        ValueError: No cell of any window counts.
    """
    sums = {name: ModelSums(counting, device) for name in models}
    window_scores: list[float] = []
    left_out = counted = 0
    for model in models.values():
        model.to(device).eval()
    with _Cores(device) as cores:
        for batch in track(loader, "evaluating", len(loader)):
            targets, mask = batch["targets"].to(device), batch["mask"].to(device)
            ready = run_models(models, batch, device)
            before, mask = mask, _common_mask(mask, models, batch, ready if counting.common_mask else {})
            left_out += int((before & ~mask).sum())
            counted += int(mask.sum())
            numbers = counting.groups.numbers(batch, mask.cpu()) if counting.groups else {}
            forecasts = [forecast for forecast, _ in ready.values()]
            for name, (forecast, logits) in ready.items():
                sums[name].add(forecast, targets, mask, logits)
            if counting.main_threshold is not None:
                window_scores += _window_csi(forecasts[0], targets, mask, counting.main_threshold)
            add = partial(
                add_lead_time,
                sums=list(sums.values()), forecasts=forecasts, targets=targets, mask=mask, numbers=numbers,
            )  # fmt: skip
            if counting.groups is not None:
                cores.share(add, range(targets.shape[1]))
    if not counted:
        raise ValueError(
            "no observed value is left to compare with: the windows hold no data, or one of the models has no forecast "
            "where they do (verification.common_mask=false counts that as no rain)"
        )
    if left_out:
        log.warning("%d observed values were left out for all models, since one has no forecast there", left_out)
    return collect(sums, counting, window_scores)


class _Cores:
    """Works on several lead times at once, a core for each: that scales better than all cores for each sum."""

    def __init__(self, device: torch.device) -> None:
        self.before = torch.get_num_threads()
        self.threads = self.before if device.type == "cpu" else 1
        self.pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))

    def share(self, work: Callable[[int], None], lead_times: Iterable[int]) -> None:
        """Do all of it, and wait for the end."""
        if self.threads == 1:
            for lead in lead_times:
                work(lead)
        else:
            list(self.pool.map(torch.inference_mode()(work), lead_times))

    def __enter__(self) -> "_Cores":
        return self

    def __exit__(self, *_: object) -> None:
        """Give torch its cores back."""
        self.pool.shutdown()
        torch.set_num_threads(self.before)


def run_models(
    models: Mapping[str, nn.Module], batch: Sample, device: torch.device
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Every model's forecast of a batch; a network that is there raw and calibrated runs once.

    Returns:
        Name → forecast (B, T, C, H, W), or (B, M, T, C, H, W) of an ensemble, and logits where they are the forecast:
        those of a network without calibration.
    """
    steps, inputs = batch["targets"].shape[1], batch["inputs"].to(device)
    said: dict[tuple[int, int], Tensor] = {}
    forecasts: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, model in models.items():
        if isinstance(model, FileForecasts):
            forecasts[name] = model.for_windows(batch).to(device), None
        elif isinstance(model, NetworkForecaster):
            network = (id(model.net), id(model.scaling))
            if network not in said:
                said[network] = model.logits(inputs, steps)
            logits = said[network]
            forecasts[name] = model.from_logits(logits), logits if model.calibration is None else None
        else:
            forecasts[name] = model(inputs, steps), None
    return forecasts


def _common_mask(
    mask: Tensor, models: Mapping[str, nn.Module], batch: Sample, forecasts: Mapping[str, tuple[Tensor, Tensor | None]]
) -> Tensor:
    """Without windows that a file lacks, and without cells where one of `forecasts` has no value."""
    for model in models.values():
        if isinstance(model, FileForecasts):
            mask = mask & model.has(batch).to(mask.device).view(-1, 1, 1, 1, 1)
    for forecast, _ in forecasts.values():
        mask = mask & ~any_missing(forecast)
    return mask


def _window_csi(forecast: Tensor, targets: Tensor, mask: Tensor, threshold: float) -> list[float]:
    said, seen = (single(forecast) >= threshold) & mask, (targets >= threshold) & mask
    hits, either, events, cells = (part.flatten(1).sum(1) for part in (said & seen, said | seen, seen, mask))
    worth = events >= MIN_EVENTS * cells.clamp(min=1)
    scores: list[float] = torch.where(worth & (either > 0), hits / either, torch.nan).tolist()
    return scores


@torch.inference_mode()
def fit_calibration(
    forecaster: NetworkForecaster, data: DataModule, levels: int, device: torch.device, track: Track
) -> FrequencyCalibration:
    """Fit the frequency calibration of a network on validation windows, which may differ in lead times."""
    leads = ValidationLeads.of(data)
    fit = CalibrationFit(leads.lead_times, levels).to(device)
    forecaster.to(device).eval()
    loader = data.val_dataloader()
    for batch in track(loader, "calibrating", len(loader)):
        inputs, targets, mask = (batch[key].to(device) for key in ("inputs", "targets", "mask"))
        grey, observed = forecaster.grey(inputs, data.forecast_steps), forecaster.scaling.to_grey(targets)
        for rows, chosen in leads.parts(batch["archive"]):
            fit.update(grey[chosen], observed[chosen], mask[chosen], rows)
    return fit.fit().cpu()


def report(scores: Scores, folder: Path, console: Console) -> list[Path]:
    """Print the tables and write them.

    Pooled scores go to scores.csv, errors.csv, scores.nc and csi.png, each variant to <variant>.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = report_pooled(scores.pooled, folder, console) if scores.pooled else []
    for variant in dict.fromkeys(score.variant for score in scores.variants):
        models = [score for score in scores.variants if score.variant == variant]
        console.print(variant_table(models))
        written.append(folder / f"{variant}.csv")
        write_variant_csv(written[-1], models)
    return written


def report_pooled(models: list[ModelScores], folder: Path, console: Console) -> list[Path]:
    """Print CSI and bias; write scores.csv, errors.csv, scores.nc and csi.png."""
    console.print(score_table(models, "csi"))
    console.print(score_table(models, "bias"))
    written = [folder / "scores.csv", folder / "errors.csv", folder / "scores.nc"]
    write_scores_csv(written[0], models)
    write_continuous_csv(written[1], models)
    write_scores_netcdf(written[2], models)
    return [*written, plot_scores(models, "csi", folder / "csi.png")]


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
        members = members_of(forecast).shape[1]
        rows[f"{name}, mean of {members}" if members > 1 else name] = single(forecast)[0, :, 0].cpu().numpy()
    return rows


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
