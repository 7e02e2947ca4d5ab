"""Random small sets: archives, forecasts of other systems and settings, described by hypothesis."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tests.oracle.forecasts import FACTORS, SECONDS

START = 1709240400  # 2024-02-29T21:00 UTC: a day, a month and a season end three hours later
RATES = np.array([0, 0, 0, 0.25, 0.5, 0.5, 1.0, 1.75, 2.0, 2.25, 5.0, 7.5, 10.0, 12.25], dtype=np.float32)
THRESHOLDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STORED = ("tenths", "quarters", "floats", "amounts", "reflectivity")


@dataclass(frozen=True)
class Radar:
    """Where an archive lies."""

    crs: str
    left: float  # m, of the first column
    shape: tuple


@dataclass(frozen=True)
class ArchiveCase:
    """One archive."""

    name: str
    radar: Radar
    start: int  # minutes after START
    step: int  # minutes
    frames: int
    lost: frozenset  # numbers of frames that are missing
    empty: frozenset  # numbers of frames that hold no data at all
    stored: str
    holes: float  # share of cells without data
    seed: int
    prepared: bool  # by `nowcast prepare` from CF files, else by the archive writer

    @property
    def minutes(self):
        return [self.start + k * self.step for k in range(self.frames) if k not in self.lost]


@dataclass(frozen=True)
class SystemCase:
    """How another system writes its forecasts, and which it lacks."""

    members: int
    together: bool  # all forecasts of a place in one file
    lead_axis: bool  # forecast_period, else valid times (one forecast a file)
    time_unit: str
    unit: str
    south_first: bool
    packed: bool
    holes: float  # share of missing values, of single members too
    lacking: float  # share of windows without a forecast
    extra: int  # lead times beyond those wanted
    seed: int


@dataclass(frozen=True)
class SetCase:
    """All of a test."""

    archives: tuple
    systems: tuple
    data: dict
    settings: dict


@dataclass(frozen=True)
class Kind:
    """What the sets of one test have in common."""

    splits: tuple = ("all",)
    archives: tuple = (1, 2, 3)
    systems: tuple = (0,)
    members: tuple = (0, 1, 2, 3)
    holes: tuple = (0.0, 0.0, 0.1)
    steps: tuple = ((5,), (6,), (10,))
    windows_minutes: tuple = (None,)
    averaging: int = 1
    tiles: bool = False
    two_places: bool = False


KINDS = {
    "one split of everything": Kind(),
    "other systems": Kind(systems=(1, 2), archives=(1, 2)),
    "two places": Kind(systems=(1, 2), archives=(2, 3), two_places=True),
    "ensembles with holes": Kind(systems=(1, 2), archives=(1, 2), members=(2, 3), holes=(0.1, 0.5)),
    "averaged cells": Kind(systems=(0, 1), averaging=2),
    "tiles": Kind(splits=("all", "blocks"), tiles=True),
    "splits by name": Kind(splits=("archives",), archives=(2, 3), systems=(0, 1)),
    "blocks": Kind(splits=("blocks",), systems=(0, 0, 1)),
    "blocks of each day": Kind(splits=("paper", "by_day"), systems=(0, 0, 1)),
    "mixed time steps": Kind(splits=("all", "archives", "blocks"), steps=((5, 6, 10),), windows_minutes=(None, 30)),
}


@st.composite
def sets(draw, kind):
    """A set whose archives are long enough for a window in most cases."""
    low, high = (3, 8) if kind.averaging == 1 else (6, 11)
    small = st.tuples(st.integers(low, high), st.integers(low, high))
    shape = draw(st.one_of(small, small, st.just((35, 4))) if kind.averaging == 1 else small)
    radar = Radar("EPSG:3035", 4.0e6, shape)
    others = [
        Radar("EPSG:3035", 4.2e6, shape),
        Radar("EPSG:3067", 4.0e6, shape),
        Radar("EPSG:3035", 4.0e6, (shape[0], shape[1] + 2)),
    ]
    other = draw(st.sampled_from(others if kind.two_places else [radar, *others]))
    data = {
        "input_steps": draw(st.integers(1, 3)),
        "forecast_steps": draw(st.integers(1, 3)),
        "stride": draw(st.integers(1, 3)),
        "timestep_minutes": draw(st.sampled_from(kind.windows_minutes)),
        "split": draw(st.sampled_from(kind.splits)),
        "val_fraction": 0.3,
        "test_fraction": 0.4,
        "seed": draw(st.integers(0, 3)),
        "batch_size": draw(st.integers(1, 4)),
        "cell_km": None if kind.averaging == 1 else 1.0 * kind.averaging,
    }
    data["gap_minutes"] = 0.0 if data["split"] in ("paper", "by_day") else draw(st.sampled_from([0.0, 10.0]))
    steps = draw(st.sampled_from(kind.steps))
    span = (data["input_steps"] + data["forecast_steps"]) * (data["timestep_minutes"] or max(steps))
    data["block_minutes"] = float(span * draw(st.sampled_from([1, 1.5, 2])))
    stored = STORED if kind.averaging == 1 else ("quarters", "floats", "reflectivity")
    count = draw(st.sampled_from(kind.archives)) if data["split"] != "by_day" else 3
    places = [radar, other] if kind.two_places else [draw(st.sampled_from([radar, other])) for _ in range(count)]
    archives = tuple(
        draw(archive_cases(f"radar_{number}", places[number % len(places)], steps, stored, data))
        for number in range(count)
    )
    names = [archive.name for archive in archives]
    data["test_archives"] = names[:1] if data["split"] == "archives" else []
    data["val_archives"] = names[1:2] if data["split"] == "archives" and draw(st.booleans()) else []
    data["train_archives"] = names[2:] if data["split"] == "archives" and draw(st.booleans()) else []
    largest = min(shape) // kind.averaging
    data["eval_crop"] = draw(st.tuples(st.integers(2, largest), st.integers(2, largest))) if kind.tiles else None
    systems = tuple(draw(system_cases(kind)) for _ in range(draw(st.sampled_from(kind.systems))))
    return SetCase(archives, systems, data, draw(settings_of(data["split"])))


@st.composite
def settings_of(draw, split):
    """How a set is scored."""
    thresholds = sorted(draw(st.sets(st.sampled_from(THRESHOLDS), min_size=1, max_size=4)))
    return {
        "thresholds": thresholds,
        "main_threshold": draw(st.sampled_from(thresholds)),
        "common_mask": draw(st.booleans()),
        "block": draw(st.sampled_from(["day", "archive"])),
        "edges": [0.3003, 1.5007],
        "split": "test" if split == "all" else draw(st.sampled_from(["test", "test", "val"])),
        "min_blocks": draw(st.sampled_from([2, 10])),
    }


@st.composite
def archive_cases(draw, name, radar, steps, stored, data):
    """An archive with a few windows more than one, or blocks of each split."""
    step = draw(st.sampled_from(steps))
    window = (data["input_steps"] + data["forecast_steps"]) * (data["timestep_minutes"] or step) // step
    blocks = 3 if data["split"] in ("blocks", "paper", "archives") else 1
    frames = max(window, int(data["block_minutes"]) // step * blocks) + draw(st.integers(1, 5))
    return ArchiveCase(
        name=name,
        radar=radar,
        start=draw(st.sampled_from([0, 0, 0, 2, 10, 120, 165, 1440])),
        step=step,
        frames=frames,
        lost=draw(st.frozensets(st.integers(1, frames - 2), max_size=draw(st.sampled_from([0, 1, 2])))),
        empty=draw(st.frozensets(st.integers(0, frames - 1), max_size=2)),
        stored=draw(st.sampled_from(stored)),
        holes=draw(st.sampled_from([0.0, 0.0, 0.2, 0.6])),
        seed=draw(st.integers(0, 2**16)),
        prepared=draw(st.integers(0, 4)) == 4,
    )


@st.composite
def system_cases(draw, kind):
    """A system."""
    lead_axis = draw(st.booleans())
    return SystemCase(
        members=draw(st.sampled_from(kind.members)),
        together=lead_axis and draw(st.booleans()),
        lead_axis=lead_axis,
        time_unit=draw(st.sampled_from(list(SECONDS))),
        unit=draw(st.sampled_from(list(FACTORS))),
        south_first=draw(st.booleans()),
        packed=draw(st.booleans()),
        holes=draw(st.sampled_from(kind.holes)),
        lacking=draw(st.sampled_from([0.0, 0.0, 0.3])),
        extra=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 2**16)),
    )
