"""Axes and grids of CF files as they are met, through `nowcast prepare`: right, or refused with what to type."""

import netCDF4
import numpy as np

from tests.data.cf.preparing import attempt, prepare, typed
from tests.data.cf_files import DEGREES, LAT, LON, RAIN, SECONDS, cf


def lonlat(x=LON, y=LAT):
    return {"x": (*DEGREES["x"][:2], x), "y": (*DEGREES["y"][:2], y)}


def test_axes_in_another_order(tmp_path):
    axes = {"lon": DEGREES["x"], "lat": DEGREES["y"]}
    archive, rain = prepare(cf(tmp_path / "a.nc", RAIN.transpose(0, 2, 1), dims=("time", "lon", "lat"), axes=axes))
    np.testing.assert_array_equal(rain, RAIN)
    np.testing.assert_allclose(archive.grid.y, LAT)
    np.testing.assert_allclose(archive.grid.x, LON)


def test_time_last_and_both_axes_turned(tmp_path):
    axes = {
        "x": ("projection_x_coordinate", "km", -np.arange(16.0)),
        "y": ("projection_y_coordinate", "km", np.arange(12.0)),
    }
    values = RAIN[:, ::-1, ::-1].transpose(1, 2, 0)
    archive, rain = prepare(cf(tmp_path / "a.nc", values, dims=("y", "x", "time"), axes=axes))
    np.testing.assert_array_equal(rain, RAIN)
    assert (archive.grid.x[0], archive.grid.y[0]) == (-15000, 11000)


def test_one_time_that_comes_last_and_bounds_of_coordinates(tmp_path):
    path = cf(tmp_path / "a.nc", RAIN[:1].transpose(1, 2, 0), dims=("y", "x", "time"), time={"values": SECONDS[:1]})
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("corners", 2)
        edges = file.createVariable("y_bounds", "f8", ("y", "corners"))
        edges.units, file["y"].bounds = "m", "y_bounds"  # as many metres as an amount of rain could be
        edges[:] = file["y"][:][:, None] + [500, -500]
    _, rain = prepare(path)
    np.testing.assert_array_equal(rain, RAIN[:1])


def test_358_degrees_and_minus_2_are_one_place(tmp_path):
    (east, _), (west, _) = (
        prepare(cf(tmp_path / name / "a.nc", axes=lonlat(first + np.arange(16) * 0.02)))
        for name, first in (("east", 358), ("west", -2))
    )
    np.testing.assert_allclose(east.grid.x, -2 + np.arange(16) * 0.02, atol=1e-9)
    assert east.grid.same_as(west.grid)


def test_longitudes_through_greenwich_and_the_date_line(tmp_path):
    archive, rain = prepare(cf(tmp_path / "a.nc", axes=lonlat((359.8 + np.arange(16) * 0.05) % 360)))
    np.testing.assert_allclose(archive.grid.x, -0.2 + np.arange(16) * 0.05, atol=1e-9)
    np.testing.assert_array_equal(rain, RAIN)
    archive, rain = prepare(cf(tmp_path / "a.nc", axes=lonlat((179.8 + np.arange(16) * 0.05 + 180) % 360 - 180)))
    np.testing.assert_allclose(np.diff(archive.grid.x), 0.05)
    np.testing.assert_array_equal(rain, RAIN)


def test_degrees_without_a_unit(tmp_path):
    axes = {"x": ("longitude", None, LON), "y": ("latitude", None, LAT)}
    archive, _ = prepare(cf(tmp_path / "a.nc", axes=axes))
    assert archive.grid.crs == "EPSG:4326"
    assert "coordinate x has no unit: degrees, as it is called longitude" in archive.attributes["history"]


def test_coordinates_that_say_nothing(tmp_path):
    path = cf(tmp_path / "a.nc", axes={"x": (None, None, LON), "y": (None, None, LAT)})
    _, message = attempt(path)
    assert "has no unit, and its values 50, 49.98, … are hardly metres" in message
    archive, _ = prepare(path, *typed(message))
    assert archive.grid.crs == "EPSG:4326"
    archive, _ = prepare(cf(tmp_path / "a.nc", axes={"x": (None, None, LON * 1e4), "y": (None, None, LAT * 1e4)}))
    assert "coordinate x has no unit: metres" in archive.attributes["history"]
    assert "where on earth it lies is not known" in archive.attributes["history"]


def test_an_axis_that_contradicts_itself_is_refused(tmp_path):
    axes = {"x": ("longitude", "degrees_north", LON), "y": DEGREES["y"]}
    _, message = attempt(cf(tmp_path / "a.nc", axes=axes))
    assert "coordinate x contradicts itself" in message


def test_heights_are_chosen(tmp_path):
    heights = ("height", "m", np.array([500.0, 1000.0, 2000.0]))
    values = np.stack([RAIN, RAIN / 2, RAIN / 4], axis=1)
    metres = {
        "x": ("projection_x_coordinate", "m", np.arange(16) * 1e3),
        "y": ("projection_y_coordinate", "m", -np.arange(12) * 1e3),
    }
    path = cf(tmp_path / "a.nc", values, dims=("time", "height", "y", "x"), axes=metres | {"height": heights})
    _, message = attempt(path)
    assert "axis height of 3 (0 = 500 m, 1 = 1000 m, 2 = 2000 m)" in message
    assert typed(message) == ["source.select={height:0}"]
    _, rain = prepare(path, *typed(message))
    np.testing.assert_array_equal(rain, RAIN)
    _, rain = prepare(path, "source.select={height:2}")
    np.testing.assert_array_equal(rain, RAIN / 4)
    assert "source.select.height=3: it has 3" in attempt(path, "source.select={height:3}")[1]
    assert "source.select names level" in attempt(path, "source.select={level:0}")[1]
    _, rain = prepare(cf(tmp_path / "b" / "a.nc", RAIN[:, None], dims=("time", "height", "y", "x")))
    np.testing.assert_array_equal(rain, RAIN)


def test_rain_in_a_group(tmp_path):
    _, rain = prepare(cf(tmp_path / "a.nc", group="Grid"))
    np.testing.assert_array_equal(rain, RAIN)
    path = cf(tmp_path / "b.nc", group="Grid", extra=["snow"])
    _, message = attempt(path)
    assert "2 variables could be rain (by unit: Grid/rain, Grid/snow" in message
    _, rain = prepare(path, *typed(message))
    np.testing.assert_array_equal(rain, RAIN)
    _, rain = prepare(path, "source.variable=rain")
    np.testing.assert_array_equal(rain, RAIN)


ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def test_archives_on_a_rotated_pole_do_not_call_their_axes_longitude_and_latitude(tmp_path):
    axes = {"rlon": ("grid_longitude", "degrees", LON - 5), "rlat": ("grid_latitude", "degrees", LAT - 50)}
    archive, _ = prepare(cf(tmp_path / "a.nc", dims=("time", "rlat", "rlon"), axes=axes, mapping=ROTATED))
    with netCDF4.Dataset(archive.path) as written:
        assert [written[name].standard_name for name in "xy"] == ["grid_longitude", "grid_latitude"]
        assert [written[name].units for name in "xy"] == ["degrees", "degrees"]
        assert written["crs"].grid_mapping_name == "rotated_latitude_longitude"
    again, _ = prepare(archive.path.rename(tmp_path / "in.nc"), "source.variable=rain_rate")
    assert again.grid.same_as(archive.grid)
    _, message = attempt(cf(tmp_path / "a.nc", dims=("time", "rlat", "rlon"), axes=axes))
    assert "on a rotated pole, and rain has no grid_mapping" in message


LAEA = {
    "grid_mapping_name": "lambert_azimuthal_equal_area", "latitude_of_projection_origin": 50.0,
    "longitude_of_projection_origin": 10.0, "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
}  # fmt: skip


def test_degrees_with_a_grid_mapping_in_metres_are_refused(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", axes=lonlat(), mapping=LAEA))
    assert "y and x are in degrees, the grid_mapping of rain is of another kind" in message


def test_a_projection_that_counts_in_kilometres_is_read_in_metres(tmp_path):
    import pyproj

    kilometres = pyproj.CRS.from_user_input("+proj=laea +lat_0=50 +lon_0=10 +x_0=200000 +units=km +ellps=WGS84")
    axes = {
        "x": ("projection_x_coordinate", "km", np.arange(16.0)),
        "y": ("projection_y_coordinate", "km", -np.arange(12.0)),
    }
    archive, _ = prepare(cf(tmp_path / "a.nc", axes=axes, mapping={"crs_wkt": kilometres.to_wkt()}))
    ours, theirs = (
        pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True) for crs in (archive.grid.crs, kilometres)
    )
    np.testing.assert_allclose(ours.transform(archive.grid.x[-1], archive.grid.y[-1]), theirs.transform(15, -11))
