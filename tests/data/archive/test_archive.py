"""Archives: what goes in comes out, in the right unit, and half an archive is none."""

import pickle

import netCDF4
import numpy as np
import pytest
import xarray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Packing
from nowcast.data.archive.writer import ArchiveWriter, pack, summarise_tiles, unpack
from nowcast.units import ZR, Quantity
from tests.data.archives import START, frame, grid, write

EVERYTHING = (slice(None), slice(None), slice(None))


def field(*values):
    full = np.zeros((8, 10), dtype=np.float32)
    full.flat[: len(values)] = values
    return full


def test_rain_rate_comes_back(tmp_path):
    values = field(0.0, 0.1, 12.3, np.nan)
    archive = Archive(write(tmp_path / "a.nc", [frame(0, values), frame(5)]))
    rain = archive.read(*EVERYTHING)
    np.testing.assert_allclose(rain[0], values, rtol=1e-6)
    assert rain.dtype == np.float32
    assert archive.times.tolist() == [START.item(), (START + np.timedelta64(300, "s")).item()]
    assert archive.timestep == 300
    assert archive.grid.same_as(grid())


def test_an_amount_is_read_as_a_rate(tmp_path):
    one = frame(5, field(0.5, np.nan), quantity=Quantity.RAIN_AMOUNT, period=300.0, packing=Packing(0.01, 0.0))
    archive = Archive(write(tmp_path / "a.nc", [one]))
    rain = archive.read(*EVERYTHING)[0]
    assert rain.flat[0] == pytest.approx(6.0)
    assert np.isnan(rain.flat[1])
    with xarray.open_dataset(tmp_path / "a.nc", engine="netcdf4") as dataset:
        assert dataset.rain_amount.units == "mm"
        assert float(dataset.rain_amount[0, 0, 0]) == pytest.approx(0.5)
        begin, end = dataset.time_bounds[0].values
        assert (begin, end) == (START, START + np.timedelta64(300, "s"))


def test_reflectivity_is_read_as_a_rate_and_no_echo_as_zero(tmp_path):
    values = field(-32.0, 23.0, np.nan, -31.5)
    values.flat[4:] = -32.0
    one = frame(0, values, quantity=Quantity.REFLECTIVITY, packing=Packing(0.5, -32.0), no_echo=-32.0, zr=ZR(200, 1.6))
    rain = Archive(write(tmp_path / "a.nc", [one])).read(*EVERYTHING)[0]
    assert rain.flat[0] == 0  # exactly, not the rate of -32 dBZ
    assert rain.flat[1] == pytest.approx(ZR(200, 1.6).rain_rate(23.0), rel=1e-6)
    assert np.isnan(rain.flat[2])
    assert 0 < rain.flat[3] < 0.001


def test_unpacked_values_keep_every_bit(tmp_path):
    values = field(*np.random.default_rng(0).random(80).astype(np.float32))
    values.flat[3] = np.nan
    archive = Archive(write(tmp_path / "a.nc", [frame(0, values, packing=None)]))
    np.testing.assert_array_equal(archive.read(*EVERYTHING)[0], values)


def test_blocks_are_read_alone(tmp_path):
    frames = [frame(5 * k, np.arange(80).reshape(8, 10) + 100 * k) for k in range(45)]
    archive = Archive(write(tmp_path / "a.nc", frames))
    block = archive.read(slice(2, 43, 10), slice(1, 3), slice(4, 6))
    expected = [[[14 + 100 * k, 15 + 100 * k], [24 + 100 * k, 25 + 100 * k]] for k in range(2, 43, 10)]
    np.testing.assert_allclose(block, expected, rtol=1e-6)


def test_the_file_is_cf_and_says_where_it_comes_from(tmp_path):
    write(tmp_path / "a.nc", [frame(0)])
    with netCDF4.Dataset(tmp_path / "a.nc") as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.history == "made by a test"
        rain = dataset["rain_rate"]
        assert (rain.units, rain.standard_name, rain.grid_mapping) == ("mm h-1", "lwe_precipitation_rate", "crs")
        assert dataset["crs"].grid_mapping_name == "lambert_azimuthal_equal_area"
        assert dataset["x"].standard_name == "projection_x_coordinate"
        assert dataset["y"][0] > dataset["y"][-1]


def test_the_fingerprint_depends_on_the_data_alone(tmp_path):
    prints = {
        name: Archive(write(tmp_path / f"{name}.nc", frames)).fingerprint
        for name, frames in {
            "a": [frame(0)],
            "again": [frame(0)],
            "value": [frame(0, field(1.0))],
            "time": [frame(5)],
            "packing": [frame(0, packing=Packing(0.2, 0.0))],
        }.items()
    }
    assert prints["a"] == prints["again"]
    assert len(set(prints.values())) == 4


def test_tiles_summarise_rain_among_valid_cells():
    rain = np.zeros((33, 64))
    rain[:16, :32] = 1.0
    rain[:, 32:] = np.nan
    rain[32, 32] = 0.1
    wet, valid = summarise_tiles(rain)
    np.testing.assert_allclose(wet, [[0.5, 0], [0, 1]])
    np.testing.assert_allclose(valid, [[1, 0], [1, 1 / 32]])


@pytest.mark.parametrize("packing", [Packing(0.01, 0.0), Packing(0.5, -32.0)])
def test_packing_keeps_every_stored_value(packing):
    stored = np.arange(65535, dtype=np.float64)[: 80 * 800].reshape(800, 80)
    one = frame(0, (stored * packing.scale + packing.offset).astype(np.float32), packing=packing)
    np.testing.assert_array_equal(pack(one), stored)
    np.testing.assert_allclose(unpack(pack(one), one), one.values, rtol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 6553.5, 1e9])
def test_values_that_do_not_fit_are_refused(value):
    with pytest.raises(ValueError, match="do not fit"):
        pack(frame(0, field(value)))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (frame(0), "comes after"),
        (frame(-5), "comes after"),
        (frame(5, np.zeros((8, 9))), r"\(8, 9\) differs from \(8, 10\)"),
        (frame(5, grid=grid(cell=2000.0)), "lies elsewhere"),
        (frame(5, packing=Packing(0.2, 0.0)), "packing"),
        (frame(5, quantity=Quantity.RAIN_AMOUNT, period=300.0), "holds rain_amount"),
    ],
)
def test_frames_that_do_not_belong_together_are_refused(tmp_path, second, message):
    with ArchiveWriter(tmp_path / "a.nc", frame(0), {}) as writer:
        writer.append(frame(0))
        with pytest.raises(ValueError, match=message):
            writer.append(second)


def test_an_unfinished_archive_leaves_nothing(tmp_path):
    with ArchiveWriter(tmp_path / "a.nc", frame(0), {}) as writer:
        writer.append(frame(0))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = write(tmp_path / "a.nc", [frame(0)])
    with pytest.raises(FileExistsError, match="choose another output"):
        ArchiveWriter(path, frame(0), {})


def test_an_archive_travels_to_another_process(tmp_path):
    archive = Archive(write(tmp_path / "a.nc", [frame(0, field(7.0))]))
    archive.read(*EVERYTHING)
    assert pickle.loads(pickle.dumps(archive)).read(*EVERYTHING)[0, 0, 0] == pytest.approx(7.0)


def test_a_missing_archive_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowcast prepare"):
        Archive(tmp_path / "none.nc")


def test_foreign_and_truncated_files_are_refused(tmp_path):
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(DataFormatError, match=r"text\.nc: not a nowcast archive"):
        Archive(tmp_path / "text.nc")
    whole = write(tmp_path / "a.nc", [frame(0)]).read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFormatError, match=r"cut\.nc"):
        Archive(tmp_path / "cut.nc")


def test_another_unit_is_refused(tmp_path):
    path = write(tmp_path / "a.nc", [frame(0)])
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["rain_rate"].units = "mm d-1"
    with pytest.raises(DataFormatError, match="mm d-1"):
        Archive(path)


def test_a_file_that_disappears_is_named(tmp_path):
    archive = Archive(write(tmp_path / "a.nc", [frame(0)]))
    archive.path.unlink()
    with pytest.raises(DataFormatError, match=r"a\.nc: cannot be opened any more"):
        archive.read(*EVERYTHING)
