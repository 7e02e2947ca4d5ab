"""CF files as they are met, through `nowcast prepare`: right, or refused with what to type, which works."""

import re
import shlex

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from tests.data.cf_files import DEGREES, FRAMES, LAT, LON, RAIN, SECONDS, START, STEP, cf
from tests.programs import run

AT = slice(None)


def prepare(path, *overrides):
    """The archive that `nowcast prepare` makes of a file, and its rain (T, H, W) in mm/h."""
    archive, message = attempt(path, *overrides)
    assert message == ""
    return archive, archive.read(AT, AT, AT)


def attempt(path, *overrides):
    """The archive, or why there is none."""
    output = path.with_name("archive.nc")
    output.unlink(missing_ok=True)
    code, message = run("prepare", "source=netcdf", f"input={path}", f"output={output}", "workers=0", *overrides)
    assert (code == 0) == (message == "")
    return (Archive(output) if code == 0 else None), message


def typed(message):
    """What a message says to type after "set"."""
    found = re.findall(r"set ('[^']*'|\S+=\S+)", message)
    assert found, message
    return shlex.split(found[-1])


def ends(count=FRAMES, step=STEP):
    return START + np.arange(count) * np.timedelta64(step, "s")


def packed(offset=16.0, scale=0.001, rain=RAIN):
    attributes = {"scale_factor": scale, "add_offset": offset}
    return {
        "values": np.round((rain - offset) / scale).astype("i2"),
        "fill": np.int16(-32768),
        "attributes": attributes,
    }


# -- values ---------------------------------------------------------------------------------------------------


def test_signed_integers_with_an_offset(tmp_path):
    archive, rain = prepare(cf(tmp_path / "a.nc", **packed()))
    np.testing.assert_allclose(rain, RAIN, atol=0.0006)
    assert (rain[RAIN < 0.0005] == 0).all()  # no rain is none: not a rounding error below the physical range
    assert "0 below" in archive.attributes["history"]


def test_packing_that_changes_from_file_to_file(tmp_path):
    """As ncpdq, cdo and ERA5 pack: each file by its own highest value, with no step at zero."""
    for k, (offset, scale) in enumerate(((10.003, 0.0005), (12.7, 0.0004))):
        half = slice(5 * k, 5 * k + 5)
        cf(tmp_path / "in" / f"{k}.nc", **packed(offset, scale, RAIN[half]), time={"values": SECONDS[half]})
    archive, _ = attempt(tmp_path / "in")
    rain = archive.read(AT, AT, AT)
    np.testing.assert_allclose(rain, RAIN, atol=0.0003)
    assert (rain[RAIN == 0] == 0).all()


def test_packing_by_the_scale_alone_that_changes_is_read_as_the_message_says(tmp_path):
    for k, scale in enumerate((0.01, 0.02)):
        half = slice(5 * k, 5 * k + 5)
        stored = np.round(RAIN[half] / scale).astype("u2")
        cf(tmp_path / "in" / f"{k}.nc", stored, attributes={"scale_factor": scale}, time={"values": SECONDS[half]})
    _, message = attempt(tmp_path / "in")
    assert "packing" in message
    archive, _ = attempt(tmp_path / "in", "source.keep_packing=false")
    np.testing.assert_allclose(archive.read(AT, AT, AT), RAIN, atol=0.011)
    assert "source.keep_packing=false" in message


def test_the_lowest_packed_value_may_be_no_data_or_no_rain(tmp_path):
    """ncpdq packs the lowest value, no rain, as -32767: netCDF's fill value of files that name none."""
    top = float(RAIN.max())
    kwargs = packed(top / 2, top / 65534) | {"fill": None}
    assert kwargs["values"].min() == -32767
    path = cf(tmp_path / "a.nc", **kwargs)
    _, message = attempt(path)
    assert "netCDF's default for no data, or the lowest value of its packing (0)" in message
    _, rain = prepare(path, *typed(message))
    assert np.isnan(rain[RAIN == 0]).all()
    _, rain = prepare(path, "source.default_fill=false")
    np.testing.assert_allclose(rain, RAIN, atol=0.0003)


def test_unsigned_bytes(tmp_path):
    stored = np.round(RAIN * 10).astype("u1")
    assert stored.max() > 127
    _, rain = prepare(cf(tmp_path / "a.nc", stored.view("i1"), attributes={"scale_factor": 0.1, "_Unsigned": "true"}))
    np.testing.assert_allclose(rain, RAIN, atol=0.051)


def test_the_fill_value_of_unsigned_bytes_is_unsigned_too(tmp_path):
    stored = np.round(RAIN * 10).astype("u1")
    stored[:, 0] = 255
    attributes = {"scale_factor": 0.1, "_Unsigned": "true"}
    _, rain = prepare(cf(tmp_path / "a.nc", stored.view("i1"), fill=np.int8(-1), attributes=attributes))
    assert np.isnan(rain[:, 0]).all()
    assert np.isfinite(rain[:, 1:]).all()


@pytest.mark.parametrize(
    ("hole", "attributes"),
    [
        (np.float32(1e20), {"missing_value": np.float64(1e20)}),
        (np.float32(1e20), {"missing_value": "1e20"}),
        (np.float32(1e20), {"missing_value": np.array([-5.0, 1e20])}),
        (np.float32(-99.9), {"missing_value": np.float64(-99.9)}),
        (np.float32(-999), {"missing_value": np.int16(-999)}),
        (np.float32(np.inf), {}),
        (np.float32(-np.inf), {}),
        (np.float32(np.nan), {}),
        (np.float32(9.969209968386869e36), {}),
    ],
)
def test_no_data_in_another_type_than_the_values(tmp_path, hole, attributes):
    values = RAIN.copy()
    values[:, :4] = hole
    _, rain = prepare(cf(tmp_path / "a.nc", values, attributes=attributes))
    assert np.isnan(rain[:, :4]).all()
    np.testing.assert_array_equal(rain[:, 4:], RAIN[:, 4:])


@pytest.mark.parametrize(
    ("dtype", "missing"), [("u2", np.int16(-1)), ("u2", np.float64(65535)), ("i4", np.float32(-1))]
)
def test_no_data_of_integers_in_another_type(tmp_path, dtype, missing):
    stored = np.round(RAIN * 100).astype(dtype)
    stored[:, :4] = 65535 if dtype == "u2" else -1
    attributes = {"scale_factor": 0.01, "missing_value": missing, "_FillValue": np.array(60000, dtype)}
    _, rain = prepare(cf(tmp_path / "a.nc", stored, fill=attributes.pop("_FillValue"), attributes=attributes))
    assert np.isnan(rain[:, :4]).all()
    np.testing.assert_allclose(rain[:, 4:], RAIN[:, 4:], atol=0.0051)


def test_a_fill_value_that_no_attribute_names_is_no_rain_of_300_mm_per_hour(tmp_path):
    values = RAIN.copy()
    values[:, :4] = 1e20
    path = cf(tmp_path / "a.nc", values)
    _, message = attempt(path)
    assert "1.00000002e+20 (mm h-1), which is no rain" in message
    _, rain = prepare(path, *typed(message))
    assert np.isnan(rain[:, :4]).all()
    assert np.isfinite(rain[:, 4:]).all()


def test_a_missing_value_that_is_no_number_is_named(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", attributes={"missing_value": "none"}))
    assert "missing_value of rain is 'none', expected a number" in message


def test_a_valid_range_of_unpacked_values(tmp_path):
    stored = np.round(RAIN * 1000).astype("u2")
    attributes = {"scale_factor": 0.001, "valid_range": np.array([0, 300.0])}
    archive, rain = prepare(cf(tmp_path / "a.nc", stored, attributes=attributes))
    np.testing.assert_allclose(rain, RAIN, atol=0.00051)
    assert ": the valid range of rain is in the unit of unpacked values" in archive.attributes["history"]


def test_a_valid_range_of_stored_values(tmp_path):
    stored = np.round(RAIN * 1000).astype("u2")
    attributes = {"scale_factor": 0.001, "valid_range": np.array([0, 15000], "u2")}
    _, rain = prepare(cf(tmp_path / "a.nc", stored, attributes=attributes))
    np.testing.assert_array_equal(np.isnan(rain), stored > 15000)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("mm.h-1", 1), ("mm h**-1", 1), ("1e-3 m h-1", 1), ("mm d-1", 24), ("kg m-2 h-1", 1), ("kg m-2 s-1", 1 / 3600)],
)
def test_units_of_udunits(tmp_path, unit, factor):
    _, rain = prepare(cf(tmp_path / "a.nc", RAIN * factor, dtype="f8", attributes={"units": unit}))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)


def test_an_unknown_unit_is_told_with_the_known_ones(tmp_path):
    path = cf(tmp_path / "a.nc", attributes={"units": "millimetres/std"})
    _, message = attempt(path, "source.variable=rain")
    assert "unit 'millimetres/std' is none of rain" in message
    assert "mm d-1" in message
    _, rain = prepare(path, "source.variable=rain", *typed(message))
    np.testing.assert_array_equal(rain, RAIN)


def test_wind_is_no_rain(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", attributes={"units": "m s-1", "standard_name": "eastward_wind"}))
    assert "0 variables could be rain" in message


# -- time -----------------------------------------------------------------------------------------------------

AMOUNT = {"values": RAIN / 12, "attributes": {"units": "mm", "cell_methods": "time: sum"}}
BOUNDS = np.stack([SECONDS - STEP, SECONDS], axis=1)


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0], ids=["start", "middle", "end"])
def test_amounts_whose_time_is_anywhere_in_its_bounds(tmp_path, position):
    """The way through to what a network sees: mm in five minutes are twelve times as many mm/h, at the period's end."""
    time = {"values": SECONDS - STEP * (1 - position), "bounds": BOUNDS}
    archive, rain = prepare(cf(tmp_path / "a.nc", **AMOUNT, time=time))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())
    assert archive.to_rain_rate.period == STEP


def test_a_period_that_is_told_does_not_move_times_that_have_bounds(tmp_path):
    time = {"values": SECONDS - STEP / 2, "bounds": BOUNDS}
    path = cf(tmp_path / "a.nc", **AMOUNT, time=time)
    archive, rain = prepare(path, f"source.period_seconds={STEP}")
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())
    _, message = attempt(path, "source.period_seconds=60")
    assert "source.period_seconds=60, and the bounds of the time are 300 s long" in message
    archive, rain = prepare(path, "source.period_seconds=60", *typed(message))
    np.testing.assert_allclose(rain, RAIN * 5, rtol=1e-5)
    assert (
        "bounds of the time are not used: period and place of the time in it are told" in archive.attributes["history"]
    )


def test_bounds_that_run_backwards(tmp_path):
    archive, rain = prepare(cf(tmp_path / "a.nc", **AMOUNT, time={"bounds": BOUNDS[:, ::-1]}))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())


def test_a_time_outside_its_bounds_is_refused(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", **AMOUNT, time={"bounds": BOUNDS - 2 * STEP}))
    assert "time 2020-06-01T00:00:00 lies outside its bounds 2020-05-31T23:45:00 to 2020-05-31T23:50:00" in message
    assert "source." not in message  # no other variable is a time
    path = cf(tmp_path / "b.nc", **AMOUNT, time={"bounds": BOUNDS - 2 * STEP})
    with netCDF4.Dataset(path, "a") as file:
        other = file.createVariable("valid_time", "f8", ("time",))
        other.units, other.bounds = file["time"].units, "time_bounds"
        other[:] = SECONDS - 2 * STEP
    _, message = attempt(path)
    archive, rain = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(2 * STEP, "s"))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)


def test_a_file_without_a_time_names_what_could_be_one(tmp_path):
    path = cf(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["time"].delncattr("standard_name")
        file.renameVariable("time", "moment")
    _, message = attempt(path)
    assert "no time variable (standard_name time) among moment" in message
    archive, _ = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends())


def test_rates_with_bounds_are_means_and_belong_to_their_end(tmp_path):
    time = {"values": SECONDS - STEP, "bounds": BOUNDS}
    archive, rain = prepare(cf(tmp_path / "a.nc", attributes={"cell_methods": "time: mean"}, time=time))
    np.testing.assert_array_equal(archive.times, ends())
    np.testing.assert_array_equal(rain, RAIN)
    assert ": rates are means over the bounds of their time" in archive.attributes["history"]
    archive, _ = prepare(cf(tmp_path / "a.nc", attributes={"cell_methods": "time: point"}, time=time))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(STEP, "s"))


def test_without_bounds_the_interval_of_cell_methods_is_the_period(tmp_path):
    attributes = {"units": "mm", "cell_methods": "area: mean time: sum (interval: 5 min)"}
    archive, rain = prepare(cf(tmp_path / "a.nc", RAIN / 12, attributes=attributes))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    assert "the period of 300 s is that of cell_methods" in archive.attributes["history"]
    assert "without bounds, the time of an amount is taken for the end of its 300 s" in archive.attributes["history"]


@pytest.mark.parametrize(("position", "later"), [("start", STEP), ("middle", STEP // 2), ("end", 0)])
def test_without_any_word_the_config_says_it(tmp_path, position, later):
    path = cf(tmp_path / "a.nc", RAIN / 12, attributes={"units": "mm"})
    _, message = attempt(path)
    assert "accumulation period the file does not tell" in message
    archive, rain = prepare(path, *typed(message), f"source.time_of_period={position}")
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends() + np.timedelta64(later, "s"))
    assert "without bounds" not in archive.attributes["history"]


def test_a_zone_by_name_is_refused_and_told_by_an_offset(tmp_path):
    path = cf(tmp_path / "a.nc", time={"units": "seconds since 2020-06-01 00:00:00 CEST"})
    _, message = attempt(path)
    assert "zone 'CEST' is not unambiguous" in message
    archive, _ = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(2, "h"))


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("", 0),
        (" UTC", 0),
        ("Z", 0),
        (" GMT", 0),
        (" +00:00", 0),
        (" +2", 2),
        (" -0530", -5.5),
        (" +02:00", 2),
        (" UTC+2", 2),
    ],
)
def test_zones_that_are_unambiguous(tmp_path, zone, hours):
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"units": f"seconds since 2020-06-01T00:00:00{zone}"}))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(round(hours * 3600), "s"))


def test_times_as_text(tmp_path):
    texts = [f"2020-06-01T02:{5 * k:02d}:00+02:00" for k in range(FRAMES)]
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"values": texts}))
    np.testing.assert_array_equal(archive.times, ends())
    archive, _ = prepare(
        cf(tmp_path / "b" / "a.nc", time={"values": [text[:16].replace("T02", "T00") for text in texts]})
    )
    np.testing.assert_array_equal(archive.times, ends())
    assert "time is text without a zone: taken for UTC" in archive.attributes["history"]
    _, message = attempt(cf(tmp_path / "c" / "a.nc", time={"values": [f"noon + {5 * k}" for k in range(FRAMES)]}))
    assert "time holds text, 'noon + 0', that is no time such as 2020-06-01T00:05:00Z" in message


def test_hours_in_single_precision_cannot_hold_five_minutes(tmp_path):
    hours = {"type": "f4", "units": "hours since 1970-01-01", "values": 441816 + np.arange(FRAMES) / 12}
    _, message = attempt(cf(tmp_path / "a.nc", time=hours))
    assert "time is float32 in 'hours since 1970-01-01', whose neighbouring values lie 112 s apart" in message
    archive, _ = prepare(
        cf(tmp_path / "a.nc", time=hours | {"values": 441816 + np.arange(FRAMES)})
    )  # whole hours it can
    assert archive.timestep == 3600
    fine = hours | {"units": "days since 2019-09-01", "values": 274 + np.arange(FRAMES) / 288}
    archive, _ = prepare(cf(tmp_path / "a.nc", time=fine))
    np.testing.assert_array_equal(archive.times, ends())
    assert "rounded to the minute" in archive.attributes["history"]


def test_fractions_of_hours_are_rounded_to_seconds_not_cut(tmp_path):
    hours = {"units": "hours since 2020-06-01", "values": np.round(np.arange(FRAMES) / 12, 6)}
    archive, _ = prepare(cf(tmp_path / "a.nc", time=hours))
    np.testing.assert_array_equal(archive.times, ends())


def test_two_values_of_one_time_in_one_file(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", time={"values": np.append(SECONDS[:-1], SECONDS[-2])}))
    assert "a.nc: holds two different frames for 2020-06-01T00:40:00 UTC" in message
    assert "input=" not in message


def test_irregular_steps_are_told(tmp_path):
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"values": SECONDS + np.where(np.arange(FRAMES) == 4, 70, 0)}))
    told = "irregular time steps: 2 of 9 are no multiple of the commonest, 5 min (3.83, 6.17 min)"
    assert told in archive.attributes["history"]
    code, message = run("check", "data=radar", f"data.archives=[{archive.path}]", "data.crop=null")
    assert code == 1
    assert "archive (irregular time steps: 2 of 9" in message
    assert "min_rain_fraction" not in message
    archive, _ = prepare(cf(tmp_path / "a.nc"))
    assert "time step 5 min, no gap" in archive.attributes["history"]


# -- axes and grid --------------------------------------------------------------------------------------------


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


# -- settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("source.period_seconds=-5", "source.period_seconds must be positive, got -5"),
        ("source.period_seconds=five", "source.period_seconds must be a number or null, got 'five'"),
        ("source.time_of_period=noon", "source.time_of_period must be start, middle, end or null, got 'noon'"),
        ("source.coordinate_units=feet", "source.coordinate_units must be m, km, degrees or null, got 'feet'"),
        ("source.time_units=UTC", "source.time_units must be such as 'seconds since"),
        ("source.select={height:low}", "source.select must be"),
        ("source.select={height:-1}", "source.select.height must be 0 or more, got -1"),
        ("source.select=height", "source.select must be"),
        ("source.missing_values=-1", "source.missing_values must be a list"),
        ("source.missing_values=[none]", "source.missing_values must be a list"),
        ("source.default_fill=perhaps", "source.default_fill must be true or false or null, got 'perhaps'"),
        ("source.keep_packing=null", "source.keep_packing must be true or false, got null"),
        ("source.variable=5", "source.variable must be text or null, got 5"),
        ("source.zr_a=much", "source.zr_a must be a number, got 'much'"),
        ("source.zr_a=-3", "Z = a·R^b needs a > 0"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path, override, words):
    _, message = attempt(cf(tmp_path / "a.nc"), override)
    assert words in message
