"""ODIM_H5 as versions 2.0 to 2.4 allow it and as its producers write it."""

import itertools
import re

import h5py
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Packing
from nowcast.data.archive.limits import Limits
from nowcast.units import ZR, Quantity
from tests.data.formats.readers import reader
from tests.data.prepare.preparing import prepare

NAN = np.nan
LEVELS = {"data": "dataset1/data1/", "dataset": "dataset1/", "root": ""}
WHERE = {
    "projdef": "+proj=laea +lat_0=50 +lon_0=5 +ellps=WGS84", "UL_lon": 4.3, "UL_lat": 50.45, "LR_lon": 5.7,
    "LR_lat": 49.55, "xscale": 1000.0, "yscale": 1000.0,
}  # fmt: skip
CODES = {"gain": 1.0, "offset": 0.0, "nodata": -9999000.0, "undetect": -8888000.0}
TIMES = {"startdate": "20240501", "starttime": "110000", "enddate": "20240501", "endtime": "120000"}
BYTES, TEXT, ARRAY = (
    lambda value: np.bytes_(value) if isinstance(value, str) else value,
    lambda value: value,
    lambda value: np.array([value.encode() if isinstance(value, str) else value]),
)


def odim(path, stored, quantity="RATE", codes=CODES, levels=None, version="V2_0", stored_as=TEXT, where=WHERE, **more):
    """A composite whose attributes stand at the level that `levels` names (name → data, dataset or root)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = dict.fromkeys(WHERE, "root") | dict.fromkeys(TIMES, "dataset") | (levels or {})
    times = TIMES | {name: value for name, value in more.items() if name in TIMES}
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = stored_as(f"ODIM_H5/{version}")
        file.create_dataset("dataset1/data1/data", data=np.asarray(stored), compression="gzip")
        fixed = {"date": times["enddate"], "time": times["endtime"], "object": "COMP", "version": "H5rad 2.0"}
        file.create_group("what").attrs.update({name: stored_as(value) for name, value in fixed.items()})
        for name, value in ({"quantity": quantity} | codes | times).items():
            group = file.require_group(f"{LEVELS[levels.get(name, 'data')]}what")
            group.attrs[name] = stored_as(value)
        for name, value in where.items():
            file.require_group(f"{LEVELS[levels[name]]}where").attrs[name] = stored_as(value)
    return path


def one(path, *overrides):
    (frame,) = reader("odim", *overrides).read(path)
    return frame


def read(archive):
    return archive.read(slice(None), slice(None), slice(None))


STORED = np.array([[-9999000.0, -8888000.0, 0.0], [2.5, 6.0, 0.25]])
RATES = np.array([[NAN, 0.0, 0.0], [2.5, 6.0, 0.25]])


@pytest.mark.parametrize("version", ["V2_0", "V2_1", "V2_2", "V2_3", "V2_4"])
@pytest.mark.parametrize("stored_as", [BYTES, TEXT, ARRAY])
def test_every_version_and_every_way_to_store_an_attribute(tmp_path, version, stored_as):
    frame = one(odim(tmp_path / "a.h5", STORED, version=version, stored_as=stored_as))
    np.testing.assert_array_equal(frame.values, RATES.astype(np.float32))
    assert frame.time == np.datetime64("2024-05-01T12:00:00")
    assert frame.assumptions == ()


@pytest.mark.parametrize("levels", list(itertools.product(LEVELS, repeat=3)))
def test_each_attribute_is_looked_up_by_itself(tmp_path, levels):
    """Gain and offset; nodata and undetect; the times of a sum: each pair at the data, the dataset or the root."""
    places = dict.fromkeys(("gain", "offset"), levels[0]) | dict.fromkeys(("nodata", "undetect"), levels[1])
    places |= dict.fromkeys(TIMES, levels[2]) | {"quantity": levels[1], "xscale": levels[0], "projdef": levels[2]}
    path = odim(tmp_path / "a.h5", STORED * 2, "ACRR", CODES | {"gain": 0.5, "nodata": -19998000.0,
                                                                "undetect": -17776000.0}, levels=places)  # fmt: skip
    frame = one(path)
    np.testing.assert_array_equal(frame.values, RATES.astype(np.float32))
    assert (frame.quantity, frame.period) == (Quantity.RAIN_AMOUNT, 3600.0)


def test_the_innermost_attribute_holds(tmp_path):
    path = odim(tmp_path / "a.h5", STORED)
    with h5py.File(path, "a") as file:
        file.require_group("dataset1/what").attrs.update(gain=7.0, quantity="TH")
        file["what"].attrs["gain"] = 9.0
    np.testing.assert_array_equal(one(path).values, RATES.astype(np.float32))


# -- (a) floating-point rates that say nothing but their quantity ---------------------------------------------------


def test_floating_point_rates_may_say_nothing_but_their_quantity(tmp_path):
    """As the Belgian institute writes them: NaN is no data, cell sizes stand at the dataset."""
    for k in range(3):
        stored = np.where(np.arange(20).reshape(4, 5) % 7 == 0, 2.5, 0.0).astype(np.float32)
        stored[0], stored[2, 3] = NAN, 6.0
        odim(tmp_path / "in" / f"{k}.hdf", stored, codes={}, levels={"xscale": "dataset", "yscale": "dataset"},
             version="V2_2", endtime=f"12{5 * k:02}00", starttime=f"12{5 * k:02}00")  # fmt: skip
    archive, report = prepare(tmp_path, source="odim")
    rain = read(archive)
    assert (rain[:, 2, 3] == 6.0).all()
    assert np.isnan(rain[:, 0]).all()
    assert rain[0, 1, 0] == 0.0
    assert len(archive.times) == 3
    for text in ("no gain and no offset", "no nodata", "no undetect"):
        assert f"assumed for 3 frames: {text}" in archive.attributes["history"]
    assert sum(report.assumptions.values()) == 9


@pytest.mark.parametrize("nan", ["nodata", "undetect"])
def test_nan_is_what_the_file_calls_it(tmp_path, nan):
    codes = CODES | {nan: NAN}
    frame = one(odim(tmp_path / "a.h5", np.array([[NAN, 1.0], [2.0, 3.0]]), codes=codes))
    np.testing.assert_array_equal(frame.values, [[NAN if nan == "nodata" else 0.0, 1], [2, 3]])


def test_codes_that_float32_rounds_are_recognised(tmp_path):
    stored = np.array([[-9999.9, -8888.8], [0.5, 1.0]], dtype=np.float32)
    codes = {"gain": 1.0, "offset": 0.0, "nodata": -9999.9, "undetect": -8888.8}
    np.testing.assert_array_equal(one(odim(tmp_path / "a.h5", stored, codes=codes)).values, [[NAN, 0], [0.5, 1]])


REFUSED = {
    "integers without gain": (np.uint8, "RATE", ("gain",), ()),
    "integers without offset": (np.uint8, "RATE", ("offset",), ()),
    "integers without nodata": (np.uint8, "RATE", ("nodata",), ()),
    "integers without undetect": (np.uint8, "RATE", ("undetect",), ()),
    "gain without offset": (np.float32, "RATE", ("offset",), ()),
    "offset without gain": (np.float64, "DBZH", ("gain",), ()),
    "holes in reflectivity": (np.float64, "DBZH", ("undetect",), ()),
    "holes in reflectivity, nothing said": (np.float32, "DBZH", tuple(CODES), ()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_ambiguous_is_refused_and_the_way_out_works(tmp_path, case):
    dtype, quantity, lacking, _ = REFUSED[case]
    codes = {name: value for name, value in {"gain": 1.0, "offset": 0.0, "nodata": 250.0, "undetect": 251.0}.items()
             if name not in lacking}  # fmt: skip
    stored = np.array([[1, 2], [3, 4]]).astype(dtype)
    if dtype != np.uint8:
        stored[0, 0] = NAN
    path = odim(tmp_path / "a.h5", stored, quantity, codes)
    with pytest.raises(DataFormatError, match=r"dataset1/data1 has n") as caught:
        one(path)
    advice = str(caught.value).partition("set ")[2]
    settings = [re.sub("<number>$", "1", text) for text in re.findall(r"source\.\w+=[-<>\w]+", advice)]
    assert settings
    found = (
        [one(path, *settings)] if dtype == np.uint8 or "or" not in advice else [one(path, text) for text in settings]
    )
    assert all(frame.values.shape == (2, 2) for frame in found)
    if "holes" in case:
        dry, unseen = found
        assert dry.values[0, 0] == dry.no_echo
        assert np.isnan(unseen.values[0, 0])


def test_one_code_for_no_data_and_no_rain_is_refused_where_a_cell_has_it(tmp_path):
    codes = CODES | {"nodata": 0.0, "undetect": 0.0}
    assert one(odim(tmp_path / "a.h5", np.ones((2, 2)), codes=codes)).values.tolist() == [[1, 1], [1, 1]]
    path = odim(tmp_path / "b.h5", np.eye(2), codes=codes)
    with pytest.raises(DataFormatError, match=r"both 0\.0: unseen cells cannot be told from dry ones"):
        one(path)
    assert one(path, "source.nodata=-1").values.tolist() == [[1, 0], [0, 1]]


def test_a_quantity_that_is_there_twice_is_refused_until_one_is_chosen(tmp_path):
    path = odim(tmp_path / "a.h5", np.ones((2, 2)))
    with h5py.File(path, "a") as file:
        file.copy("dataset1", "dataset10")
        file.copy("dataset1", "dataset2")
        file["dataset2/data1/data"][...] = 2.0
    with pytest.raises(
        DataFormatError, match=r"RATE 3 times: choose one with source\.dataset=dataset1/data1, of .*10/"
    ):
        one(path)
    assert one(path, "source.dataset=dataset2").values.max() == 2.0
    assert one(path, "source.dataset=dataset1/data1").values.max() == 1.0


# -- (b) sliding sums ------------------------------------------------------------------------------------------------


def test_sliding_sums_are_refused_unless_asked_for(tmp_path):
    """OPERA's ACRR: gain at the data, start and end at the dataset; an hour every quarter of it."""
    for k in range(3):
        odim(tmp_path / "in" / f"{k}.hdf", STORED, "ACRR", starttime=f"11{15 * k:02}00", endtime=f"12{15 * k:02}00")
    with pytest.raises(ValueError, match=r"amounts over 60 min come every 15 min.*allow_overlapping_sums=true"):
        prepare(tmp_path, source="odim")
    archive, _ = prepare(tmp_path, source="odim", allow_overlapping_sums=True)
    np.testing.assert_array_equal(read(archive)[1], RATES.astype(np.float32))


def test_sums_that_overlap_once_are_refused_too(tmp_path):
    for k, (start, end) in enumerate((("10", "11"), ("11", "12"), ("12", "13"), ("13", "14"))):
        late = "15" if k == 3 else "00"
        odim(tmp_path / "in" / f"{k}.hdf", STORED, "ACRR", starttime=f"{start}0000", endtime=f"{end}0000")
        odim(tmp_path / "in" / f"{k}x.hdf", STORED, "ACRR", starttime=f"{start}{late}00", endtime=f"{end}{late}00")
    with pytest.raises(ValueError, match="amounts over 60 min come every 15 min"):
        prepare(tmp_path, source="odim")


# -- (c) reflectivity in floating point ------------------------------------------------------------------------------


def cirrus(folder, frames=3):
    draw = np.random.default_rng(0)
    fields = []
    for k in range(frames):
        dbz = draw.uniform(-32, 60, (20, 20))
        dbz[5, 5], dbz[6, 6], dbz[7:12], dbz[0] = 78.0, -20.0, CODES["undetect"], CODES["nodata"]
        fields.append(dbz)
        odim(folder / f"{k}.h5", dbz, "DBZH", endtime=f"12{5 * k:02}00")
    return np.stack(fields)


def test_the_limit_for_rates_holds_for_what_a_reflectivity_becomes(tmp_path):
    cirrus(tmp_path / "in")
    archive, report = prepare(tmp_path, source="odim")
    rain = read(archive)
    assert report.above == 3
    assert np.nanmax(rain) <= 300.0
    assert np.nanmax(rain) > 299.9
    assert "3 values above the physical range clipped" in archive.attributes["history"]


def test_what_is_not_detected_lies_below_all_that_is(tmp_path):
    fields = cirrus(tmp_path / "in")
    archive, _ = prepare(tmp_path, source="odim")
    stored = archive.read_stored(slice(None), slice(None), slice(None))
    detected = fields > -1000
    dry = fields == CODES["undetect"]
    assert stored[dry].max() < stored[detected].min()
    assert (stored[:, 6, 6] == -20.0).all()
    rain = read(archive)
    assert (rain[dry] == 0).all()
    assert (rain[detected] > 0).all()
    np.testing.assert_allclose(rain[:, 6, 6], 10 ** ((-20 - 10 * np.log10(200)) / 16), rtol=1e-5)
    assert np.isnan(rain[fields == CODES["nodata"]]).all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4"])
@pytest.mark.parametrize("gain", [0.5, -0.5])
@pytest.mark.parametrize("undetect_last", [False, True])
def test_undetected_cells_of_every_type_are_dry_and_nothing_else_is(tmp_path, dtype, gain, undetect_last):
    ends = (0.0, 200.0) if dtype == "f4" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    offset = 20.0 - gain * (ends[0] + 60)  # so that what is 60 steps above the lowest is 20 dBZ
    codes = {"gain": gain, "offset": offset, "nodata": float(ends[0]), "undetect": float(ends[0] + 1)}
    if undetect_last:
        codes |= {"nodata": float(ends[1]), "undetect": float(ends[1] - 1)}
    stored = np.array([[codes["nodata"], codes["undetect"]], [ends[0] + 2, ends[0] + 60]]).astype(dtype)
    odim(tmp_path / "in" / "0.h5", stored, "DBZH", codes)
    limits = Limits((0.0, 300.0), (-1e6, 1e6), below="mask", above="mask")
    archive, report = prepare(tmp_path, source="odim", limits=limits)
    rain = read(archive)[0]
    assert np.isnan(rain[0, 0])
    assert rain[0, 1] == 0.0
    expected = 10 ** ((20 - 10 * np.log10(200)) / 16)
    np.testing.assert_allclose(rain[1, 1], expected, rtol=1e-4)
    np.testing.assert_allclose(rain[1, 0], 10 ** ((20 - 58 * gain - 10 * np.log10(200)) / 16), rtol=1e-4)
    assert (report.below, report.above) == (0, 0)


def test_integers_keep_their_steps_or_become_floating_point(tmp_path):
    def packing(dtype, quantity="RATE", **codes):
        path = odim(tmp_path / "a.h5", np.array([[3, 4], [5, 6]], dtype=dtype), quantity, codes)
        frame = one(path)
        assert frame.values[0, 0] == np.float32(3 * codes["gain"] + codes["offset"])
        return frame.packing

    assert packing("u1", gain=0.1, offset=0.0, nodata=255.0, undetect=0.0) == Packing(0.1, 0.0)
    assert packing("u1", gain=0.5, offset=-0.5, nodata=255.0, undetect=0.0) == Packing(0.5, -0.5)
    # A dry cell would not lie on a step
    assert packing("u1", gain=0.5, offset=0.2, nodata=255.0, undetect=0.0) is None
    assert packing("u2", gain=0.01, offset=0.0, nodata=65535.0, undetect=0.0) == Packing(0.01, 0.0)
    assert packing("u2", gain=0.01, offset=0.0, nodata=0.0, undetect=1.0) is None  # 65535 would be a value
    assert packing("u1", "DBZH", gain=0.5, offset=-32.0, nodata=255.0, undetect=0.0) == Packing(0.5, -32.0)


# -- the grid --------------------------------------------------------------------------------------------------------


def test_projections_in_kilometres_are_read_in_metres(tmp_path):
    plain = one(odim(tmp_path / "a.h5", np.ones((4, 5)))).grid
    where = WHERE | {"projdef": WHERE["projdef"] + " +units=km"}
    other = one(odim(tmp_path / "b.h5", np.ones((4, 5)), where=where)).grid
    np.testing.assert_allclose(other.x, plain.x)
    np.testing.assert_allclose(other.y, plain.y)


@pytest.mark.parametrize("scale", [(0.02, 0.01), (1417.0, 1112.0)])
def test_longitudes_and_latitudes_have_cells_in_degrees_however_the_file_counts_them(tmp_path, scale):
    where = {"projdef": "+proj=longlat +ellps=WGS84", "UL_lon": 5.0, "UL_lat": 50.0, "LR_lon": 5.1, "LR_lat": 49.96,
             "xscale": scale[0], "yscale": scale[1]}  # fmt: skip
    grid = one(odim(tmp_path / "a.h5", np.ones((4, 5)), where=where)).grid
    np.testing.assert_allclose(grid.x, [5.01, 5.03, 5.05, 5.07, 5.09])
    np.testing.assert_allclose(grid.y, [49.995, 49.985, 49.975, 49.965])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"xsize": 9}, "xsize is 9, but dataset1/data1/data is 4 x 5"), ({"projdef": "+proj=none"}, "not understood")],
)
def test_grids_that_contradict_the_data_are_refused(tmp_path, change, message):
    path = odim(tmp_path / "a.h5", np.ones((4, 5)))
    with h5py.File(path, "a") as file:
        file["where"].attrs.update(change)
    with pytest.raises(DataFormatError, match=message):
        one(path)


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", [None, Packing(0.5, -32.0), Packing(0.1, -32.0)])
@pytest.mark.parametrize("above", ["clip", "mask"])
def test_no_packing_stores_a_rate_above_the_limit(tmp_path, packing, above):
    from nowcast.data.archive.writer import ArchiveWriter
    from tests.data.archives import frame

    zr = ZR(223.0, 1.53)
    dbz = np.arange(-32, 80, 0.5).reshape(14, 16)
    limits = Limits((0.0, 300.0), (-60.0, 80.0), below="mask", above=above)
    given = frame(0, dbz, quantity=Quantity.REFLECTIVITY, packing=packing, no_echo=-32.0, zr=zr)
    limited, below, count = limits.apply(given)
    with ArchiveWriter(tmp_path / "a.nc", limited, {}) as writer:
        writer.append(limited)
        writer.finish("")
    rain = read(Archive(tmp_path / "a.nc"))[0]
    too_high = dbz > 10 * np.log10(223) + 15.3 * np.log10(300)
    assert (below, count) == (0, too_high.sum())
    assert np.nanmax(rain) <= 300.0
    assert np.isnan(rain[too_high]).all() == (above == "mask")
    np.testing.assert_allclose(rain[~too_high & (dbz > -32)], zr.rain_rate(dbz[~too_high & (dbz > -32)]), rtol=1e-4)
