"""Synthetic extremes: rain that trainings hardly hold, from ellipses that are known exactly at every time.

One small cell, a line of cells that moves fast, rain that stands still, rain that enters over the edge, rain that
dissolves: SyntheticRain, whose rain is alike everywhere and grows and decays by chance, makes none of them by itself.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.synthetic.events import made_once, write_events

Field = NDArray[Any]  # float64; NumPy's own annotations lose the type in arithmetic
GENERATOR_VERSION = 1  # raise when the same settings would give other rain: old caches are then not used
SLANT = np.pi / 6  # at most, between the motion and what is square to a system's long side, or to the edge it enters by
OFF_CENTRE = 0.1  # of the grid's sides, at most, between the middles of the grid and of the path across it
MINUTES_OF_A_DAY = 24 * 60


@dataclass(frozen=True)
class Cell:
    """A patch of rain: an ellipse with the profile of a Gaussian, which moves steadily and grows or decays steadily.

    Args:
        east_km: Of its middle at time 0, from the middle of the grid's south-western cell.
        north_km: The same northwards.
        eastward_kmh: Its speed eastwards.
        northward_kmh: Its speed northwards.
        long_km: Standard deviation along its long axis.
        short_km: Standard deviation across it.
        axis: Direction of the long axis in radians, from east over north.
        peak: Rain rate in its middle at time 0, mm h-1.
        growth_per_hour: Of the logarithm of its rain rate; below 0 it dissolves.
    """

    east_km: float
    north_km: float
    eastward_kmh: float
    northward_kmh: float
    long_km: float
    short_km: float
    axis: float
    peak: float
    growth_per_hour: float

    def rain_rate(self, hours: Field, east_km: Field, north_km: Field) -> Field:
        """Rain rate in mm h-1 at times and places, which are broadcast; the same shape, no NaN."""
        east = east_km - self.east_km - self.eastward_kmh * hours
        north = north_km - self.north_km - self.northward_kmh * hours
        along = (east * np.cos(self.axis) + north * np.sin(self.axis)) / self.long_km
        across = (north * np.cos(self.axis) - east * np.sin(self.axis)) / self.short_km
        rate: Field = self.peak * np.exp(self.growth_per_hour * hours - (along**2 + across**2) / 2)
        return rate


@dataclass(frozen=True)
class RainSystem:
    """Cells that lie scattered over an oblong area, its long side across the motion, and move together.

    Each setting is [least, most], and drawn in between for every member, or for every cell of it.

    Args:
        cells: Number of cells.
        radius_km: Of a cell: the geometric mean of its two standard deviations.
        elongation: Long over short standard deviation of a cell, at least 1; its axis has any direction.
        peak: Rain rate in the middle of a cell at first, mm h-1; drawn evenly in its logarithm.
        veil: The same of rain over the whole area; 0 = none.
        length_km: Length of the area, 0 = a point.
        width_km: Width of the area.
        speed_kmh: Speed of all cells; they go in any direction, and in that of the grid's middle where they enter.
        growth_per_hour: Of the logarithm of each cell's rain rate, and of the veil's.
        enters_minutes: When the middle of the area crosses an edge of the grid; None = at half the time it is near the
            middle of the grid.

    Raises:
        ValueError: A range does not rise, or is beyond what is possible.
    """

    cells: tuple[int, int]
    radius_km: tuple[float, float]
    elongation: tuple[float, float]
    peak: tuple[float, float]
    veil: tuple[float, float]
    length_km: tuple[float, float]
    width_km: tuple[float, float]
    speed_kmh: tuple[float, float]
    growth_per_hour: tuple[float, float]
    enters_minutes: tuple[float, float] | None

    def __post_init__(self) -> None:
        """Check every range, and keep pairs as tuples so that equal settings have equal text."""
        least = {"cells": 1, "radius_km": 0.1, "elongation": 1, "peak": 0.1, "growth_per_hour": -np.inf}
        for one in fields(self):
            given = getattr(self, one.name)
            if given is None and one.name == "enters_minutes":
                continue
            low = least.get(one.name, 0)
            if len(given) != 2 or not low <= given[0] <= given[1] < np.inf:
                raise ValueError(f"rain system: {one.name} must be [least, most], at least {low:g}, got {list(given)}")
            object.__setattr__(self, one.name, tuple(given))

    def draw(self, random: np.random.Generator, size_km: tuple[float, float], minutes: float) -> list[Cell]:
        """The cells of one member.

        Args:
            random: What it is drawn by.
            size_km: Height and width of the grid.
            minutes: Time from the first frame to the last.
        """
        middle, heading, passes = self._path(random, np.array(size_km[::-1]), minutes)
        velocity = random.uniform(*self.speed_kmh) * _towards(heading)
        middle = middle - velocity * passes / 60  # at time 0
        axis = heading + np.pi / 2 + random.uniform(-SLANT, SLANT)
        length, width = random.uniform(*self.length_km), random.uniform(*self.width_km)
        found = []
        for _ in range(random.integers(self.cells[0], self.cells[1] + 1)):
            place = middle + random.uniform(-0.5, 0.5) * length * _towards(axis)
            place = place + random.uniform(-0.5, 0.5) * width * _towards(axis + np.pi / 2)
            radius, stretch = random.uniform(*self.radius_km), np.sqrt(random.uniform(*self.elongation))
            peak = float(np.exp(random.uniform(*np.log(self.peak))))
            sides, own_axis = (radius * stretch, radius / stretch), random.uniform(0, np.pi)
            found.append(_cell(place, velocity, sides, own_axis, peak, random.uniform(*self.growth_per_hour)))
        veil, growth = random.uniform(*self.veil), random.uniform(*self.growth_per_hour)
        if veil and length and width:
            found.append(_cell(middle, velocity, (length / 4, width / 4), axis, veil, growth))
        return found

    def _path(self, random: np.random.Generator, size: Field, minutes: float) -> tuple[Field, float, float]:
        """(2,) place east and north in km, the direction of the motion there, and the minute of being there."""
        if self.enters_minutes is None:
            place = size * (0.5 + random.uniform(-OFF_CENTRE, OFF_CENTRE, 2))
            return place, random.uniform(0, 2 * np.pi), minutes / 2
        inwards = random.integers(4) * np.pi / 2
        aside = random.uniform(-0.25, 0.25) * _towards(inwards + np.pi / 2)
        place = size * (0.5 - 0.5 * _towards(inwards) + aside)
        return place, inwards + random.uniform(-SLANT, SLANT), random.uniform(*self.enters_minutes)


def _cell(place: Field, velocity: Field, sides: tuple[float, float], axis: float, peak: float, growth: float) -> Cell:
    (east, north), (eastward, northward) = place.tolist(), velocity.tolist()
    return Cell(east, north, eastward, northward, *sides, axis, peak, growth)


def _towards(direction: float) -> Field:
    """(2,) unit vector east and north."""
    return np.array([np.cos(direction), np.sin(direction)])


@dataclass(frozen=True)
class ExtremeArchives:
    """An archive for each case, whose members are a day apart, so that no window and no bootstrap joins two of them.

    Args:
        folder: Where archives are kept, in a subfolder per setting.
        cases: Name of a case → its rain.
        members: Number of members of each case.
        seed: Seed of all members.
        shape: (H, W) cells of a frame.
        frames: Number of frames of a member.
        timestep_minutes: Time between frames.
        cell_km: Side of a cell.

    Raises:
        ValueError: A setting is out of its range.
    """

    folder: str
    cases: Mapping[str, RainSystem]
    members: int
    seed: int
    shape: tuple[int, int]
    frames: int
    timestep_minutes: float
    cell_km: float

    def __post_init__(self) -> None:
        """Check, and keep the shape as tuple so that equal settings have equal text."""
        object.__setattr__(self, "shape", tuple(int(side) for side in self.shape))
        for case in self.cases:
            if not re.fullmatch("[a-z_]+", case):
                raise ValueError(f"data.archives.cases: {case!r} must be small letters and _, it is an archive's name")
        allowed = {
            "cases": (len(self.cases) > 0, "at least one"),
            "members": (self.members >= 1, ">= 1"),
            "shape": (len(self.shape) == 2 and min(self.shape) >= 8, "two sides of at least 8 cells"),
            "frames": (self.frames >= 2, ">= 2"),
            "timestep_minutes": (0 < self.minutes < MINUTES_OF_A_DAY, "> 0, and all frames within a day"),
            "cell_km": (self.cell_km > 0, "> 0"),
        }
        for name, (good, rule) in allowed.items():
            if not good:
                raise ValueError(f"data.archives.{name} must be {rule}, got {getattr(self, name)}")

    @property
    def minutes(self) -> float:
        """Time from the first frame of a member to its last."""
        return (self.frames - 1) * self.timestep_minutes

    def paths(self) -> list[Path]:
        """The archives; missing ones are generated first, with a progress bar."""
        settings = repr((GENERATOR_VERSION, replace(self, folder="")))
        key = hashlib.sha256(settings.encode()).hexdigest()[:12]
        return made_once(Path(self.folder) / key, list(self.cases), self._members, self._write)

    def cells(self, case: str, member: int) -> list[Cell]:
        """What a member consists of; the same for the same settings, however many other cases and members there are."""
        digest = hashlib.sha256(f"{self.seed} {case} {member}".encode()).digest()
        height, width = self.shape
        size_km = ((height - 1) * self.cell_km, (width - 1) * self.cell_km)
        return self.cases[case].draw(np.random.default_rng(int.from_bytes(digest[:8], "big")), size_km, self.minutes)

    def rain_rate(self, case: str, member: int) -> Field:
        """(T, H, W) mm h-1 of a member, float32, without NaN; row 0 is north."""
        height, width = self.shape
        hours = np.arange(self.frames)[:, None, None] * self.timestep_minutes / 60
        north, east = np.arange(height)[::-1, None] * self.cell_km, np.arange(width)[None] * self.cell_km
        total = sum(cell.rain_rate(hours, east, north) for cell in self.cells(case, member))
        return np.asarray(total, dtype=np.float32)

    def _members(self, case: str) -> Field:
        return np.stack([self.rain_rate(case, member) for member in range(self.members)])

    def _write(self, path: Path, members: Field) -> None:
        first = list(self.cases).index(path.stem) * self.members
        write_events(
            path,
            enumerate(members, start=first),
            timestep_minutes=self.timestep_minutes,
            cell_km=self.cell_km,
            source=repr(self.cases[path.stem]),
            history=f"generated from seed {self.seed}, {self.members} members of {path.stem}",
        )
