"""Forecasts of other systems as they are met, through `nowcast prepare` and `nowcast evaluate`."""

import logging

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.places import difference_of_place
from tests.data.cf_files import COLUMNS, RAIN, ROWS, SECONDS, START, cf
from tests.programs import rows, run

LAST = 4  # the frame from which is forecast
TRUE = RAIN[LAST + 1 : LAST + 5]
TIME = {"values": SECONDS[LAST + 1 : LAST + 5]}
INIT = int((START + np.timedelta64(LAST * 300, "s")).astype("datetime64[s]").astype(np.int64))
LEADS = [300, 600, 900, 1200]
HELSINKI = {
    "grid_mapping_name": "lambert_azimuthal_equal_area", "latitude_of_projection_origin": 60.2,
    "longitude_of_projection_origin": 24.9, "false_easting": 0.0, "false_northing": 0.0, "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
}  # fmt: skip
OTTAWA = HELSINKI | {"latitude_of_projection_origin": 45.4, "longitude_of_projection_origin": -75.7}
METRES = {
    "x": ("projection_x_coordinate", "m", np.arange(COLUMNS) * 1000.0),
    "y": ("projection_y_coordinate", "m", np.arange(ROWS) * -1000.0),
}


def observed(folder, **options):
    cf(folder / "in" / "obs.nc", **options)
    archive = folder / "obs.nc"
    arguments = ["source=netcdf", f"input={folder / 'in'}", f"output={archive}", "workers=0"]
    assert run("prepare", *arguments) == (0, "")
    return archive


def forecast(path, values=TRUE, **options):
    return cf(path, values, **({"time": TIME, "start": SECONDS[LAST]} | options))


def evaluate(folder, archive, file):
    return run(
        "evaluate", "model=persistence", f"data.archives=[{archive}]", "data.split.method=all", "data.input_steps=3",
        "data.forecast_steps=4", "data.crop=null", "data.workers=0", f"forecasts={{theirs: '{file}'}}", "scores=basic",
        "html=false", "uncertainty.resamples=20", f"output={file.with_suffix('')}",
    )  # fmt: skip


def errors(folder):
    return [row for row in rows(folder / "f" / "errors.csv") if row["model"] == "theirs"]


@pytest.mark.parametrize(
    ("hole", "attributes"),
    [
        (np.inf, {}),
        (1e20, {"missing_value": np.float64(1e20)}),
        (1e20, {"missing_value": "1e20"}),
        (9.969209968386869e36, {}),
        (np.nan, {}),
    ],
)
def test_holes_of_a_perfect_forecast_are_missing_forecasts(tmp_path, hole, attributes):
    values = TRUE.copy()
    values[:, :4] = hole
    archive = observed(tmp_path)
    assert evaluate(tmp_path, archive, forecast(tmp_path / "f.nc", values, attributes=attributes)) == (0, "")
    as_no_rain = np.abs(np.where(np.arange(ROWS)[:, None] < 4, 0, TRUE) - TRUE).mean((1, 2))  # as the docs have it
    for row, expected in zip(errors(tmp_path)[:4], as_no_rain, strict=True):
        assert float(row["mae"]) == pytest.approx(expected, rel=1e-5)
        assert int(row["missing_forecasts"]) == 4 * COLUMNS


def test_a_value_that_no_attribute_names_is_no_rain_of_1e20(tmp_path):
    values = TRUE.copy()
    values[:, :4] = 1e20
    code, message = evaluate(tmp_path, observed(tmp_path), forecast(tmp_path / "f.nc", values))
    assert code == 1
    assert "f.nc: rain holds 1.00000002e+20 (mm h-1), which is no rain, and no attribute names it as missing" in message
    values[:, :4] = -999
    code, message = evaluate(tmp_path, tmp_path / "obs.nc", forecast(tmp_path / "g.nc", values))
    assert code == 1
    assert "g.nc: rain holds -999 mm h-1, which is no rain" in message


def test_a_zone_by_name_is_refused(tmp_path):
    time = TIME | {"units": "seconds since 2020-06-01 00:00:00 CEST"}
    code, message = evaluate(tmp_path, observed(tmp_path), forecast(tmp_path / "f.nc", time=time))
    assert code == 1
    assert "zone 'CEST' is not unambiguous" in message
    assert "mend the file (time_units=seconds since 2020-06-01 00:00:00 +02:00)" in message
    again = TIME | {"units": "seconds since 2020-06-01 02:00:00 +02:00"}
    assert evaluate(tmp_path, tmp_path / "obs.nc", forecast(tmp_path / "g.nc", time=again)) == (0, "")


def turned(**options):
    axes = {"x": (*METRES["x"][:2], METRES["x"][2][::-1]), "y": METRES["y"]}
    return {"values": TRUE[:, :, ::-1], "axes": axes} | options


PACKED = {"scale_factor": 0.001, "add_offset": 16.0}
AS_MET = {
    "mm h**-1": {"attributes": {"units": "mm h**-1"}},
    "kg m-2 h-1": {"attributes": {"units": "kg m-2 h-1"}},
    "mm d-1": {"values": TRUE * 24, "attributes": {"units": "mm d-1"}},
    "falling x": turned(),
    "x before y": {"values": TRUE.transpose(0, 2, 1), "dims": ("time", "x", "y")},
    "packed": {"values": np.round((TRUE - 16) / 0.001).astype("i2"), "fill": np.int16(-32768), "attributes": PACKED},
    "in a group": {"group": "forecast"},
    "unsigned": {
        "values": np.round(TRUE * 10).astype("u1").view("i1"),
        "attributes": {"scale_factor": 0.1, "_Unsigned": "true"},
    },
    "a height of one": {"values": TRUE[:, None], "dims": ("time", "height", "y", "x")},
    "in kilometres": {"axes": {axis: (name, "km", where / 1000) for axis, (name, _, where) in METRES.items()}},
}


@pytest.mark.parametrize("options", AS_MET.values(), ids=AS_MET.keys())
def test_what_prepare_reads_is_read_here_too(tmp_path, options):
    """The same file goes through `prepare` and the reader of forecasts, with the same result."""
    path = forecast(tmp_path / "in" / "f.nc", **options)
    archive = tmp_path / "a.nc"
    assert run("prepare", "source=netcdf", f"input={path}", f"output={archive}", "workers=0") == (0, "")
    prepared = Archive(archive).read(slice(None), slice(None), slice(None))
    files = ForecastFiles([str(path)])
    read = files.read(INIT, LEADS, Archive(archive).grid)[0]
    np.testing.assert_allclose(read, TRUE, atol=0.051 if path and "_Unsigned" in str(options) else 0.0006)
    np.testing.assert_allclose(read, prepared, rtol=1e-6, atol=1e-6)


def test_three_heights_are_not_guessed(tmp_path):
    path = forecast(tmp_path / "f.nc", np.stack([TRUE] * 3, 1), dims=("time", "height", "y", "x"))
    with pytest.raises(DataFormatError, match=r"axis 'height' of 3 values.* ncks -d height,0 f\.nc"):
        ForecastFiles([str(path)])


# -- place ----------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_forecast_for_ottawa_is_not_read_on_helsinkis_grid(tmp_path):
    archive = observed(tmp_path, mapping=HELSINKI)
    code, message = evaluate(tmp_path, archive, forecast(tmp_path / "f.nc", mapping=OTTAWA))
    assert code == 1
    assert "another place: its cells lie from 45.40 N 75.70 W to 45.30 N 75.51 W" in message
    assert "the windows' from 60.20 N 24.90 E to 60.10 N 25.17 E" in message
    assert evaluate(tmp_path, archive, forecast(tmp_path / "g.nc", mapping=HELSINKI)) == (0, "")


@pytest.mark.thorough
def test_one_place_in_two_projections_is_one(tmp_path):
    """Coordinates differ by a false easting, cells do not."""
    moved = {
        "x": (*METRES["x"][:2], METRES["x"][2] + 4_321_000.0),
        "y": (*METRES["y"][:2], METRES["y"][2] + 3_210_000.0),
    }
    mapping = HELSINKI | {"false_easting": 4_321_000.0, "false_northing": 3_210_000.0}
    archive = observed(tmp_path, mapping=HELSINKI)
    assert evaluate(tmp_path, archive, forecast(tmp_path / "f.nc", mapping=mapping, axes=moved)) == (0, "")
    assert all(float(row["mae"]) < 1e-6 for row in errors(tmp_path))
    mapping["false_easting"] -= 500.0  # half a cell
    code, message = evaluate(tmp_path, archive, forecast(tmp_path / "g.nc", mapping=mapping, axes=moved))
    assert code == 1
    assert "up to 0.5 km apart" in message


def test_degrees_are_compared_on_the_earth(tmp_path):
    def degrees(x):
        return {"x": ("longitude", "degrees_east", x), "y": ("latitude", "degrees_north", 50 - np.arange(ROWS) * 0.02)}

    east = 358 + np.arange(COLUMNS) * 0.02
    archive = observed(tmp_path, axes=degrees(east))
    assert evaluate(tmp_path, archive, forecast(tmp_path / "f.nc", axes=degrees(east - 360))) == (0, "")
    code, message = evaluate(tmp_path, archive, forecast(tmp_path / "g.nc", axes=degrees(east - 358)))
    assert code == 1
    assert "x has 16 cells from 0 to 0.3" in message


@pytest.mark.parametrize(
    ("ours", "theirs", "who"),
    [
        (HELSINKI, None, "the forecast"),
        (None, HELSINKI, "the archive of the windows"),
        (None, None, "the forecast and the archive of the windows"),
    ],
)
def test_without_a_projection_that_is_said(tmp_path, caplog, ours, theirs, who):
    archive = observed(tmp_path, mapping=ours)
    files = ForecastFiles([str(forecast(tmp_path / "f.nc", mapping=theirs))])
    with caplog.at_level(logging.WARNING):
        assert files.find(INIT, Archive(archive).grid) is not None
        files.find(INIT, Archive(archive).grid)
    assert [record.message.partition("no projection is named by ")[2] for record in caplog.records] == [who]


def test_a_projection_that_is_not_understood_is_not_left_out(tmp_path):
    with pytest.raises(DataFormatError, match="grid mapping projection is not understood"):
        ForecastFiles([str(forecast(tmp_path / "f.nc", mapping={"grid_mapping_name": "flat_earth"}))])


def test_the_projection_that_pysteps_writes_beside_a_mapping_without_the_earths_figure(tmp_path):
    """Its mapping lacks the ellipsoid; KNMI's is not WGS 84 to the metre, FMI's and MeteoSwiss's are farther off."""
    text = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6370997 +b=6370997 +x_0=0 +y_0=0 +units=m"
    bare = {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 0.0,
            "latitude_of_projection_origin": 90.0, "standard_parallel": 60.0, "false_easting": 0.0,
            "false_northing": 0.0}  # fmt: skip
    axes = {"x": METRES["x"], "y": (*METRES["y"][:2], METRES["y"][2] - 3.65e6)}
    path = forecast(tmp_path / "f.nc", mapping=bare, axes=axes)
    wanted = Grid(axes["x"][2], axes["y"][2], text)
    assert "km apart" in difference_of_place(ForecastFiles([str(path)]).files[INIT][0].grid, wanted)
    with netCDF4.Dataset(path, "a") as file:
        file.projection = text
    assert difference_of_place(ForecastFiles([str(path)]).files[INIT][0].grid, wanted) == ""
