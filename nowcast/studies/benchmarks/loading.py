"""How many windows a second one process reads for training out of an archive, and out of its unpacked copy.

As a loader does it: in most cases stored values, of which the device then makes rain rates (data/stored.py).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.unpacked import use_unpacked
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.region import Region
from nowcast.data.windows.stored import StoredWindows
from nowcast.progress import track

WINDOW = 20  # frames, as in the paper's radar experiment
CACHES: tuple[Literal["none", "memmap"], ...] = ("none", "memmap")


def measure_loading(
    paths: list[Path], sides: list[int], seconds: float, seed: int, clock: Callable[[], float] = time.perf_counter
) -> list[dict[str, Any]]:
    """Read windows at random places and times, as training does.

    Args:
        paths: Archives; the first is read.
        sides: Of the square windows, in cells.
        seconds: How long each is tried.
        seed: Of the order.
        clock: Seconds.

    Returns:
        A row for each side and cache: side, cache and windows_per_second.
    """
    rows: list[dict[str, Any]] = []
    for cache in CACHES:
        archive = Archive(paths[0])
        if cache == "memmap":
            use_unpacked([archive], track)
        for side in sides:
            windows = windows_of(archive, side, seed)
            dataset = StoredWindows(windows) if StoredWindows.are_possible(windows) else windows
            speed = _windows_per_second(dataset, seconds, seed, clock)
            rows.append({"side": side, "cache": cache, "windows_per_second": speed})
        archive.close()
    return rows


def windows_of(archive: Archive, side: int, seed: int) -> RadarDataset:
    """All windows of an archive with a side in cells, moved at random."""
    return RadarDataset(
        [Region(archive, (1, 1), 1)],
        [np.arange(len(archive.times) - WINDOW + 1)],
        input_steps=5,
        forecast_steps=WINDOW - 5,
        crop=(side, side),
        jitter=True,
        augment="none",
        min_rain_fraction=0,
        min_valid_fraction=0,
        seed=seed,
    )


def _windows_per_second(
    dataset: StoredWindows | RadarDataset, seconds: float, seed: int, clock: Callable[[], float]
) -> float:
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    for index in order[:10]:  # opens the file
        dataset[index]
    start, count = clock(), 0
    while (passed := clock() - start) < seconds or count == 0:
        dataset[order[count % len(order)] + len(order) * (count // len(order))]
        count += 1
    return count / passed
