"""Stores of provider files: what an archive of the same files is, begun again, gone on with and grown."""

import hashlib
import os
import signal

import numpy as np
import pytest
import xarray as xr

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.paths import archive_paths
from nowcast.data.prepare import shards
from nowcast.data.prepare.ledger import Ledger
from nowcast.data.zarr.opening import archive_at
from tests.conftest import thinned
from tests.data.formats import fakes
from tests.data.prepare import preparing
from tests.data.prepare.preparing import cf
from tests.data.prepare.stores import EVERYTHING, files_of, prepare, same


def knmi(folder):
    for k in range(10):
        if k in (3, 4):
            continue
        hour = f"{k // 12:02}:{5 * k % 60:02}:00"
        cells = np.random.default_rng(k).integers(0, 300, (7, 9))
        cells[0, :k] = 65535
        start = f"26-AUG-2010;{hour}"
        end = f"26-AUG-2010;{(5 * k + 5) // 60:02}:{(5 * k + 5) % 60:02}:00"
        times = {"overview/product_datetime_start": start, "overview/product_datetime_end": end}
        fakes.knmi(folder / f"{k}.h5", cells, **times)


def pgm(folder):
    for k in range(5):
        fakes.fmi_pgm(
            folder / f"20160928144{k}.pgm.gz", np.random.default_rng(k).integers(0, 255, (8, 6)), f"20160928144{k}"
        )


def many_in_a_file(folder):
    values = np.random.default_rng(0).gamma(0.3, 3.0, (11, 6, 5)).astype(np.float32)
    values[:, 2, 3], values[4] = np.nan, np.nan
    fakes.cf(folder / "a.nc", values[:6], times=range(0, 30, 5))
    fakes.cf(folder / "b.nc", values[6:], times=range(40, 65, 5))


def dbz(folder):
    for k in range(4):
        values = np.random.default_rng(k).uniform(-20, 60, (1, 6, 5)).astype(np.float32)
        fakes.cf(folder / f"{k}.nc", values, times=(10 * k,), attributes={"units": "dBZ"})


SOURCES = {"knmi": (knmi, "knmi"), "pgm": (pgm, "fmi_pgm"), "cf": (many_in_a_file, "netcdf"), "dbz": (dbz, "netcdf")}


def both(tmp_path, name, **options):
    make, source = SOURCES[name]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    netcdf, _ = preparing.prepare(tmp_path, source=source)
    store, report = prepare(tmp_path, source=source, **options)
    return netcdf, store, report


@pytest.mark.parametrize("name", SOURCES)
def test_a_store_holds_what_the_netcdf_archive_of_the_files_holds(tmp_path, name):
    netcdf, store, report = both(tmp_path, name)
    same(store, netcdf)
    assert report.lines(preparing.LIMITS) == [
        line.split(" prepare: ", 1)[1] for line in netcdf.attributes["history"].splitlines()
    ]


@pytest.mark.parametrize(
    "options", thinned([{"shard": 1}, {"shard": 100}, {"chunk": (2, 4, 4)}, {"workers": 2}], fast=[0, 1, 2])
)
def test_however_it_is_cut_and_by_whom(tmp_path, options):
    netcdf, store, _ = both(tmp_path, "cf", **options)
    same(store, netcdf)


def test_the_second_time_nothing_is_written_and_no_file_is_read(tmp_path, monkeypatch):
    _, store, _ = both(tmp_path, "cf")
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*")}
    monkeypatch.setattr("nowcast.data.formats.netcdf.NetcdfReader.read", None)
    again, report = prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("*")} == before
    assert again.fingerprint == store.fingerprint
    assert report.frames == 11


def test_later_files_are_added_with_or_without_the_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    _, whole, _ = both(tmp_path, "cf")
    for name, inputs in (("all", None), ("new", "b.nc")):
        folder = tmp_path / name
        (folder / "in").mkdir(parents=True)
        os.link(tmp_path / "in" / "a.nc", folder / "in" / "a.nc")
        first, _ = prepare(folder)
        first.read(*EVERYTHING)  # who has it open goes on reading what there was
        assert (len(first.times), first.fingerprint != whole.fingerprint) == (6, True)
        os.link(tmp_path / "in" / "b.nc", folder / "in" / "b.nc")
        if inputs:
            (folder / "in" / "a.nc").unlink()
        grown, _ = prepare(folder)
        same(grown, whole)
        assert grown.attributes["content"] == whole.attributes["content"]
        assert "missing_times/zarr.json" in files_of(grown.path)
        history = grown.attributes["history"].splitlines()
        assert sum("frames from" in line for line in history) == 2
        assert np.array_equal(first.read(*EVERYTHING), whole.read(*EVERYTHING)[:6], equal_nan=True)


def test_what_does_not_fit_behind_a_store_is_refused_and_leaves_it_as_it_was(tmp_path):
    cf(tmp_path, "a.nc", 10)
    cf(tmp_path, "b.nc", 20)
    store, _ = prepare(tmp_path)
    before = files_of(store.path)
    cf(tmp_path, "c.nc", 15)
    with pytest.raises(ValueError, match=r"c\.nc: its frame of .*00:15:00 UTC lies before the last of the store"):
        prepare(tmp_path)
    (tmp_path / "in" / "c.nc").unlink()
    (tmp_path / "in" / "a.nc").unlink()
    cf(tmp_path, "a.nc", 10, 7.0)
    with pytest.raises(DataFormatError, match=r"a\.nc: holds another frame for .*00:10:00 UTC than .*a\.nc"):
        prepare(tmp_path)
    (tmp_path / "other" / "in").mkdir(parents=True)
    cf(tmp_path / "other", "d.nc", 30, np.ones((1, 6, 5), dtype=np.float32))
    with pytest.raises(DataFormatError, match=r"d\.nc: grid .* in the store; choose another output="):
        prepare(tmp_path, str(tmp_path / "other" / "in"))
    with pytest.raises(ValueError, match=r"was begun with other settings: limits\.rain_rate:"):
        prepare(tmp_path, limits=Limits((0.0, 5.0), (-60.0, 80.0), below="mask", above="clip"))
    with pytest.raises(ValueError, match=r"store\.frames_per_shard: 4 before, now 5"):
        prepare(tmp_path, shard=5)
    assert files_of(store.path) == before


def test_a_store_of_unknown_origin_is_not_touched(tmp_path):
    cf(tmp_path, "a.nc", 0)
    (tmp_path / "out" / "archive.zarr").mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"its ledger .* does not"):
        prepare(tmp_path)


def test_the_ledger_says_which_file_went_into_which_shard(tmp_path):
    for k in range(5):
        cf(tmp_path, f"{k}.nc", 5 * k)
    store, _ = prepare(tmp_path, shard=2)
    with Ledger(store.path.with_name("archive.zarr.ledger")) as ledger:
        found = ledger.inputs_of_shards(2)
    name = str(tmp_path / "in" / "{}.nc")
    assert found == {0: [name.format(0), name.format(1)], 1: [name.format(2), name.format(3)], 2: [name.format(4)]}


def test_a_shard_that_is_gone_or_cut_short_is_written_again(tmp_path):
    _, store, _ = both(tmp_path, "cf")
    before = files_of(store.path)
    (store.path / "prate" / "c" / "0" / "0" / "0").unlink()
    cut = store.path / "prate" / "c" / "1" / "0" / "0"
    cut.write_bytes(cut.read_bytes()[:-9])
    prepare(tmp_path)
    assert files_of(store.path) == before


def test_a_file_that_changes_while_it_is_prepared_is_an_error(tmp_path, monkeypatch):
    cf(tmp_path, "a.nc", 0)
    cf(tmp_path, "b.nc", 5)
    monkeypatch.setattr(shards, "digest_of", lambda frame: hashlib.sha256(b"other").digest())
    with pytest.raises(DataFormatError, match=r"a\.nc: changed while it was prepared; give the same command again"):
        prepare(tmp_path)
    assert not (tmp_path / "out" / "archive.zarr" / "zarr.json").exists()
    monkeypatch.undo()
    assert len(prepare(tmp_path)[0].times) == 2


def test_what_reads_back_as_something_else_is_an_error(tmp_path, monkeypatch):
    cf(tmp_path, "a.nc", 0)
    told = iter((b"what was written", b"what is read"))
    monkeypatch.setattr(shards, "stored_digests", lambda block: next(told))
    with pytest.raises(DataFormatError, match="was written, and reads as something else"):
        prepare(tmp_path)


def test_a_damaged_ledger_is_said_by_name(tmp_path):
    cf(tmp_path, "a.nc", 0)
    store, _ = prepare(tmp_path)
    ledger = store.path.with_name("archive.zarr.ledger") / "ledger.sqlite"
    ledger.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(DataFormatError, match=r"ledger\.sqlite: the ledger of the store cannot be used"):
        prepare(tmp_path)


@pytest.mark.thorough
def test_a_worker_that_dies_is_one_line(tmp_path, monkeypatch):
    for k in range(12):
        cf(tmp_path, f"{k:02}.nc", 5 * k)
    monkeypatch.setattr("nowcast.data.prepare.store.scan", _die)
    with pytest.raises(ChildProcessError, match=r"ended abruptly.*give the same command again"):
        prepare(tmp_path, workers=1)


def _die(*things):
    os.kill(os.getpid(), signal.SIGKILL)


def test_unreadable_files_are_skipped_and_not_read_again(tmp_path):
    cf(tmp_path, "a.nc", 0)
    (tmp_path / "in" / "b.nc").write_bytes(b"no")
    store, report = prepare(tmp_path, on_error="skip")
    assert len(report.skipped) == 1
    again, report = prepare(tmp_path, on_error="skip")
    assert (len(report.skipped), again.fingerprint) == (1, store.fingerprint)


def test_xarray_reads_it_as_it_stands(tmp_path):
    _, store, _ = both(tmp_path, "knmi")
    with xr.open_zarr(store.path, consolidated=True, chunks=None) as dataset:
        amount = dataset["precipitation_amount"]
        assert amount.dims == ("time", "y", "x")
        assert amount.attrs["units"] == "kg m-2"
        assert np.array_equal(dataset["time"].values.astype("M8[s]"), store.times)
        rate = amount.values.astype("f8") * 12
        assert np.allclose(rate, store.read(*EVERYTHING), equal_nan=True, rtol=1e-6)
        absent = dataset["missing_times"].values.astype("M8[m]")
        assert [str(time)[11:] for time in absent] == ["00:20", "00:25"]
        assert dataset.attrs["license"] == "CC-BY-4.0"


def test_a_store_that_is_not_finished_is_said_by_name(tmp_path, monkeypatch):
    cf(tmp_path, "a.nc", 0)
    monkeypatch.setattr("nowcast.data.prepare.store._publish", None)
    with pytest.raises(TypeError):
        prepare(tmp_path)
    place = tmp_path / "out" / "archive.zarr"
    for given in (place, place.parent):
        with pytest.raises(FileNotFoundError, match=r"archive\.zarr is not finished: give the command again"):
            [archive_at(path) for path in archive_paths([str(given)])]
    monkeypatch.undo()
    prepare(tmp_path)
    assert archive_paths([str(place.parent)]) == [place]


def test_a_moment_that_is_none_is_said(tmp_path, monkeypatch):
    cf(tmp_path, "a.nc", 0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH=yesterday in the environment: expected whole seconds"):
        prepare(tmp_path)
