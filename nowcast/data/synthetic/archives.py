"""Synthetic events as ordinary archives, generated when first needed and kept on disk."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.synthetic.events import made_once, write_events
from nowcast.data.synthetic.rain import SyntheticRain

MAX_EVENTS = 10_000  # of a split
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
        return made_once(Path(self.folder) / key, names, partial(self._generate, kind), partial(self._write, kind))

    def _generate(self, kind: str, name: str) -> NDArray[np.float32]:
        # The seed of an event depends on its name alone: more events later leave the old ones as they are.
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        return self._rain(kind).generate(int.from_bytes(digest[:6], "big"))

    def _write(self, kind: str, path: Path, rain_rate: NDArray[np.float32]) -> None:
        rain = self._rain(kind)
        split, number = path.stem.split("_")[0], path.stem.split("_")[-1]
        place = 3 * (list(self.kinds).index(kind) if kind else 0) + ("train", "val", "test").index(split)
        write_events(
            path,
            [(place * MAX_EVENTS + int(number), rain_rate)],
            timestep_minutes=rain.timestep_minutes,
            cell_km=rain.cell_km,
            source=repr(rain),
            history=f"generated from seed {self.seed}, event {path.stem}",
        )
