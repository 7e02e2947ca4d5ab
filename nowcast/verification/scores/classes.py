"""Joint counts of the intensity classes of forecasts and observations: the part of categorical scores that costs time.

In C on CPUs (classes_kernel.c, compiled on first use), in PyTorch operations everywhere else.
"""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nowcast.models.kernels.compiler import library

SOURCE = Path(__file__).with_name("classes_kernel.c")
MOST_THRESHOLDS = 253  # classes are bytes, and one is for cells that do not count


def classify(rate: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Number of thresholds that a rate reaches, in the precision of the rate; uint8."""
    number = torch.zeros(rate.shape, dtype=torch.uint8, device=rate.device)
    for threshold in torch.tensor(thresholds, dtype=rate.dtype).tolist():
        number += rate >= threshold
    return number


def joint_counts(forecast: Tensor, observed: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Count cells by classes of forecast and observation.

    Args:
        forecast: (B, …) mm h-1 without NaN.
        observed: (B, …) uint8 classes, K + 1 where a cell does not count.
        thresholds: K rain rates, rising, at most MOST_THRESHOLDS.

    Returns:
        (B, K + 1, K + 1) int64, forecast × observed class.

    Raises:
        ValueError: The shapes differ.
    """
    if forecast.shape != observed.shape:
        raise ValueError(f"the forecast is {tuple(forecast.shape)}, the observation {tuple(observed.shape)}")
    functions = _functions() if forecast.device.type == "cpu" and forecast.dtype == torch.float32 else None
    if functions is None:
        return _histogram(forecast, observed, thresholds)
    number, limits = len(thresholds), torch.tensor(thresholds, dtype=torch.float32)
    forecast, observed = forecast.contiguous(), observed.contiguous()
    counts = torch.zeros(len(forecast), number + 1, number + 2, dtype=torch.int64)
    functions.count_classes(
        *(forecast.data_ptr(), observed.data_ptr(), len(forecast), forecast[:1].numel()),
        *(limits.data_ptr(), number, counts.data_ptr()),
    )
    return counts[..., :-1]


@functools.cache
def _functions() -> ctypes.CDLL | None:
    compiled = library(SOURCE, torch.float32)
    if compiled is not None:
        pointer, number = ctypes.c_void_p, ctypes.c_long
        compiled.count_classes.argtypes = [pointer, pointer, number, number, pointer, number, pointer]
        compiled.count_classes.restype = None
    return compiled


def _histogram(forecast: Tensor, observed: Tensor, thresholds: Sequence[float]) -> Tensor:
    columns = len(thresholds) + 2
    bins = (columns - 1) * columns
    joint = (classify(forecast, thresholds).int() * columns + observed).flatten(1)
    joint = joint + torch.arange(len(joint), device=joint.device, dtype=joint.dtype)[:, None] * bins
    counts = torch.bincount(joint.flatten(), minlength=len(joint) * bins)
    return counts.view(len(joint), columns - 1, columns)[..., :-1]
