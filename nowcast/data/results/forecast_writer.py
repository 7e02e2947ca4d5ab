"""Forecasts as CF-1.11 netCDF files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import EPOCH
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.writer import write_grid
from nowcast.files import written_whole
from nowcast.units import Quantity


@dataclass(frozen=True, eq=False)
class Forecast:
    """One forecast.

    Args:
        init_time: UTC datetime64[s] of the last input frame.
        step_seconds: Seconds between lead times; the first is one step after init_time.
        rain_rate: (T, H, W), or (M, T, H, W) of an ensemble, float32 mm h-1, NaN = no forecast.
        coverage: (H, W) bool, True where the last input frame held data.
        grid: Cells, row 0 north.
    """

    init_time: np.datetime64
    step_seconds: int
    rain_rate: NDArray[np.float32]
    coverage: NDArray[np.bool_]
    grid: Grid


def write_forecast(path: Path, forecast: Forecast, attributes: Mapping[str, str]) -> None:
    """Write a forecast under a temporary name, then rename it.

    Raises:
        FileExistsError: `path` exists.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; remove it or choose another output=")
    with written_whole(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"Conventions": "CF-1.11", **attributes})
        _fill(dataset, forecast)


def _fill(dataset: netCDF4.Dataset, forecast: Forecast) -> None:
    *members, count = forecast.rain_rate.shape[:-2]
    steps = np.arange(1, count + 1) * forecast.step_seconds
    start = int(forecast.init_time.astype("datetime64[s]").astype(np.int64))
    write_grid(dataset, forecast.grid)
    dataset.createDimension("time", len(steps))
    times: dict[str, tuple[str | None, Any, dict[str, str]]] = {
        "time": ("time", start + steps, {"standard_name": "time", "units": EPOCH, "axis": "T"}),
        "forecast_reference_time": (
            None,
            np.int64(start),
            {"standard_name": "forecast_reference_time", "units": EPOCH},
        ),
        "forecast_period": ("time", steps, {"standard_name": "forecast_period", "units": "s"}),
    }
    for name, (dimension, values, attributes) in times.items():
        variable = dataset.createVariable(name, "i8", (dimension,) if dimension else ())
        variable.setncatts(attributes | ({"calendar": "standard"} if attributes["units"] == EPOCH else {}))
        variable[...] = values
    if members:
        dataset.createDimension("realization", members[0])
        variable = dataset.createVariable("realization", "i4", ("realization",))
        variable.setncatts({"standard_name": "realization", "units": "1"})
        variable[:] = np.arange(members[0])
    quantity = Quantity.RAIN_RATE
    axes = (*(["realization"] if members else []), "time", "y", "x")
    rain = dataset.createVariable(quantity.value, "f4", axes, compression="zstd", fill_value=np.float32(np.nan))
    rain.setncatts(
        {
            "standard_name": quantity.standard_name,
            "long_name": "forecast rain rate",
            "units": quantity.units,
            "grid_mapping": "crs",
            "coordinates": "forecast_reference_time forecast_period",
            "ancillary_variables": "mask",
        }
    )
    rain[:] = forecast.rain_rate
    mask = dataset.createVariable("mask", "i1", ("y", "x"), compression="zstd")
    mask.setncatts(
        {
            "long_name": "radar coverage of the last input frame",
            "flag_values": np.array([0, 1], dtype=np.int8),
            "flag_meanings": "no_data covered",
            "grid_mapping": "crs",
        }
    )
    mask[:] = forecast.coverage.astype(np.int8)
