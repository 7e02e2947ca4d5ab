"""The quick ways from stored values to an archive's, against the decoder of CF files."""

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.zarr import values
from nowcast.data.zarr.archive import ZarrArchive
from tests.data.archives import moving_rain
from tests.data.zarr.stores import mirror


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    return Archive(moving_rain(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames=12))


def both(path, monkeypatch):
    """The translator of a store, the decoder by CF, and whether the quick way is taken."""
    archive = ZarrArchive(path)
    file, variable = archive._field()
    quick = values.translator(file, variable, archive.header)
    monkeypatch.setattr(values, "_by_table", lambda dtype, by_cf: by_cf)
    monkeypatch.setattr(values, "_is_plain", lambda *of: False)
    by_cf = values.translator(file, variable, archive.header)
    return quick, by_cf


PACKED = {
    "as in archives": {},
    "signed": {"attributes": {"_Unsigned": "false"}},
    "a range": {"attributes": {"valid_min": np.uint16(3).item(), "valid_max": 900}},
    "kg m-2 s-1": {"unit": "kg m-2 s-1", "attributes": {"scale_factor": 0.1 / 3600}},
    "another fill value": {"attributes": {"_FillValue": 7, "missing_value": 9}},
    "dBZ": {"unit": "dBZ", "standard_name": "equivalent_reflectivity_factor", "name": "dbz",
            "attributes": {"scale_factor": 0.5, "add_offset": -32.0}},
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKED)
def test_integers_are_looked_up(netcdf, tmp_path, monkeypatch, kind):
    path = mirror(netcdf, tmp_path / "rain.zarr", packed=True, **PACKED[kind])
    quick, by_cf = both(path, monkeypatch)
    every = np.arange(2000, dtype="u2").reshape(2, 20, 50)
    assert quick(every).dtype == np.uint16
    assert np.array_equal(quick(every.copy()), by_cf(every.copy()))


def test_integers_that_mean_nothing_are_told_when_they_are_met(netcdf, tmp_path, monkeypatch):
    """Of steps of 100 mm/h the larger ones are no rain."""
    path = mirror(netcdf, tmp_path / "rain.zarr", packed=True, attributes={"scale_factor": 100.0})
    quick, by_cf = both(path, monkeypatch)
    low = np.arange(100, dtype="u2").reshape(1, 10, 10)
    assert np.array_equal(quick(low), by_cf(low))
    with pytest.raises(DataFormatError, match="which is no rain"):
        quick(low + np.uint16(20_000))


FLOATS = np.array([0, 0.1, -0.2, np.nan, 3e5, -3e5, 50], dtype="f4").reshape(1, 1, 7)
STRANGE = [np.inf, -np.inf, 9.969209968386869e36]  # the last is netCDF's default for no data


@pytest.mark.parametrize("said", [{}, {"attributes": {"missing_value": 50.0}}, {"attributes": {"valid_max": 40.0}}])
@pytest.mark.parametrize("strange", [None, *STRANGE])
def test_floats_are_taken_as_they_are(netcdf, tmp_path, monkeypatch, said, strange):
    quick, by_cf = both(mirror(netcdf, tmp_path / "rain.zarr", **said), monkeypatch)
    stored = FLOATS.copy()
    if strange is not None:
        stored[0, 0, 1] = strange
    expected = by_cf(stored.copy())
    assert np.isnan(expected[0, 0, 3])
    found = quick(stored.copy())
    assert found.dtype == expected.dtype == np.float32
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("value", [2e6, -2e6])
def test_what_is_no_rain_is_refused_all_the_same(netcdf, tmp_path, monkeypatch, value):
    quick, _ = both(mirror(netcdf, tmp_path / "rain.zarr"), monkeypatch)
    with pytest.raises(DataFormatError, match="which is no rain"):
        quick(np.where(np.arange(7) == 2, np.float32(value), FLOATS))


def test_the_quick_way_is_taken_where_it_may_be(netcdf, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("decoded by CF")

    for name, settings in (("packed", {"packed": True}), ("floats", {})):
        archive = ZarrArchive(mirror(netcdf, tmp_path / f"{name}.zarr", **settings))
        archive._field()
        with monkeypatch.context() as patch:
            patch.setattr(values, "physical", refuse)
            found = archive.read(slice(0, 3), slice(0, 9), slice(2, 30))
        assert np.array_equal(found, netcdf.read(slice(0, 3), slice(0, 9), slice(2, 30)), equal_nan=True)
