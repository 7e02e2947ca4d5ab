"""Every reader on real files of its provider: shape, unit, shares of rain and of no data, times."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nowcast.data.archive.frame import ToRainRate
from tests.data.formats.readers import reader

pytestmark = pytest.mark.real_data


@functools.cache
def seen(name, file):
    """What the tests ask of the frames of a file, which is read once for all of them."""
    return [look(frame) for frame in reader(name).read(file)]


def look(frame):
    rates = rain_rate(frame)
    known = rates[np.isfinite(rates)]
    return SimpleNamespace(
        time=frame.time,
        grid=frame.grid,
        period=frame.period,
        no_echo=frame.no_echo,
        packing=frame.packing,
        missing=int(np.isnan(frame.values).sum()),
        no_data=np.isnan(rates).mean(),
        least=known.min(),
        largest=np.nanmax(rates),
        light=(known > 0.1).mean(),
        rain=(known > 0.5).mean(),
        beyond_belief=int((rates > 150).sum()),
    )


def read(real_data, name, pattern, every=1):
    files = sorted(real_data.glob(pattern))
    assert files, pattern
    return [frame for file in files[::every] for frame in seen(name, file)]


def rain_rate(frame):
    return ToRainRate(frame.quantity, frame.period, frame.no_echo, frame.zr)(frame.values)


def mean(frames, name):
    return np.mean([getattr(frame, name) for frame in frames])


def large(*case):
    """Millions of cells a frame, or more than a hundred files."""
    return pytest.param(*case, marks=pytest.mark.thorough)


# name, files, every n-th, files in all, shape, share above 0.1 and 0.5 mm/h, share without data
FACTS = [
    ("knmi", "knmi_hdf5/20100826/*.h5", 1, 61, (765, 700), 0.51, 0.20, 0.744),
    ("fmi_pgm", "fmi_pgm/20160928/*", 1, 40, (1226, 760), 0.30, 0.15, 0.2435),
    ("mch_gif", "mch_gif/20150515/*", 1, 40, (640, 710), 0.17, 0.12, 0.309),
    ("mch_gif", "mch_gif/20160711/*", 1, 40, (640, 710), 0.13, 0.10, 0.296),
    large("bom", "bom_netcdf_c10/66/20201031/*", 1, 144, (512, 512), 0.13, 0.10, 0.0),
    large("odim", "opera_odim/20180824_ODYSSEY/*", 4, 24, (2200, 1900), 0.12, 0.05, 0.499),
    large("mrms", "mrms_grib2/20190610/*", 9, 20, (3500, 7000), 0.061, 0.044, 0.358),
    ("eccc_gif", "eccc_dpqpe_gif/CASCM/*", 4, 239, (480, 480), 0.46, None, 0.218),
    large("eccc_gif", "eccc_dpqpe_gif/CASGO/*", 4, 239, (480, 480), 0.24, None, 0.217),
    large("fmi_geotiff", "fmi_geotiff/20160928/*", 2, 3, (7316, 4963), 0.30, 0.15, None),
]


@pytest.mark.parametrize(("name", "pattern", "every", "count", "shape", "light", "rain", "missing"), FACTS)
def test_facts_of_the_manifest(real_data, name, pattern, every, count, shape, light, rain, missing):
    assert len(list(real_data.glob(pattern))) == count
    frames = read(real_data, name, pattern, every)
    assert {frame.grid.shape for frame in frames} == {shape}
    assert all(frame.grid.same_as(frames[0].grid) for frame in frames)
    assert min(frame.least for frame in frames) >= -0.6  # BoM's rounding below zero; everybody else 0
    assert mean(frames, "light") == pytest.approx(light, abs=0.02)
    if rain is not None:
        assert mean(frames, "rain") == pytest.approx(rain, abs=0.02)
    if missing is not None:
        assert mean(frames, "no_data") == pytest.approx(missing, abs=0.02)


@pytest.mark.parametrize(
    ("name", "pattern", "first", "last", "steps"),
    [
        ("knmi", "knmi_hdf5/20100826/*.h5", "2010-08-26T00:00", "2010-08-26T05:00", {5}),
        ("mch_gif", "mch_gif/20160711/*", "2016-07-11T20:45", "2016-07-12T00:00", {5}),
        ("fmi_pgm", "fmi_pgm/20160928/*", "2016-09-28T14:45", "2016-09-28T18:00", {5}),
        large("odim", "opera_odim/20180824_ODYSSEY/*", "2018-08-24T18:00", "2018-08-24T23:45", {15}),
        large("eccc_gif", "eccc_dpqpe_gif/CASCM/*", "2024-07-10T21:06", "2024-07-11T21:00", {6, 12}),
    ],
)
def test_time_axes(real_data, name, pattern, first, last, steps):
    times = np.array([frame.time for frame in read(real_data, name, pattern)])
    assert (times[0], times[-1]) == (np.datetime64(first), np.datetime64(last))
    assert set((np.diff(times).astype(int) // 60).tolist()) == steps


def test_knmi_tells_radar_range_from_dry(real_data):
    (frame,) = reader("knmi").read(sorted(real_data.glob("knmi_hdf5/20100826/*.h5"))[0])
    assert np.isnan(frame.values).mean() == pytest.approx(0.744, abs=0.001)
    assert (frame.values == 0).sum() > 0


def test_mch_largest_value(real_data):
    frames = read(real_data, "mch_gif", "mch_gif/*/*")
    assert max(frame.largest for frame in frames) == pytest.approx(115.5, rel=0.01)


@pytest.mark.thorough
def test_opera_outliers_are_in_the_file_and_left_to_the_limits(real_data):
    frames = read(real_data, "odim", "opera_odim/20180824_ODYSSEY/*")
    assert sum(frame.beyond_belief for frame in frames) == 60
    assert max(frame.largest for frame in frames) == pytest.approx(8647, abs=1)


@pytest.mark.thorough
def test_bom_missing_pixels(real_data):
    frames = read(real_data, "bom", "bom_netcdf_c10/66/20201031/*")
    missing = [frame.missing for frame in frames]
    assert sum(count > 0 for count in missing) == 16
    assert max(missing) == 19
    assert {frame.period for frame in frames} == {600.0}


def test_ukmo_is_turned_north_up_and_masked(real_data):
    frames = read(real_data, "ukmo_netcdf", "ukmo_netcdf/20181103/*")
    assert [str(frame.time)[11:16] for frame in frames] == ["15:30", "15:45", "16:00"]
    assert frames[0].grid.y[0] > frames[0].grid.y[-1]
    assert mean(frames, "rain") == pytest.approx(0.16, abs=0.02)
    assert max(frame.largest for frame in frames) < 300


@pytest.mark.thorough
def test_mrms_lies_on_america(real_data):
    (frame,) = reader("mrms").read(sorted(real_data.glob("mrms_grib2/20190610/*"))[9])
    assert (frame.grid.x[0], frame.grid.x[-1]) == (pytest.approx(-129.995), pytest.approx(-60.005))
    assert (frame.grid.y[0], frame.grid.y[-1]) == (pytest.approx(54.995), pytest.approx(20.005))
    assert frame.time == np.datetime64("2019-06-10T00:18:00")


@pytest.mark.thorough
def test_both_fmi_formats_show_the_same_rain(real_data):
    pgm = read(real_data, "fmi_pgm", "fmi_pgm/20160928/*")[0]
    tiff = read(real_data, "fmi_geotiff", "fmi_geotiff/20160928/*", 2)[0]
    assert pgm.time == tiff.time
    assert (pgm.no_echo, pgm.packing) == (tiff.no_echo, tiff.packing)
    for frame in (pgm, tiff):
        assert frame.rain == pytest.approx(0.15, abs=0.03)


def test_a_cf_file_is_read_without_any_setting(real_data):
    path = sorted(real_data.glob("ukmo_netcdf/20181103/*"))[0]
    (frame,) = reader("netcdf").read(path)
    (own,) = reader("ukmo_netcdf").read(path)
    np.testing.assert_array_equal(frame.values, own.values)


def test_eccc_class_100_is_rain(real_data):
    """The map draws it as ff0299, the legend as ff0099: what the legend's colour alone finds is no data."""
    (path,) = real_data.glob("eccc_dpqpe_gif/CASCM/**/20240711T2100Z_*.gif")
    (frame,) = reader("eccc_gif").read(path)
    with Image.open(path) as picture:
        drawn = (np.asarray(picture.convert("RGB"))[:, :480] == [0xFF, 0x02, 0x99]).all(axis=2)
    assert drawn.sum() == 1
    np.testing.assert_allclose(frame.values[drawn], np.sqrt(100 * 125), rtol=1e-6)
