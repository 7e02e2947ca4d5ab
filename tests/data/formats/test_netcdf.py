"""Anybody's CF files: unit, missing values, time, grid and what to say where they are missing."""

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError, Packing
from nowcast.units import Quantity
from tests.data.archives import frame, write
from tests.data.formats import fakes
from tests.data.formats.readers import reader

NAN = np.nan
FIELD = np.array([[[0.0, 1.5], [NAN, 3.0]]], dtype=np.float32)


def read(path, *overrides):
    return reader("netcdf", *overrides).read(path)


def test_rain_rate_is_found_by_its_unit(tmp_path):
    (one,) = read(fakes.cf(tmp_path / "a.nc", FIELD))
    np.testing.assert_array_equal(one.values, FIELD[0])
    assert (one.quantity, one.packing) == (Quantity.RAIN_RATE, None)
    assert one.time == np.datetime64("2024-05-01T00:00:00")


@pytest.mark.parametrize(("unit", "factor"), [("m s-1", 3.6e6), ("kg m-2 s-1", 3600.0), ("mm/h", 1.0)])
def test_units_become_millimetres_per_hour(tmp_path, unit, factor):
    (one,) = read(fakes.cf(tmp_path / "a.nc", FIELD / factor, attributes={"units": unit}))
    np.testing.assert_allclose(one.values, FIELD[0], rtol=1e-6)


def test_the_unit_can_be_set(tmp_path):
    path = fakes.cf(tmp_path / "a.nc", FIELD, attributes={"units": "1"})
    with pytest.raises(DataFormatError, match=r"0 variables could be rain .*source\.variable"):
        read(path)
    with pytest.raises(DataFormatError, match=r"unit '1' is none of rain .*source\.units"):
        read(path, "source.variable=rain")
    (one,) = read(path, "source.variable=rain", "source.units=mm h-1")
    assert one.quantity is Quantity.RAIN_RATE


def test_two_candidates_need_a_choice(tmp_path):
    path = fakes.cf(tmp_path / "a.nc", FIELD, more=["snow"])
    with pytest.raises(DataFormatError, match=r"rain, snow.*source\.variable"):
        read(path)
    assert len(read(path, "source.variable=rain")) == 1
    with pytest.raises(DataFormatError, match="no variable 'hail'; there are"):
        read(path, "source.variable=hail")


def test_packed_integers_keep_their_quantisation(tmp_path):
    stored = np.array([[[0, 10], [-1, 300]]], dtype=np.int16)
    path = fakes.cf(tmp_path / "a.nc", stored, fill_value=-1, attributes={"scale_factor": 0.1})
    (one,) = read(path)
    np.testing.assert_allclose(one.values, [[0, 1], [NAN, 30]])
    assert one.packing == Packing(0.1, 0.0)


@pytest.mark.parametrize(
    ("options", "overrides"),
    [
        ({"fill_value": 9.0}, ()),
        ({"attributes": {"missing_value": np.float32(9.0)}}, ()),
        ({"attributes": {"valid_range": np.array([0, 8], dtype=np.float32)}}, ()),
        ({"attributes": {"valid_max": np.float32(8)}}, ()),
        ({}, ("source.missing_values=[9.0]",)),
    ],
)
def test_every_way_to_say_no_data(tmp_path, options, overrides):
    values = np.array([[[0.0, 9.0], [2.0, 3.0]]], dtype=np.float32)
    (one,) = read(fakes.cf(tmp_path / "a.nc", values, **options), *overrides)
    np.testing.assert_array_equal(one.values, [[0, NAN], [2, 3]])


def test_netcdfs_default_fill_without_an_attribute_is_no_data(tmp_path):
    values = np.array([[[0.0, netCDF4.default_fillvals["f4"]], [2.0, 3.0]]], dtype=np.float32)
    (one,) = read(fakes.cf(tmp_path / "a.nc", values))
    np.testing.assert_array_equal(one.values, [[0, NAN], [2, 3]])


def test_rows_from_south_to_north_are_turned(tmp_path):
    path = fakes.cf(tmp_path / "a.nc", FIELD, y=np.array([0.0, 1000.0]))
    (one,) = read(path)
    np.testing.assert_array_equal(one.values, FIELD[0, ::-1])
    assert one.grid.y.tolist() == [1000, 0]


def test_kilometres_and_degrees(tmp_path):
    (one,) = read(fakes.cf(tmp_path / "a.nc", FIELD, coordinate_units="km"))
    assert one.grid.x.tolist() == [0, 1_000_000]
    degrees = fakes.cf(
        tmp_path / "b.nc", FIELD, coordinate_units="degrees", x=np.array([3.0, 4.0]), y=np.array([9.0, 8.0])
    )
    assert read(degrees)[0].grid.crs == "EPSG:4326"


def test_several_times_in_one_file(tmp_path):
    values = np.arange(12.0, dtype=np.float32).reshape(3, 2, 2)
    frames = read(fakes.cf(tmp_path / "a.nc", values, times=(0, 5, 10)))
    assert [str(one.time)[11:16] for one in frames] == ["00:00", "00:05", "00:10"]
    np.testing.assert_array_equal(frames[2].values, values[2])


def test_an_amount_needs_its_period(tmp_path):
    attributes = {"units": "kg m-2"}
    path = fakes.cf(tmp_path / "a.nc", FIELD, attributes=attributes)
    with pytest.raises(DataFormatError, match=r"source\.period_seconds"):
        read(path)
    assert read(path, "source.period_seconds=600")[0].period == 600.0
    bounded = fakes.cf(tmp_path / "b.nc", FIELD, attributes=attributes, bounds=[[-10, 0]])
    (one,) = read(bounded)
    assert (one.quantity, one.period) == (Quantity.RAIN_AMOUNT, 600.0)


def test_reflectivity_takes_its_relation_from_the_config(tmp_path):
    path = fakes.cf(tmp_path / "a.nc", FIELD, attributes={"units": "dBZ"})
    (one,) = read(path, "source.zr_a=300", "source.zr_b=1.4", "source.no_echo=1.0")
    assert (one.quantity, one.zr.a, one.no_echo) == (Quantity.REFLECTIVITY, 300, 1.0)


def test_our_own_archives_are_cf_files_too(tmp_path):
    original = [frame(5 * k, np.full((8, 10), 0.1 * k)) for k in range(3)]
    frames = read(write(tmp_path / "a.nc", original))
    assert [one.time for one in frames] == [one.time for one in original]
    np.testing.assert_allclose(frames[2].values, original[2].values, rtol=1e-6)
    assert frames[0].grid.same_as(original[0].grid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_attributes": {"calendar": "360_day"}}, "360_day"),
        ({"x": np.array([0.0, np.nan])}, "equally spaced"),
        ({"coordinate_units": "parsec s-1"}, "parsec s-1"),
        ({"coordinate_units": "degrees_north"}, "several axes of y: y, x"),
        ({"time_units": "fortnights since yesterday"}, r"'fortnights since yesterday', expected one such as"),
        ({"time_units": "fortnights since 2024-05-01"}, "fortnights.* is not understood"),
    ],
)
def test_defects_are_named(tmp_path, options, message):
    with pytest.raises(DataFormatError, match=message):
        read(fakes.cf(tmp_path / "a.nc", FIELD, **options))


def test_unequal_spacing_is_refused(tmp_path):
    values = np.zeros((1, 2, 3), dtype=np.float32)
    with pytest.raises(DataFormatError, match="equally spaced"):
        read(fakes.cf(tmp_path / "a.nc", values, x=np.array([0.0, 1000.0, 5000.0])))


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"GIF89a")
    with pytest.raises(DataFormatError, match="not readable"):
        read(tmp_path / "a.nc")
