"""Scores several forecasters on the same windows in one pass, and writes what came out."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nowcast.data.windows.sample import Sample, spacing_of
from nowcast.forecasting.external import FileForecasts
from nowcast.forecasting.forecast import FieldForecast
from nowcast.forecasting.network import NetworkForecaster, forecast_with
from nowcast.progress import Track
from nowcast.verification.plan import ModelSums, Scores, ScoringPlan, add_lead_time, collect

log = logging.getLogger(__name__)
MIN_EVENTS = 0.01  # share of cells with rain below which a window's CSI says nothing


@torch.inference_mode()
def score_models(
    models: Mapping[str, nn.Module],
    loader: DataLoader[Sample],
    plan: ScoringPlan,
    device: torch.device,
    track: Track,
) -> Scores:
    """Run every model on every window once and sum the statistics; memory does not grow with the windows.

    Args:
        models: Name → network; or module from physical values (B, T_in, 1, H, W) and steps to values of the same kind,
            with an axis of members after the first if it is an ensemble; or forecasts from files.
        loader: The windows.
        plan: What to score.
        device: Where networks run.
        track: Progress bar.

    Raises:
        ValueError: No cell of any window counts.
    """
    sums = {name: ModelSums(plan, device) for name in models}
    window_scores: list[float] = []
    left_out = counted = 0
    for model in models.values():
        model.to(device).eval()
    with _Cores(device) as cores:
        for batch in track(loader, "evaluating", len(loader)):
            targets, mask = batch["targets"].to(device), batch["mask"].to(device)
            ready = run_models(models, batch, device)
            before, mask = mask, _common_mask(mask, models, batch, ready if plan.common_mask else {})
            left_out += int((before & ~mask).sum())
            counted += int(mask.sum())
            numbers = plan.groups.numbers(batch, mask.cpu()) if plan.groups else {}
            forecasts = [forecast for forecast, _ in ready.values()]
            for name, (forecast, logits) in ready.items():
                sums[name].add(forecast, targets, mask, logits)
            if plan.main_threshold is not None:
                window_scores += _window_csi(forecasts[0], targets, mask, plan.main_threshold)
            add = partial(
                add_lead_time,
                sums=list(sums.values()), forecasts=forecasts, targets=targets, mask=mask, numbers=numbers,
            )  # fmt: skip
            if plan.groups is not None:
                cores.share(add, range(targets.shape[1]))
    if not counted:
        raise ValueError(
            "no observed value is left to compare with: the windows hold no data, or one of the models has no forecast "
            "where they do (verification.common_mask=false counts that as no rain)"
        )
    if left_out:
        log.warning("%d observed values were left out for all models, since one has no forecast there", left_out)
    return collect(sums, plan, window_scores)


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
) -> dict[str, tuple[FieldForecast, Tensor | None]]:
    """Every model's forecast of a batch; a network that is there raw and calibrated runs once.

    Returns:
        Name → forecast, and logits where their sigmoid is the field: those of a grey network without calibration.
    """
    steps, inputs, spacing = batch["targets"].shape[1], batch["inputs"].to(device), spacing_of(batch)
    said: dict[tuple[int, int, int], tuple[Tensor, Tensor | None]] = {}
    forecasts: dict[str, tuple[FieldForecast, Tensor | None]] = {}
    for name, model in models.items():
        if isinstance(model, FileForecasts):
            forecasts[name] = model.for_windows(batch).to(device), None
        elif isinstance(model, NetworkForecaster):
            network = (id(model.net), id(model.scaling), id(model.head))
            if network not in said:
                back = model.trajectories(inputs, steps, spacing)
                said[network] = model.logits(inputs, steps, spacing, back), back
            logits, back = said[network]
            is_forecast = model.calibration is None and not model.thresholds  # their sigmoid is the field
            forecasts[name] = model.of_logits(logits, inputs, spacing, back), logits if is_forecast else None
        else:
            forecasts[name] = forecast_with(model, inputs, steps), None
    return forecasts


def _common_mask(
    mask: Tensor,
    models: Mapping[str, nn.Module],
    batch: Sample,
    forecasts: Mapping[str, tuple[FieldForecast, Tensor | None]],
) -> Tensor:
    """Without windows that a file lacks, and without cells where one of `forecasts` has no value."""
    for model in models.values():
        if isinstance(model, FileForecasts):
            mask = mask & model.has(batch).to(mask.device).view(-1, 1, 1, 1, 1)
    for forecast, _ in forecasts.values():
        mask = mask & ~forecast.missing()
    return mask


def _window_csi(forecast: FieldForecast, targets: Tensor, mask: Tensor, threshold: float) -> list[float]:
    if not forecast.reaches(threshold):
        return [math.nan] * len(targets)
    said, seen = (forecast.single() >= threshold) & mask, (targets >= threshold) & mask
    hits, either, events, cells = (part.flatten(1).sum(1) for part in (said & seen, said | seen, seen, mask))
    worth = events >= MIN_EVENTS * cells.clamp(min=1)
    scores: list[float] = torch.where(worth & (either > 0), hits / either, torch.nan).tolist()
    return scores
