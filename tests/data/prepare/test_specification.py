"""What mlcast's source-data specification 0.3.0 asks of a store, looked at with xarray as its validator does."""

from dataclasses import dataclass

import numpy as np
import pyproj
import pytest
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from nowcast.data.archive.frame import Frame, Grid, Packing
from nowcast.data.prepare.specification import lacking, spdx_of
from nowcast.units import ZR, Quantity
from tests.data.archives import frame
from tests.data.prepare.stores import prepare

ASKED = {
    "license": "open data of Somebody (CC BY-SA 4.0)",
    "mlcast_created_by": "A Person <a@person.org>",
    "mlcast_created_with": "https://github.com/mlcast-community/mlcast-dataset-who-what@v0.1.0",
    "mlcast_dataset_version": "0.1.0",
    "mlcast_dataset_identifier": "NL-KNMI-precipitation",
}
START_LATER = {"consistent_timestep_start": "2020-01-01T00:05:00Z"}
HOURS = (0, 1, 2, 4, 3 * 8766 + 18)
GRID = Grid(4e6 + 1000.0 * np.arange(256), 3e6 - 1000.0 * np.arange(300), "EPSG:3035")
CF_RULES = {  # section 4.4, copied from the rules by hand
    "precipitation_flux": ({"tprate", "prate"}, "kg m-2 h-1"),
    "precipitation_amount": ({"rainfall_amount", "mm", "precipitation_amount", "tp"}, "kg m-2"),
    "equivalent_reflectivity_factor": ({"equivalent_reflectivity_factor", "dbz", "rare"}, "dBZ"),
}
KINDS = {
    "rate": {},
    "amount": {"quantity": Quantity.RAIN_AMOUNT, "period": 300.0, "packing": Packing(0.01, 0.0)},
    "dBZ": {
        "quantity": Quantity.REFLECTIVITY, "no_echo": -32.0, "zr": ZR(223.0, 1.53), "packing": Packing(0.5, -32.0),
    },
    "floats": {"packing": None},
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A reader of frames that are made up; the name of a file says their hour."""

    kind: str
    pattern: str = "*.txt"
    provider: str = "Somebody"
    licence: str = "open data"

    def read(self, path) -> list[Frame]:
        values = np.full(GRID.shape, 0.1 * len(path.stem), dtype=np.float32)
        values[:3] = np.nan
        return [frame(60 * int(path.stem), values, grid=GRID, **KINDS[self.kind])]


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for hour in HOURS:
        (folder / "in" / f"{hour}.txt").touch()
    return prepare(folder, source=Made(request.param), attributes=ASKED)


@pytest.fixture
def dataset(made):
    with xr.open_zarr(made[0].path, chunks={}) as dataset:
        yield dataset


@pytest.fixture
def field(dataset):
    """The only variable beside the grid mapping: the validator takes every other for a field."""
    (name,) = [name for name in dataset.data_vars if name != "crs"]
    return dataset[name]


def test_nothing_is_lacking(made):
    archive, report = made
    assert report.further == []
    assert archive.attributes["mlcast_dataset_validator_version"] == "0.4.0"


def test_coordinates(dataset):  # 3.1
    for name, standard, units, axis in (
        ("x", "projection_x_coordinate", "m", "X"),
        ("y", "projection_y_coordinate", "m", "Y"),
        ("lat", "latitude", "degrees_north", None),
        ("lon", "longitude", "degrees_east", None),
    ):
        said = dataset.coords[name].attrs
        assert (said["standard_name"], said["units"], said.get("axis")) == (standard, units, axis)
    assert dataset.coords["time"].attrs["standard_name"] == "time"


def test_times(dataset):  # 3.3: every absent time of the regular axis is listed, and none that is there
    times = dataset["time"].values.astype("M8[s]")
    assert (np.diff(times) > np.timedelta64(0)).all()
    expected = np.arange(times[0], times[-1] + 1, np.diff(times).min())
    assert np.array_equal(dataset["missing_times"].values.astype("M8[s]"), np.setdiff1d(expected, times))
    # 5.1, which the validator asks of every axis with absent times
    assert np.datetime64(dataset.attrs["consistent_timestep_start"]) == times[0]
    assert (times[-1] - times[0]).astype("m8[D]").astype(int) / 365.25 >= 3


def test_chunks_compression_and_type(made, field):  # 4.1 to 4.3
    assert field.dims == ("time", "y", "x")
    assert field.dtype == np.float32
    assert set(field.chunks[0]) == {1}
    assert [len(sizes) for sizes in field.chunks[1:]] == [1, 1]
    array = zarr.open_array(made[0].path / field.name, mode="r")
    assert (array.chunks, array.shards) == ((1, 300, 256), (4, 300, 256))
    assert [type(codec) for codec in array.compressors] == [ZstdCodec]


def test_names_and_units(field):  # 4.4
    names, unit = CF_RULES[field.attrs["standard_name"]]
    assert field.name in names
    assert field.attrs["units"] == unit
    assert field.attrs["long_name"]


def test_projection_in_two_ways_and_the_places_that_it_gives(dataset, field):  # 4.5
    said = dict(dataset[field.attrs["grid_mapping"]].attrs)
    assert said["spatial_ref"] == said["crs_wkt"]
    parameters = {key: value for key, value in said.items() if key not in ("spatial_ref", "crs_wkt")}
    x, y = np.meshgrid(dataset["x"].values, dataset["y"].values)
    for crs in (pyproj.CRS.from_wkt(said["crs_wkt"]), pyproj.CRS.from_cf(parameters)):
        lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
        assert np.abs(lon - dataset["lon"].values).max() < 1e-4
        assert np.abs(lat - dataset["lat"].values).max() < 1e-4


def test_global_attributes(dataset):  # 5
    said = dataset.attrs
    assert (said["license"], said["license_text"]) == ("CC-BY-SA-4.0", ASKED["license"])
    assert np.datetime64(said["mlcast_created_on"].removesuffix("Z")) > np.datetime64("2024-01-01")
    assert {key: said[key] for key in ASKED if key != "license"} == {
        key: value for key, value in ASKED.items() if key != "license"
    }
    assert "Somebody" in said["attribution"]
    assert "5 frames from 5 files" in said["history"]


def test_what_is_lacking_is_said():
    first = frame(0, np.zeros((300, 256)), grid=GRID)
    times = [np.datetime64(f"2020-01-01T00:{minute:02}:00") for minute in (0, 5, 12)]
    said = lacking(first, times, {"license": "free"}, (4, 300, 256))
    for words in (
        "0 years, it wants 3",
        "time steps that vary",
        "4 x 300 x 256",
        "'free' is no SPDX",
        "mlcast_created_by is",
    ):
        assert sum(words in line for line in said) == 1, (words, said)
    assert not [line for line in lacking(first, times, ASKED | START_LATER, (4, 300, 256)) if "vary" in line]
    for grid, words in (
        (Grid(GRID.x, GRID.y[:255], "EPSG:3035"), "255 x 256 cells"),
        (Grid(2 * GRID.x, 2 * GRID.y, "EPSG:3035"), "cells of 2000 m"),
        (Grid(np.arange(256) * 0.01, 60 - np.arange(300) * 0.01, "EPSG:4326"), "in degrees"),
        (Grid(GRID.x, GRID.y, ""), "projection of the grid is not known"),
    ):
        found = lacking(frame(0, np.zeros(grid.shape), grid=grid), times, ASKED, (1, *grid.shape))
        assert any(words in line for line in found), (words, found)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("KNMI open data policy (CC BY 4.0)", "CC-BY-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-3.0"),
        ("Crown copyright", ""),
        ("US Government work, public domain", ""),
    ],
)
def test_licences(text, identifier):
    assert spdx_of(text) == identifier
