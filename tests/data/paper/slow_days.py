"""Days that take a while to be made, in a module that is imported quickly: processes of their own make them."""

import time
from dataclasses import dataclass

import numpy as np

from nowcast.data.paper.days import Day
from tests.data.paper.hko_tree import archives


@dataclass(frozen=True)
class SlowDays:
    """Two days whose frames take a while."""

    cell_km = 1.0
    provider = licence = "test"

    def fingerprint(self):
        return "days"

    def days(self):
        times = np.datetime64("2024-05-01", "s") + np.arange(20) * np.timedelta64(360, "s")
        return [Day(name, times, self.frames, name) for name in ("a", "b")]

    def frames(self):
        for k in range(20):
            time.sleep(0.03)
            yield np.full((12, 12), k / 20, dtype=np.float32)


def make(start, folder, answers):
    source = archives(SlowDays(), folder)
    start.wait(timeout=120)
    try:
        answers.put([str(path) for path in source.paths()])
    except Exception as error:  # the test shows what
        answers.put(repr(error))
