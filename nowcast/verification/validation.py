"""Scores on validation windows beside persistence and extrapolation, which a checkpoint keeps."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.data.windows.sample import Sample
from nowcast.forecasting import checkpoint
from nowcast.forecasting.network import at_lead_times
from nowcast.models.baselines.persistence import Persistence
from nowcast.progress import Track
from nowcast.verification.per_frame.metrics import Contingency
from nowcast.verification.score_models import run_models
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.worth import SIMPLE

log = logging.getLogger(__name__)
MOST_WINDOWS = 200  # extrapolation takes about a tenth of a second for each
SCORES = ("csi", "bias")


@torch.inference_mode()
def validation_scores(
    models: Mapping[str, nn.Module],
    data: DataModule,
    thresholds: Sequence[float],
    device: torch.device,
    track: Track,
) -> dict[str, Any]:
    """CSI and frequency bias of models on at most MOST_WINDOWS evenly spread windows, of which only those are read.

    Returns:
        Plain values: "windows" that were scored "of" all, "thresholds" (mm h-1), "lead_times" (minutes), and by score
        and model K lists of T numbers, NaN where undefined.
    """
    leads, dataset, total = ValidationLeads.of(data), data.dataset("val"), len(data.origins("val")[0])
    shape = (4, len(thresholds), len(leads.lead_times))
    counts = {name: torch.zeros(shape, dtype=torch.int64) for name in models}
    chosen = range(0, total, max(1, math.ceil(total / MOST_WINDOWS)))
    for index in track(chosen, "comparing", len(chosen)):
        window = cast(Sample, default_collate([dataset[index]]))
        rows = leads.rows[int(window["archive"])]
        fitting = at_lead_times(models, [leads.lead_times[row] for row in rows])
        for name, part in _counts(fitting, window, thresholds, device):
            counts[name][:, :, list(rows)] += part
    computed = {name: categorical_scores(one.movedim(0, -1)) for name, one in counts.items()}
    return {
        "windows": len(chosen),
        "of": total,
        "thresholds": [float(value) for value in thresholds],
        "lead_times": list(leads.lead_times),
    } | {score: {name: scores[score].tolist() for name, scores in computed.items()} for score in SCORES}


def _counts(
    models: Mapping[str, nn.Module], batch: Sample, thresholds: Sequence[float], device: torch.device
) -> Iterator[tuple[str, Tensor]]:
    """Each model's name and counts (4, K, T) on a batch."""
    targets, mask = batch["targets"].to(device), batch["mask"].to(device)
    for model in models.values():
        model.to(device).eval()
    for name, (forecast, _) in run_models(models, batch, device).items():
        contingency = Contingency(thresholds, targets.shape[1]).to(device)
        contingency.update(forecast.single(), targets, mask)
        yield name, contingency.counts.cpu()


def store_validation(
    best: Path,
    networks: Mapping[str, nn.Module],
    baselines: Mapping[str, nn.Module],
    data: DataModule,
    thresholds: Sequence[float],
    device: torch.device,
    track: Track,
) -> None:
    """Score a checkpoint's network on validation windows beside simple forecasts, and add that to the checkpoint."""
    began = time.monotonic()
    simple = {"persistence": Persistence()} | {name: baselines[name] for name in SIMPLE if name in baselines}
    scores = validation_scores({**networks, **simple}, data, thresholds, device, track)
    checkpoint.add_validation(best, scores)
    log.info(
        "scored beside %s on %d of %d validation windows for the checkpoint, in %.1f s",
        " and ".join(simple), scores["windows"], scores["of"], time.monotonic() - began,
    )  # fmt: skip
