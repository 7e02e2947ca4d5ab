"""Synthetic events as ordinary archives, generated when first needed and kept on disk."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.data.synthetic.rain import SyntheticRain
from nowcast.files import made_by_one
from nowcast.units import Quantity

START = np.datetime64("2000-01-01T00:00:00", "s")  # events are dated a day apart, so that none touches another
MAX_EVENTS = 10_000  # of a split
QUANTUM = 0.01  # mm h-1
GENERATOR_VERSION = 1  # raise when the same settings would give other rain: old caches are then not used


@dataclass(frozen=True)
class SyntheticArchives:
    """Independent events, named train_000, …, val_000, …, test_000, ….

    Args:
        rain: The generator.
        folder: Where events are kept, in a subfolder per setting.
        train_events: Number of events to train on.
        val_events: Number of events for validation.
        test_events: Number of events for the test.
        seed: Seed of all events.
    """

    rain: SyntheticRain
    folder: str
    train_events: int
    val_events: int
    test_events: int
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers of events."""
        for split in ("train", "val", "test"):
            count = getattr(self, f"{split}_events")
            if not 0 <= count <= MAX_EVENTS:
                raise ValueError(f"data.archives.{split}_events must be 0 to {MAX_EVENTS}, got {count}")

    def paths(self) -> list[Path]:
        """The archives; missing ones are generated first, with a progress bar."""
        counts = {"train": self.train_events, "val": self.val_events, "test": self.test_events}
        names = [f"{split}_{number:03}" for split, count in counts.items() for number in range(count)]
        key = hashlib.sha256(repr((GENERATOR_VERSION, self.rain, self.seed)).encode()).hexdigest()[:12]
        folder = Path(self.folder) / key
        if _missing(folder, names):
            with made_by_one(folder):  # ranks of a training, or two trainings, begin at the same time
                for name in track(_missing(folder, names), description="generating synthetic echoes"):
                    with contextlib.suppress(FileExistsError):  # made meanwhile, on a disk where nobody can wait
                        self._write(folder / f"{name}.nc")
        return [folder / f"{name}.nc" for name in names]

    def _write(self, path: Path) -> None:
        # The seed of an event depends on its name alone: more events later leave the old ones as they are.
        digest = hashlib.sha256(f"{self.seed} {path.stem}".encode()).digest()
        rain_rate = self.rain.generate(int.from_bytes(digest[:6], "big"))  # (T, H, W)
        height, width = self.rain.shape
        metres = self.rain.cell_km * 1000
        grid = Grid(np.arange(width, dtype=np.float64) * metres, np.arange(height, dtype=np.float64)[::-1] * metres, "")
        split, number = path.stem.split("_")
        day = ("train", "val", "test").index(split) * MAX_EVENTS + int(number)
        start = START + np.timedelta64(day, "D")
        step = np.timedelta64(round(self.rain.timestep_minutes * 60), "s")
        frames = [
            Frame(start + k * step, Quantity.RAIN_RATE, field, grid, Packing(QUANTUM, 0.0))
            for k, field in enumerate(rain_rate)
        ]
        attributes = {
            "title": "Synthetic radar echoes: no weather that ever was",
            "institution": "nowcast",
            "source": repr(self.rain),
            "license": "CC0-1.0",
        }
        with ArchiveWriter(path, frames[0], attributes) as writer:
            for frame in frames:
                writer.append(frame)
            writer.finish(f"generated from seed {self.seed}, event {path.stem}")


def _missing(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / f"{name}.nc").exists()]
