"""What was prepared, in words: for the terminal and the history of an archive."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nowcast.data.archive.limits import Limits

MOST_ABSENT = 5_000_000  # times between frames that are looked at one by one: 45 years of 5 minutes


class Counts(NamedTuple):
    """Values of a frame: below and above the physical range, no data, and all."""

    below: int = 0
    above: int = 0
    missing: int = 0
    cells: int = 0

    def by_name(self) -> dict[str, int]:
        """The same, to be summed."""
        return {"below": self.below, "above": self.above, "missing": self.missing, "cells": self.cells}


@dataclass(frozen=True)
class Entry:
    """Where the frame of one time lies."""

    time: np.datetime64
    path: Path
    index: int
    digest: bytes
    counts: Counts


@dataclass
class Report:
    """What was prepared."""

    output: Path
    files: int = 0
    frames: int = 0
    duplicates: int = 0
    below: int = 0
    above: int = 0
    missing: int = 0
    cells: int = 0
    assumptions: Counter[str] = field(default_factory=Counter)  # sentence → frames
    steps: str = ""  # see describe_steps
    choice: str = ""  # by which rule one kind of frames was kept and others were left out
    skipped: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)  # in time order
    further: list[str] = field(default_factory=list)  # what else is to be said, but not in the history

    def lines(self, limits: Limits) -> list[str]:
        """The report as text, one fact a line."""
        action = {"clip": "clipped", "mask": "set to no data"}
        lines = [
            f"{self.frames} frames from {self.files} files; {self.missing / max(self.cells, 1):.2%} no data",
            f"{self.above} values above the physical range {action[limits.above]}, "
            f"{self.below} below {action[limits.below]}",
        ]
        if self.duplicates:
            lines.append(f"{self.duplicates} identical duplicates of a time left out")
        lines += [self.steps] * bool(self.steps)
        lines += [f"assumed for {count} frames: {text}" for text, count in sorted(self.assumptions.items())]
        return lines + [self.choice] * bool(self.choice) + [f"skipped {problem}" for problem in self.skipped]

    def by_month(self) -> list[str]:
        """A table of the months that hold frames: frames, times without one, no data, and values out of range."""
        months: dict[str, Counter[str]] = {}
        for entry in self.entries:
            month = months.setdefault(str(entry.time.astype("datetime64[M]")), Counter())
            month.update(frames=1, **entry.counts.by_name())
        absent = Counter(absent_times([entry.time for entry in self.entries]).astype("datetime64[M]").astype(str))
        rows = [f"{'month':<8}{'frames':>8}{'absent':>8}{'no data':>10}{'above':>12}{'below':>12}"]
        for name, month in months.items():
            share = f"{month['missing'] / max(month['cells'], 1):.2%}"
            rows.append(
                f"{name:<8}{month['frames']:>8}{absent[name]:>8}{share:>10}{month['above']:>12}{month['below']:>12}"
            )
        return rows if months else []


def absent_times(times: Sequence[np.datetime64]) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Times at which a frame is missing, by the commonest step between rising times; none where there are too many."""
    seconds = np.asarray(times, dtype="datetime64[s]").astype(np.int64)
    none = np.empty(0, dtype="datetime64[s]")
    if len(seconds) < 2:
        return none
    steps, counts = np.unique(np.diff(seconds), return_counts=True)
    step = int(steps[counts.argmax()])
    after = np.flatnonzero(np.diff(seconds) > step)
    if int((np.diff(seconds)[after] // step).sum()) > MOST_ABSENT:
        return none
    found = [np.arange(seconds[k] + step, seconds[k + 1], step) for k in after]
    return np.concatenate([*found, none.astype(np.int64)]).astype("datetime64[s]")
