"""Stores that say less, more or something else than the plain one."""

import json
import pickle
import shutil

import numpy as np
import pytest
import zarr

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.zarr.archive import ZarrArchive
from nowcast.data.zarr.opening import archive_at
from nowcast.units import ZR, Quantity
from tests.data.archives import moving_rain
from tests.data.zarr.stores import KINDS, mirror

EVERYTHING = (slice(None), slice(None), slice(None))


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    return Archive(moving_rain(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames=12))


def read(path):
    return archive_at(path).read(*EVERYTHING)


# -- no data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        {"fill": 0.0},  # which Zarr would give for a chunk that is not there
        {"fill": np.nan},
        {"fill": 0.0, "version": 2},
        {"packed": True},
        {"packed": True, "fill": 0},
        {"packed": True, "fill": 0, "version": 2},
    ],
)
@pytest.mark.parametrize("how", ["never written", "lost"])
def test_a_chunk_that_is_not_there_is_no_data_and_never_no_rain(netcdf, tmp_path, kind, how):
    path = mirror(netcdf, tmp_path / "rain.zarr", **kind, drop=(3, 7) if how == "never written" else ())
    if how == "lost":
        for k in (3, 7):
            gone = path / "rr" / (f"{k}.0.0" if kind.get("version") == 2 else f"c/{k}/0/0")
            gone.unlink()
    archive = archive_at(path)
    rain = archive.read(*EVERYTHING)
    assert np.isnan(rain[[3, 7]]).all()
    others = [k for k in range(12) if k not in (3, 7)]
    assert np.array_equal(rain[others], netcdf.read(*EVERYTHING)[others])
    assert (archive.valid_fraction[[3, 7]] == 0).all()
    assert (archive.valid_fraction[others] == 1).all()


def test_an_inner_chunk_that_is_not_in_its_shard_is_no_data(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr", shards=(4, 32, 40), chunks=(1, 32, 40), fill=0.0, drop=(5,))
    assert np.isnan(read(path)).all(axis=(1, 2)).tolist() == [k == 5 for k in range(12)]


def test_integers_of_which_none_means_no_data_are_refused(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr", packed=True, fill=0, attributes={"_FillValue": None})
    with pytest.raises(DataFormatError, match=r"rr holds integers of which none means no data.*_FillValue="):
        read(path)


def test_rain_below_zero_is_no_rain(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    zarr.open_group(path)["rr"][0, 0, :2] = [-0.01, np.nan]
    assert read(path)[0, 0, 0] == 0
    assert np.isnan(read(path)[0, 0, 1])


# -- quantities and units ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"unit": "kg m-2 h-1"}, 1),
        ({"unit": "mm/h"}, 1),
        ({"unit": "kg m-2 s-1", "standard_name": "precipitation_flux", "name": "tprate"}, 3600),
        ({"standard_name": None, "name": "mmh"}, 1),
        ({"unit": "kg m-2", "standard_name": "rainfall_amount", "name": "tp"}, 12),  # in five minutes
        ({"unit": "mm", "standard_name": "precipitation_amount", "attributes": {"cell_methods": "time: sum"}}, 12),
        ({"unit": "mm", "standard_name": "rainfall_amount", "attributes": {"accumulation_period": 600}}, 6),
    ],
)
def test_units_of_the_specification(netcdf, tmp_path, said, expected):
    path = mirror(netcdf, tmp_path / "rain.zarr", **said)
    np.testing.assert_allclose(read(path), netcdf.read(*EVERYTHING) * expected, rtol=1e-6)


def test_reflectivity_becomes_rain_by_a_relation_that_the_store_may_name(netcdf, tmp_path):
    names = {"unit": "dBZ", "standard_name": "equivalent_reflectivity_factor", "name": "dbz"}
    archive = archive_at(mirror(netcdf, tmp_path / "rain.zarr", **names))
    assert archive.to_rain_rate.quantity is Quantity.REFLECTIVITY
    assert (archive.to_rain_rate.zr, archive.to_rain_rate.no_echo) == (ZR(200.0, 1.6), 0.0)
    dbz = netcdf.read(*EVERYTHING)
    expected = np.where(dbz <= 0, 0, ZR(200.0, 1.6).rain_rate(dbz))
    np.testing.assert_allclose(archive.read(*EVERYTHING), expected, rtol=1e-5)
    other = mirror(netcdf, tmp_path / "other.zarr", **names, attributes={"zr_a": 256.0, "zr_b": 1.42, "no_echo": 7.0})
    assert archive_at(other).to_rain_rate.zr == ZR(256.0, 1.42)
    assert archive_at(other).to_rain_rate.no_echo == 7.0


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"unit": "mm"}, r"rr is rainfall_flux and has unit 'mm', one of rain_amount; expected one of rain_rate"),
        ({"unit": "K"}, r"variable rr: unit 'K' is none of rain or reflectivity"),
        ({"unit": "m", "standard_name": "height", "name": "top"}, r"could be rain|top"),
        ({"unit": "K", "standard_name": "air_temperature", "name": "t2m"}, r"0 variables could be rain"),
        ({"without": ("time",)}, r"no time variable|time"),
        ({"without": ("x",)}, r"axis x of rr has no one-dimensional coordinate"),
    ],
)
def test_what_is_no_field_of_rain_is_one_line(netcdf, tmp_path, said, problem):
    path = mirror(netcdf, tmp_path / "rain.zarr", **said)
    with pytest.raises(DataFormatError, match=problem) as error:
        archive_at(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


# -- times ---------------------------------------------------------------------------------------------------


def test_missing_times_and_inconsistent_steps_are_left_out(netcdf, tmp_path):
    start = str(netcdf.times[3])
    path = mirror(
        netcdf, tmp_path / "rain.zarr", missing=netcdf.times[[5, 6]], group={"consistent_timestep_start": start}
    )
    archive, kept = archive_at(path), [3, 4, 7, 8, 9, 10, 11]
    assert np.array_equal(archive.times, netcdf.times[kept])
    assert np.array_equal(archive.read(*EVERYTHING), netcdf.read(*EVERYTHING)[kept])
    assert archive.rain_fraction.shape[0] == 7
    assert np.array_equal(archive.rain_fraction, netcdf.rain_fraction[kept])


def test_a_start_that_is_no_time_is_refused(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr", group={"consistent_timestep_start": "soon"})
    with pytest.raises(DataFormatError, match="consistent_timestep_start"):
        archive_at(path)


# -- damage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 20, 100])
@pytest.mark.parametrize("version", [2, 3])
def test_a_truncated_chunk_is_one_line(netcdf, tmp_path, version, cut):
    """Of version 2 they are Blosc's, whose decoder reads on behind the end of a chunk that was cut a little."""
    path = mirror(netcdf, tmp_path / "rain.zarr", version=version)
    chunk = path / "rr" / ("4.0.0" if version == 2 else "c/4/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-cut])
    archive = archive_at(path)
    assert archive.read(slice(0, 4), slice(None), slice(None)).shape == (4, 32, 40)
    with pytest.raises(DataFormatError, match=r"rain\.zarr: cannot read rr, frames 3 to 6: .*; copy it again") as error:
        archive.read(slice(3, 6), slice(None), slice(None))
    assert "\n" not in str(error.value)


def test_a_truncated_chunk_ends_the_counting_of_rain_without_a_file(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    (path / "rr" / "c/4/0/0").write_bytes(b"123")
    with pytest.raises(DataFormatError, match="cannot read rr, frames"):
        archive_at(path).rain_fraction  # noqa: B018
    assert not list((tmp_path / "tile_shares").glob("*.npy*"))


@pytest.mark.parametrize("text", ["", "{", '{"zarr_format": 3, "node_type": "array"}'])
def test_damaged_metadata_are_one_line(netcdf, tmp_path, text):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    (path / "zarr.json").write_text(text)
    with pytest.raises(DataFormatError, match=r"is no Zarr store that can be opened") as error:
        archive_at(path)
    assert "\n" not in str(error.value)


def test_a_store_that_changed_has_another_fingerprint(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr", consolidated=False)
    before = archive_at(path).fingerprint
    shutil.copytree(path, tmp_path / "copy.zarr")
    assert archive_at(tmp_path / "copy.zarr").fingerprint == before
    metadata = json.loads((path / "rr" / "zarr.json").read_text())
    metadata["attributes"]["units"] = "kg m-2 s-1"
    (path / "rr" / "zarr.json").write_text(json.dumps(metadata))
    assert archive_at(path).fingerprint != before


def test_a_process_that_opens_a_store_which_changed_meanwhile_says_so(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    archive = archive_at(path)
    archive.read(*EVERYTHING)
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(metadata | {"attributes": {"history": "corrected"}}))
    assert archive.read(*EVERYTHING).shape == (12, 32, 40)  # what is open stays open
    with pytest.raises(DataFormatError, match="the store changed after it was opened"):
        pickle.loads(pickle.dumps(archive)).read(*EVERYTHING)


@pytest.mark.parametrize("kind", ["v2", "v3", "v3, sharded", "v3, packed"])
@pytest.mark.parametrize("frame", [0, 5, 11])
def test_values_that_were_written_anew_are_noticed_as_far_as_they_are_looked_at(netcdf, tmp_path, kind, frame):
    """Of twelve chunks of time, or three shards; the last, which is looked at, is the frame 11."""
    layout = KINDS[kind] | ({"shards": (4, 32, 40), "chunks": (2, 16, 20)} if "sharded" in kind else {})
    path = mirror(netcdf, tmp_path / "rain.zarr", **layout)
    archive = archive_at(path)
    before = archive.fingerprint
    array = zarr.open_group(path, mode="r+")["rr"]
    array[frame] = array[frame] + 3
    if frame == 5 and "sharded" not in kind:  # a correction of one frame in the middle
        assert archive_at(path).fingerprint == before
        return
    assert archive_at(path).fingerprint != before
    with pytest.raises(DataFormatError, match="the store changed after it was opened: its metadata or its values"):
        pickle.loads(pickle.dumps(archive)).read(*EVERYTHING)


def test_a_copy_is_the_same_store_whenever_it_was_copied(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    shutil.copytree(path, tmp_path / "copy.zarr", copy_function=shutil.copyfile)
    assert archive_at(path).fingerprint == archive_at(tmp_path / "copy.zarr").fingerprint


def test_shares_are_counted_once(netcdf, tmp_path, monkeypatch):
    path = mirror(netcdf, tmp_path / "rain.zarr")
    assert archive_at(path).rain_fraction.any()
    monkeypatch.setattr(ZarrArchive, "_block", None)  # nothing is read
    assert np.array_equal(archive_at(path).rain_fraction, netcdf.rain_fraction)
