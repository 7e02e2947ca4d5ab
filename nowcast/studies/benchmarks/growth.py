"""How the time of a training step grows with the work: over a decade of batch, frames or pixels."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from nowcast.studies.benchmarks.rounds import Contender
from nowcast.studies.benchmarks.work import synchronise

FACTORS = (1, 2, 5, 10)
AXES = ("batch", "frames", "pixels")


def measure_growth(
    axis: str,
    contender: Contender,
    smallest: tuple[int, int, int, Sequence[int]],
    device: torch.device,
    rounds: int,
    track: Callable[[Iterable[int], str, int], Iterable[int]],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Training steps of growing size, in turns.

    Args:
        axis: batch, frames (in and out alike) or pixels (of a frame).
        contender: The network, in a precision.
        smallest: Batch, frames in, frames out, (H, W).
        device: Where.
        rounds: How often each size is timed, after one run to warm up.
        track: Progress bar.
        clock: Seconds.

    Returns:
        axis, precision, factors, seconds (medians), and exponent: the slope of log time over log work.
    """
    works = [_work(contender, enlarged(axis, factor, smallest), device) for factor in FACTORS]
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in track(range(rounds), f"growth with {axis}, {contender.precision}", rounds):
        for work, own in zip(works, times, strict=True):
            synchronise(device)
            start = clock()
            work()
            synchronise(device)
            own.append(clock() - start)
    seconds = [statistics.median(own) for own in times]
    return {
        "axis": axis,
        "precision": contender.precision,
        "factors": list(FACTORS),
        "seconds": seconds,
        "exponent": exponent(FACTORS, seconds),
    }


def enlarged(
    axis: str, factor: int, smallest: tuple[int, int, int, Sequence[int]]
) -> tuple[int, int, int, tuple[int, int]]:
    """Batch, frames in, frames out, (H, W) of a work that is `factor` times as large; sides are rounded."""
    batch, inputs, outputs, (height, width) = smallest
    if axis == "batch":
        return batch * factor, inputs, outputs, (height, width)
    if axis == "frames":
        return batch, inputs * factor, outputs * factor, (height, width)
    side = math.sqrt(factor)
    return batch, inputs, outputs, (round(height * side), round(width * side))


def exponent(factors: Sequence[float], seconds: Sequence[float]) -> float:
    """Least-squares slope of log time over log work: 1 = linear."""
    slope, _ = statistics.linear_regression([math.log(f) for f in factors], [math.log(s) for s in seconds])
    return slope


def _work(
    contender: Contender, size: tuple[int, int, int, tuple[int, int]], device: torch.device
) -> Callable[[], None]:
    batch, inputs, outputs, shape = size
    channels: int = contender.net.channels  # type: ignore[assignment]  # a plain attribute of every network
    given = torch.rand(batch, inputs, channels, *shape, device=device)
    targets = torch.rand(batch, outputs, channels, *shape, device=device)
    return contender.work("train", given, targets)
