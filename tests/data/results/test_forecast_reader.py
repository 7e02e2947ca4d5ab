"""Forecasts in files as ours, pysteps and others write them."""

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from tests.data.archives import grid

INIT = np.datetime64("2024-05-01T00:10:00", "s")
SECONDS = int(INIT.astype(np.int64))
GRID = grid((4, 5))
RAIN = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def ours(path, init=INIT, rain=RAIN):
    write_forecast(path, Forecast(init, 300, rain, np.ones(GRID.shape, dtype=bool), GRID), {"title": "test"})
    return path


def theirs(path, *, units="mm h-1", title="pysteps-generated nowcast", y=None, scale=1.0, fill=None):
    """As pysteps writes: members, rows from the south, seconds since the last observation, no reference time."""
    members = np.stack([RAIN, RAIN + 100])[:, :, ::-1] * scale
    with netCDF4.Dataset(path, "w") as dataset:
        dataset.title = title
        for name, size in (("ens_number", 2), ("time", 3), ("y", 4), ("x", 5)):
            dataset.createDimension(name, size)
        for name, values, attributes in (
            ("y", GRID.y[::-1] if y is None else y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            ("x", GRID.x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            ("time", [300, 600, 900], {"units": "seconds since 2024-05-01 00:10:00"}),
            ("ens_number", [1, 2], {"standard_name": "realization"}),
        ):
            variable = dataset.createVariable(name, "f4" if name in "xy" else "i8", (name,))
            variable.setncatts(attributes)
            variable[:] = values
        rain = dataset.createVariable("precip_intensity", "f4", ("ens_number", "time", "y", "x"), fill_value=-1.0)
        rain.units = units
        rain[:] = members
        if fill is not None:
            rain[fill] = np.ma.masked
    return path


def test_our_own_forecasts(tmp_path):
    gap = RAIN.copy()
    gap[1, 2, 3] = np.nan
    ours(tmp_path / "a.nc")
    ours(tmp_path / "b.nc", INIT + np.timedelta64(5, "m"), gap)
    files = ForecastFiles([str(tmp_path / "*.nc")])
    assert sorted(files.files) == [SECONDS, SECONDS + 300]
    np.testing.assert_array_equal(files.read(SECONDS, [300, 600, 900], GRID), RAIN[None])
    np.testing.assert_array_equal(files.read(SECONDS, [900, 300], GRID), RAIN[None, [2, 0]])
    np.testing.assert_array_equal(files.read(SECONDS + 300, [600], GRID), gap[None, 1:2])


def test_our_own_ensembles(tmp_path):
    members = np.stack([RAIN, RAIN + 100])
    members[1, 0, 2, 3] = np.nan
    files = ForecastFiles([str(ours(tmp_path / "e.nc", rain=members))])
    np.testing.assert_array_equal(files.read(SECONDS, [600, 300], GRID), members[:, [1, 0]])


def test_members_southern_rows_and_missing_values_of_pysteps(tmp_path):
    files = ForecastFiles([str(theirs(tmp_path / "p.nc", fill=(0, 0, 0, 0)))])
    read = files.read(SECONDS, [300, 600, 900], GRID)
    expected = np.stack([RAIN, RAIN + 100])
    expected[0, 0, 3, 0] = np.nan  # row 0 in the file is the southernmost
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(("units", "factor"), [("kg m-2 s-1", 3600.0), ("m s-1", 3.6e6), ("mm/h", 1.0)])
def test_units_become_mm_per_hour(tmp_path, units, factor):
    files = ForecastFiles([str(theirs(tmp_path / "p.nc", units=units, scale=1 / factor))])
    np.testing.assert_allclose(files.read(SECONDS, [300], GRID)[0, 0], RAIN[0], rtol=1e-6)


def test_many_forecasts_in_one_file(tmp_path):
    path = tmp_path / "many.nc"
    with netCDF4.Dataset(path, "w") as dataset:
        for name, size in (("y", 4), ("x", 5), ("init_time", 2), ("lead_time", 3)):
            dataset.createDimension(name, size)
        for name, values, units in (
            ("y", GRID.y / 1000, "km"), ("x", GRID.x / 1000, "km"), ("lead_time", [5.0, 10.0, 15.0], "minutes"),
            ("init_time", [10, 20], "minutes since 2024-05-01"),
        ):  # fmt: skip
            variable = dataset.createVariable(name, "f8", (name,))
            variable.units = units
            variable[:] = values
        rain = dataset.createVariable("rain", "f4", ("y", "x", "init_time", "lead_time"))
        rain.setncatts({"standard_name": "rainfall_rate", "units": "mm h-1"})
        rain[:] = np.stack([RAIN, RAIN + 7]).transpose(2, 3, 0, 1)
    files = ForecastFiles([str(path)])
    np.testing.assert_array_equal(files.read(SECONDS + 600, [300, 600, 900], GRID), (RAIN + 7)[None])


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no forecast file matches"):
        ForecastFiles([str(tmp_path / "*.nc")])
    (tmp_path / "no.nc").write_bytes(b"nothing")
    with pytest.raises(DataFormatError, match="not a netCDF file"):
        ForecastFiles([str(tmp_path / "no.nc")])
    with pytest.raises(DataFormatError, match="forecast_reference_time"):
        ForecastFiles([str(theirs(tmp_path / "t.nc", title="made elsewhere"))])
    files = ForecastFiles([str(theirs(tmp_path / "p.nc"))])
    with pytest.raises(DataFormatError, match=r"no lead time of 20 min; it has 5, 10, 15"):
        files.read(SECONDS, [300, 1200], GRID)
    with pytest.raises(DataFormatError, match=r"y has 4 cells .* the windows have 6"):
        files.read(SECONDS, [300], grid((6, 5)))
    shifted = ForecastFiles([str(theirs(tmp_path / "s.nc", y=GRID.y[::-1] + 500.0))])
    with pytest.raises(DataFormatError, match="bring the forecasts to that grid"):
        shifted.read(SECONDS, [300], GRID)
    with pytest.raises(DataFormatError, match="one field of rain rate"):
        ForecastFiles([str(theirs(tmp_path / "u.nc", units="dBZ"))]).read(SECONDS, [300], GRID)
    ours(tmp_path / "same.nc")
    with pytest.raises(DataFormatError, match=r"holds the forecast from 2024-05-01T00:10:00 UTC"):
        ForecastFiles([str(tmp_path / "p.nc"), str(tmp_path / "same.nc")])
