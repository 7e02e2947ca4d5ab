"""What a checkpoint says of its own worth, out of the validation scores that it keeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.config.command_line.quoting import typed
from nowcast.forecasting.checkpoint import Checkpoint
from nowcast.forecasting.forecaster import Forecaster
from nowcast.verification.scores.lead_means import mean_over

SIMPLE = ("persistence", "extrapolation")  # what a network is worth nothing without beating


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
