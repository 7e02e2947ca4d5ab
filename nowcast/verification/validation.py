"""What a checkpoint knows of its own worth: scores on validation windows, beside persistence and extrapolation."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate

from nowcast.config.command_line.quoting import typed
from nowcast.data.interface import DataModule, ValidationLeads
from nowcast.data.windows.dataset import Sample
from nowcast.forecasting import checkpoint
from nowcast.forecasting.checkpoint import Checkpoint
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.network import at_lead_times
from nowcast.models.persistence import Persistence
from nowcast.progress import Track
from nowcast.verification.per_frame.metrics import Contingency
from nowcast.verification.score_models import run_models
from nowcast.verification.scores.categorical import categorical_scores
from nowcast.verification.scores.lead_means import mean_over

log = logging.getLogger(__name__)
MOST_WINDOWS = 200  # extrapolation takes about a tenth of a second for each
SCORES = ("csi", "bias")
SIMPLE = ("persistence", "extrapolation")  # what a network is worth nothing without beating


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


def mean_scores(scores: Mapping[str, Any], score: str, names: Sequence[str], number: int) -> tuple[list[float], int]:
    """Each model's mean over the lead times where all of them have the score at a threshold, and how many these are."""
    values = np.array([scores[score][name][number] for name in names], dtype=np.float64)  # (models, T)
    defined: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=0, keepdims=True))
    means: list[float] = mean_over(values, defined, axis=1)[:, 0].tolist()
    return means, int(defined.sum())


def with_worth(forecaster: Forecaster, loaded: Checkpoint) -> Forecaster:
    """The forecaster of a checkpoint, with what its scores on validation windows say of it."""
    main = loaded.config.get("verification", {}).get("main_threshold")
    evaluate = f"nowcast evaluate {typed('checkpoint', loaded.path)} split=val"
    return replace(
        forecaster,
        worth=in_words(loaded.validation, forecaster.name, evaluate),
        beaten_by=better_than(loaded.validation, forecaster.name, main),
    )


def in_words(scores: Mapping[str, Any] | None, network: str, evaluate: str) -> list[str]:
    """A network's scores on validation windows beside simple forecasts', one threshold a line.

    Args:
        scores: What the checkpoint holds.
        network: The network's name, with "_calibrated" where it is.
        evaluate: The command that scores the checkpoint, for one that holds no scores.
    """
    if scores is None:
        return [f"this checkpoint holds no validation scores: what it is worth, say {evaluate}"]
    names = [network, *(name for name in SIMPLE if name in scores["csi"])]
    lines = []
    for number, threshold in enumerate(scores["thresholds"]):
        csi, count = mean_scores(scores, "csi", names, number)
        bias = mean_scores(scores, "bias", [network], number)[0][0]
        models = ", ".join(f"{name} {_shown(value)}" for name, value in zip(names, csi, strict=True))
        lines.append(
            f"CSI at {threshold:g} mm/h on {scores['windows']} validation windows, mean of {count} of "
            f"{len(scores['csi'][network][number])} lead times: {models} (frequency bias {_shown(bias)})"
        )
    return lines


def better_than(scores: Mapping[str, Any] | None, network: str, threshold: float | None) -> list[str]:
    """Simple forecasts whose CSI at a threshold (None = the first) was higher than the network's."""
    if scores is None or not scores["thresholds"]:
        return []
    known = scores["thresholds"]
    number = known.index(threshold) if threshold in known else 0
    better = []
    for name in SIMPLE:
        if name in scores["csi"]:
            (ours, theirs), _ = mean_scores(scores, "csi", [network, name], number)
            better += [name] if theirs > ours else []
    return better


def _shown(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
