"""Small archives for tests."""

import numpy as np

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.units import Quantity

START = np.datetime64("2024-05-01T00:00:00", "s")


def grid(shape=(8, 10), cell=1000.0):
    rows, columns = shape
    return Grid(np.arange(columns) * cell, np.arange(rows)[::-1] * cell, "EPSG:3035")


def frame(minutes, values=None, **changes):
    """A frame `minutes` after START; its rain is constant unless values are given."""
    values = np.full((8, 10), 1.0, dtype=np.float32) if values is None else np.asarray(values, dtype=np.float32)
    fields = {
        "time": START + np.timedelta64(round(minutes * 60), "s"),
        "quantity": Quantity.RAIN_RATE,
        "values": values,
        "grid": grid(values.shape),
        "packing": Packing(0.1, 0.0),
    }
    return Frame(**(fields | changes))


def write(path, frames):
    with ArchiveWriter(path, frames[0], {"title": "test", "institution": "test", "license": "none"}) as writer:
        for one in frames:
            writer.append(one)
        writer.finish("made by a test")
    return path


def moving_rain(path, frames=40, shape=(32, 40), step=5, seed=0, skip=(), start=0.0):
    """An archive of a wet square that moves one cell to the right per frame, on weak drizzle."""
    draw = np.random.default_rng(seed)
    background = (draw.random(shape) < 0.2) * 0.2
    result = []
    for k in range(frames):
        values = background.copy()
        left = (k + seed) % shape[1]
        values[8:20, left : left + 8] = 5.0
        if k not in skip:
            result.append(frame(start + k * step, values, grid=grid(shape)))
    return write(path, result)
