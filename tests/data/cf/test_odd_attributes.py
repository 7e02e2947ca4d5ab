"""Whatever attributes hold, a CF file is read or refused in words: no error of ours, and no warning."""

import random

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.forecast_reader import ForecastFiles
from tests.conftest import thinned
from tests.data.cf_files import DEGREES, RAIN, SECONDS, cf
from tests.data.formats.readers import reader

NAMES = [
    "units",
    "standard_name",
    "axis",
    "bounds",
    "calendar",
    "coordinates",
    "grid_mapping",
    "cell_methods",
    "scale_factor",
    "add_offset",
    "missing_value",
    "valid_range",
    "valid_min",
    "valid_max",
    "_Unsigned",
    "grid_mapping_name",
    "crs_wkt",
    "spatial_ref",
    "nowcast_crs",
    "semi_major_axis",
    "latitude_of_projection_origin",
    "positive",
]
VALUES = [
    "",
    " ",
    "rain",
    "time",
    "y",
    "x",
    "time_bounds",
    "projection",
    "a/b",
    "true",
    "false",
    "1",
    "nan",
    "1e400",
    "m",
    "km",
    "degrees",
    "degrees_north",
    "degrees_east",
    "mm",
    "mm h-1",
    "dBZ",
    "mm since 2020-01-01",
    "seconds since 2020-01-01",
    "seconds since 99999-13-45",
    "seconds since 2020-01-01 99:99:99 +99:99",
    "months since 2020-01-01",
    "latitude",
    "grid_longitude",
    "time: sum (interval: 5 min)",
    "time: sum (interval: -5 furlongs)",
    "time: point",
    "\u0301\u2070",
    "X",
    "T",
    "360_day",
    "EPSG:4326",
    "EPSG:999999",
    "+proj=laea",
    "lambert_conformal_conic",
    "rotated_latitude_longitude",
    0,
    1,
    -1,
    2.5,
    0.0,
    1e300,
    -1e300,
    1e-300,
    np.nan,
    np.inf,
    np.int8(-1),
    np.uint8(255),
    np.float32(1e20),
    np.int64(-(2**63)),
    np.array([1.0, 2.0]),
    np.array([], dtype="f8"),
    np.array([5, 1, 3], dtype="i2"),
    np.array([np.nan, np.nan]),
    ["a", "b"],
    ["1", "2"],
]


def written(folder, draw):
    """A sound file, with up to four attributes of some kind somewhere."""
    dtype = draw.choice(["f4", "f8", "i2", "u1", "i1", "u2", "i4"])
    values = RAIN if dtype.startswith("f") else np.round(RAIN * 5).astype(dtype)
    options = draw.choice(
        [{}, {"mapping": {"grid_mapping_name": "latitude_longitude"}, "axes": DEGREES}, {"group": "Grid"}]
    )
    bounds = draw.choice([{}, {"bounds": np.stack([SECONDS - 300, SECONDS], 1)}])
    time = {"type": draw.choice(["f8", "f4", "i4"])} | bounds
    path = cf(folder / "a.nc", values, time=time, start=draw.choice([None, -300.0]), **options)
    with netCDF4.Dataset(path, "a") as dataset:
        inside = dataset.groups.get("Grid", dataset)
        for _ in range(draw.randrange(1, 5)):
            variable = inside.variables[draw.choice(sorted(inside.variables))]
            value = draw.choice(VALUES)
            if isinstance(value, list):
                variable.setncattr_string(draw.choice(NAMES), value)
            else:
                variable.setncattr(draw.choice(NAMES), value)
    return path


@pytest.mark.parametrize("part", thinned(range(8), fast=[0]))
def test_odd_attributes(tmp_path, part):
    outcomes = []
    for number in range(25):
        path = written(tmp_path, random.Random(1000 * part + number))
        for read in (
            reader("netcdf").read,
            reader("netcdf", "source.variable=rain", "source.period_seconds=300").read,
            of_forecast,
        ):
            try:
                read(path)
                outcomes.append("read")
            except DataFormatError as error:
                outcomes.append("refused" if str(error).startswith(f"{path}: ") else "refused without its name")
        path.unlink()
    assert {"read", "refused"} == set(outcomes)


def of_forecast(path):
    files = ForecastFiles([str(path)])
    for init, (one,) in files.files.items():
        files.read(init, one.leads[:2], one.grid)
    files._file(path).dataset.close()
