"""Cases to draw."""

import numpy as np

from nowcast.report.plots.maps import Case


def case(steps=4, shape=(20, 24), **changes):
    draw = np.random.default_rng(0)
    observed = np.where(draw.random((steps, *shape)) < 0.5, 0, 20 * draw.random((steps, *shape))).astype(np.float32)
    observed[:, :4] = np.nan
    fields = {
        "observed": observed,
        "forecasts": {"persistence": observed[:1].repeat(steps, 0), "convlstm": observed * 0.5},
        "inputs": observed[:3],
        "init_time": np.datetime64("2024-05-01T12:00:00", "s"),
        "timestep_minutes": 5.0,
        "cell_km": 2.0,
        "title": "a test",
    }
    return Case(**(fields | changes))


def alone(*values, **changes):
    """A case of one uniform map per lead time, without inputs and scale bar."""
    field = np.stack([np.full((8, 8), value, dtype=np.float32) for value in values])
    return case(**({"observed": field, "forecasts": {}, "inputs": None, "cell_km": None} | changes))
