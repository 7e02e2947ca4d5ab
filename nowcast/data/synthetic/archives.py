"""Synthetic events as ordinary archives, generated when first needed and kept on disk."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
        kinds: Name of a kind of rain → the settings of the generator that it changes: so many events of each kind,
            named train_<kind>_000, …; none = those of `rain`.
    """

    rain: SyntheticRain
    folder: str
    train_events: int
    val_events: int
    test_events: int
    seed: int
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers of events, and the settings of each kind."""
        for kind in self.kinds:
            if not re.fullmatch("[a-z]+", kind):
                raise ValueError(
                    f"data.archives.kinds: {kind!r} must be small letters, it is part of names of archives"
                )
            self._rain(kind)
        for split in ("train", "val", "test"):
            count = getattr(self, f"{split}_events")
            if not 0 <= count <= MAX_EVENTS:
                raise ValueError(f"data.archives.{split}_events must be 0 to {MAX_EVENTS}, got {count}")

    def paths(self) -> list[Path]:
        """The archives; missing ones are generated first, with a progress bar."""
        return [path for kind in self.kinds or ("",) for path in self._of_kind(kind)]

    def _rain(self, kind: str) -> SyntheticRain:
        """The generator of a kind of rain.

        Raises:
            ValueError: It has a setting that is unknown or out of range.
        """
        try:
            return replace(self.rain, **self.kinds.get(kind, {}))
        except TypeError as error:
            known = ", ".join(one.name for one in fields(self.rain))
            raise ValueError(f"data.archives.kinds.{kind}: {error}; there are {known}") from error

    def _of_kind(self, kind: str) -> list[Path]:
        counts = {"train": self.train_events, "val": self.val_events, "test": self.test_events}
        middle = f"_{kind}_" if kind else "_"
        names = [f"{split}{middle}{number:03}" for split, count in counts.items() for number in range(count)]
        key = hashlib.sha256(repr((GENERATOR_VERSION, self._rain(kind), self.seed)).encode()).hexdigest()[:12]
        folder = Path(self.folder) / key
        if _missing(folder, names):
            with made_by_one(folder):  # ranks of a training, or two trainings, begin at the same time
                missing = _missing(folder, names)
                for name, rain_rate in track(
                    zip(missing, self._generated(missing, kind), strict=True),
                    "generating synthetic echoes",
                    len(missing),
                ):
                    with contextlib.suppress(FileExistsError):  # made meanwhile, on a disk where nobody can wait
                        self._write(folder / f"{name}.nc", kind, rain_rate)
        return [folder / f"{name}.nc" for name in names]

    def _generated(self, names: Sequence[str], kind: str) -> Iterator[NDArray[np.float32]]:
        """(T, H, W) of each event; as many are made at once as there are cores, and no more are kept."""
        rain, cores = self._rain(kind), os.cpu_count() or 1

        def generate(name: str) -> NDArray[np.float32]:
            # The seed of an event depends on its name alone: more events later leave the old ones as they are.
            digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
            return rain.generate(int.from_bytes(digest[:6], "big"))

        with ThreadPoolExecutor(cores) as threads:
            for first in range(0, len(names), cores):
                yield from list(threads.map(generate, names[first : first + cores]))

    def _write(self, path: Path, kind: str, rain_rate: NDArray[np.float32]) -> None:
        rain = self._rain(kind)
        height, width = rain.shape
        metres = rain.cell_km * 1000
        grid = Grid(np.arange(width, dtype=np.float64) * metres, np.arange(height, dtype=np.float64)[::-1] * metres, "")
        split, number = path.stem.split("_")[0], path.stem.split("_")[-1]
        place = 3 * (list(self.kinds).index(kind) if kind else 0) + ("train", "val", "test").index(split)
        day = place * MAX_EVENTS + int(number)
        start = START + np.timedelta64(day, "D")
        step = np.timedelta64(round(rain.timestep_minutes * 60), "s")
        frames = [
            Frame(start + k * step, Quantity.RAIN_RATE, field, grid, Packing(QUANTUM, 0.0))
            for k, field in enumerate(rain_rate)
        ]
        attributes = {
            "title": "Synthetic radar echoes: no weather that ever was",
            "institution": "nowcast",
            "source": repr(rain),
            "license": "CC0-1.0",
        }
        with ArchiveWriter(path, frames[0], attributes) as writer:
            for frame in frames:
                writer.append(frame)
            writer.finish(f"generated from seed {self.seed}, event {path.stem}")


def _missing(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / f"{name}.nc").exists()]
