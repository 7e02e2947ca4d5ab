"""The importer that pysteps finds by its entry point, without pysteps; with it: tests/forecasting/test_pysteps.py."""

import importlib
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from nowcast.data.results.places import difference_of_place
from nowcast.data.results.probabilities import Probabilities
from nowcast.data.results.pysteps_importer import import_nowcast_netcdf
from tests.data.archives import grid

INIT = np.datetime64("2024-05-01T00:10:00", "s")
RAIN = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5) / 7
RAIN[1, 2, 3] = np.nan
KNOWN = np.ones((4, 5), dtype=bool)


def ours(path, rain=RAIN, where=None, probabilities=None):
    forecast = Forecast(INIT, 300, rain, KNOWN, where or grid((4, 5)), probabilities)
    write_forecast(path, forecast, {"title": "made by a test"})
    return path


def test_values_rows_and_missing_values_are_those_of_the_file(tmp_path):
    rain, quality, metadata = import_nowcast_netcdf(str(ours(tmp_path / "f.nc")))
    np.testing.assert_array_equal(rain, RAIN)
    assert rain.dtype == np.float32
    assert quality is None
    assert metadata["yorigin"] == "upper"  # row 0 is the northernmost in both


def test_metadata_are_pysteps_own_words(tmp_path):
    where = grid((4, 5), cell=2000.0)
    _, _, metadata = import_nowcast_netcdf(ours(tmp_path / "f.nc", where=where))
    projection = metadata.pop("projection")
    assert projection.startswith("+proj=laea ")
    assert difference_of_place(replace(where, crs=projection), where) == ""
    assert metadata.pop("leadtimes").tolist() == [5, 10, 15]
    assert metadata.pop("timestamps").tolist() == [datetime(2024, 5, 1, 0, minute) for minute in (15, 20, 25)]
    assert metadata == {
        "x1": -1000.0, "x2": 9000.0, "y1": -1000.0, "y2": 7000.0, "xpixelsize": 2000.0, "ypixelsize": 2000.0,
        "cartesian_unit": "m", "yorigin": "upper", "unit": "mm/h", "transform": None, "threshold": 0.1,
        "zerovalue": 0.0, "timestep": 5.0, "accutime": 5.0, "issuetime": datetime(2024, 5, 1, 0, 10),
        "institution": "made by a test",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("crs", "unit"), [("EPSG:4326", "degrees"), ("+proj=stere +lat_0=90 +lat_ts=60", "m"), ("", None)]
)
def test_degrees_and_grids_without_a_projection(tmp_path, crs, unit):
    where = Grid(np.arange(5) * 0.5, 50 - np.arange(4) * 0.25, crs)
    _, _, metadata = import_nowcast_netcdf(ours(tmp_path / "f.nc", where=where))
    assert metadata["cartesian_unit"] == unit
    assert (metadata["projection"] is None) == (not crs)
    assert (metadata["x1"], metadata["x2"], metadata["y1"], metadata["y2"]) == (-0.25, 2.25, 49.125, 50.125)
    assert (metadata["xpixelsize"], metadata["ypixelsize"]) == (0.5, 0.25)


def test_one_lead_time_is_a_field_as_of_a_radar(tmp_path):
    path = ours(tmp_path / "f.nc")
    rain, _, metadata = import_nowcast_netcdf(path, lead_time=10)
    np.testing.assert_array_equal(rain, RAIN[1])
    assert metadata["leadtimes"].tolist() == [10]
    assert metadata["accutime"] == 5
    with pytest.raises(DataFormatError, match=r"f\.nc: has no lead_time=7\.5 \(minutes\); it has 5, 10, 15"):
        import_nowcast_netcdf(path, lead_time=7.5)


def test_an_ensemble_keeps_its_members(tmp_path):
    members = np.stack([RAIN, RAIN + 100])
    path = ours(tmp_path / "f.nc", members)
    np.testing.assert_array_equal(import_nowcast_netcdf(path)[0], members)
    np.testing.assert_array_equal(import_nowcast_netcdf(path, lead_time=15)[0], members[:, 2])


def test_of_a_forecast_of_probabilities_the_rain_rate_is_read(tmp_path):
    values = np.full((3, 2, 4, 5), 0.75, dtype=np.float32)
    path = ours(tmp_path / "f.nc", probabilities=Probabilities(values, (0.5, 2.0)))
    np.testing.assert_array_equal(import_nowcast_netcdf(path)[0], RAIN)


def test_what_is_no_forecast_is_refused(tmp_path):
    with pytest.raises(DataFormatError, match=r"none\.nc: not a netCDF file"):
        import_nowcast_netcdf(tmp_path / "none.nc")
    with netCDF4.Dataset(tmp_path / "empty.nc", "w"):
        pass
    with pytest.raises(DataFormatError, match=r"empty\.nc: a forecast file has one field of rain rate"):
        import_nowcast_netcdf(tmp_path / "empty.nc")
    with pytest.raises(TypeError, match="leadtime"):
        import_nowcast_netcdf(tmp_path / "none.nc", leadtime=5)


def test_the_entry_point_names_the_importer():
    root = Path(__file__).parents[3]
    entries = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    ((name, value),) = entries["pysteps.plugins.importers"].items()
    module, function = value.split(":")
    assert getattr(importlib.import_module(module), function) is import_nowcast_netcdf
    assert function == f"import_{name}"  # pysteps goes by the function's name


def test_pysteps_loads_little_with_it():
    """`import pysteps` imports it, for everybody in whose environment nowcast is installed."""
    look = (
        "import sys, nowcast.data.results.pysteps_importer; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    slow = {"torch", "lightning", "hydra", "omegaconf", "matplotlib", "cv2", "scipy", "xarray", "pandas", "wandb"}
    assert not slow & set(loaded)


def test_pysteps_can_fill_in_its_own_keywords():
    """It formats the docstring, in which a brace would end its import."""
    assert import_nowcast_netcdf.__doc__.format() == import_nowcast_netcdf.__doc__
