"""Forecast files of other systems, read without a line of the program."""

from dataclasses import dataclass

import netCDF4
import numpy as np

from tests.oracle.windows import Place

FACTORS = {"mm h-1": 1.0, "mm/h": 1.0, "kg m-2 s-1": 3600.0, "m s-1": 3.6e6}
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass
class Forecast:
    """One forecast of a system: members × lead times, row 0 north."""

    place: Place
    init: int
    by_time: dict  # valid time → (M, H, W) float32


def read_forecasts(path):
    """All forecasts of a file that write_forecasts of writing.py wrote."""
    with netCDF4.Dataset(path) as file:
        rain = file["rain"]
        values = np.ma.filled(rain[:].astype(np.float64), np.nan) * FACTORS[rain.units]
        axes = ["init" if name == "reference" else name for name in rain.dimensions]
        for name in ("member", "init"):
            if name not in axes:
                values, axes = values[None], [name, *axes]
        time_axis = "lead" if "lead" in axes else "time"
        values = values.transpose([axes.index(name) for name in ("init", "member", time_axis, "y", "x")])
        y = np.ma.getdata(file["y"][:])
        if y[0] < y[-1]:
            y, values = y[::-1], values[..., ::-1, :]
        place = Place("", {}, file.oracle_crs, y, np.ma.getdata(file["x"][:]))
        unit, _, epoch = file["reference"].units.partition(" since ")
        start = int(np.datetime64(epoch.replace(" ", "T"), "s").astype(np.int64))
        inits = [start + round(float(value) * SECONDS[unit]) for value in np.atleast_1d(file["reference"][:])]
        unit = file[time_axis].units.partition(" since ")[0]
        leads = [round(float(value) * SECONDS[unit]) for value in file[time_axis][:]]
        if time_axis == "time":
            leads = [start + lead - inits[0] for lead in leads]
        return [
            Forecast(place, init, {init + lead: one[:, k].astype(np.float32) for k, lead in enumerate(leads)})
            for init, one in zip(inits, values, strict=True)
        ]


def single(members):
    """(H, W) mean of (M, H, W) members, of which a missing one is no rain; and where one is missing."""
    missing = np.isnan(members)
    return np.where(missing, 0.0, members.astype(np.float64)).mean(axis=0).astype(np.float32), missing.any(axis=0)
