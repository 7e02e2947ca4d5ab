"""Values of CF files as they are met, through `nowcast prepare`: right, or refused with what to type, which works."""

import numpy as np
import pytest

from tests.data.cf.preparing import AT, attempt, prepare, typed
from tests.data.cf_files import RAIN, SECONDS, cf


def packed(offset=16.0, scale=0.001, rain=RAIN):
    attributes = {"scale_factor": scale, "add_offset": offset}
    return {
        "values": np.round((rain - offset) / scale).astype("i2"),
        "fill": np.int16(-32768),
        "attributes": attributes,
    }


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
