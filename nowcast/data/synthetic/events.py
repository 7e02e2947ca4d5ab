"""Made rain as archives: written whole, once for all processes, and dated where no radar was."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.files import made_by_one
from nowcast.units import Quantity

START = np.datetime64("2000-01-01T00:00:00", "s")  # events are dated a day apart, so that none touches another
QUANTUM = 0.01  # mm h-1

Field = NDArray[Any]  # float32; NumPy's own annotations lose the type in arithmetic
Event = tuple[int, Field]  # day after START, (T, H, W) rain rate in mm h-1


def made_once(
    folder: Path, names: Sequence[str], generate: Callable[[str], Field], write: Callable[[Path, Field], None]
) -> list[Path]:
    """Archives in a folder, those that are not there yet generated first, with a progress bar."""
    if _missing(folder, names):
        with made_by_one(folder):  # ranks of a training, or two trainings, begin at the same time
            missing = _missing(folder, names)
            generated = zip(missing, _on_all_cores(generate, missing), strict=True)
            for name, rain_rate in track(generated, "generating synthetic echoes", len(missing)):
                with contextlib.suppress(FileExistsError):  # made meanwhile, on a disk where nobody can wait
                    write(folder / f"{name}.nc", rain_rate)
    return [folder / f"{name}.nc" for name in names]


def _on_all_cores(generate: Callable[[str], Field], names: Sequence[str]) -> Iterator[Field]:
    """What is generated of each name; as many are made at once as there are cores, and no more are kept."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as threads:
        for first in range(0, len(names), cores):
            yield from list(threads.map(generate, names[first : first + cores]))


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if not (folder / f"{name}.nc").exists()]


def write_events(
    path: Path, events: Iterable[Event], *, timestep_minutes: float, cell_km: float, source: str, history: str
) -> None:
    """One archive of events in rising order of their days; row 0 is north."""
    step = np.timedelta64(round(timestep_minutes * 60), "s")
    frames = [
        Frame(START + np.timedelta64(day, "D") + k * step, Quantity.RAIN_RATE, field, grid, Packing(QUANTUM, 0.0))
        for day, rain_rate in events
        for grid in [_grid(rain_rate.shape[1:], cell_km)]
        for k, field in enumerate(rain_rate)
    ]
    attributes = {
        "title": "Synthetic radar echoes: no weather that ever was",
        "institution": "nowcast",
        "source": source,
        "license": "CC0-1.0",
    }
    with ArchiveWriter(path, frames[0], attributes) as writer:
        for frame in frames:
            writer.append(frame)
        writer.finish(history)


def _grid(shape: tuple[int, ...], cell_km: float) -> Grid:
    height, width = shape
    metres = cell_km * 1000
    return Grid(np.arange(width, dtype=np.float64) * metres, np.arange(height, dtype=np.float64)[::-1] * metres, "")
