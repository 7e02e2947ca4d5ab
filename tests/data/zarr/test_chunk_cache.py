"""Chunks kept on disk: what is given is what was put, or nothing, whatever happens to processes, files and the disk."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.zarr import chunk_cache
from nowcast.data.zarr.chunk_cache import ChunkCache
from nowcast.data.zarr.opening import archive_at
from nowcast.studies.benchmarks.stores.server import served
from tests.data.archives import moving_rain
from tests.data.modules import SETTINGS, radar
from tests.data.zarr.stores import KINDS, mirror

EVERYTHING = (slice(None), slice(None), slice(None))
LIMIT = 10**6


def content(number):
    return np.random.default_rng(number).bytes(20_000)


def files(folder):
    return [path for path in folder.glob("??/*") if path.is_file()]


def size_of(folder):
    return sum(path.stat().st_size for path in files(folder))


@pytest.fixture
def cache(tmp_path):
    return ChunkCache(tmp_path / "chunks", LIMIT, "store")


def test_what_is_put_is_given(cache, tmp_path):
    assert cache.get("c/0") is None
    cache.put("c/0", b"abc")
    cache.put("c/1", b"")
    assert (cache.get("c/0"), cache.get("c/1"), cache.get("c/2")) == (b"abc", b"", None)
    assert ChunkCache(tmp_path / "chunks", LIMIT, "store").get("c/0") == b"abc"
    assert ChunkCache(tmp_path / "chunks", LIMIT, "store that changed").get("c/0") is None


@pytest.mark.parametrize("damage", [lambda old: b"", lambda old: old[:5], lambda old: old[:-1], lambda old: old + b"0",
                                    lambda old: old[:100] + b"?" + old[101:], lambda old: b"XXXX" + old[4:],
                                    lambda old: bytes(len(old))])  # fmt: skip
def test_a_damaged_file_is_none_and_goes(cache, tmp_path, damage):
    cache.put("c/0", content(0))
    (path,) = files(tmp_path / "chunks")
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("c/0") is None
    assert files(tmp_path / "chunks") == []
    cache.put("c/0", content(0))
    assert cache.get("c/0") == content(0)


KILLED = """
import os, signal, sys
from pathlib import Path
from nowcast.data.zarr.chunk_cache import ChunkCache

def half(self, data):
    with self.open("wb") as file:
        file.write(data[:len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

Path.write_bytes = half
ChunkCache(Path(sys.argv[1]), 10**6, "store").put("c/0", bytes(20_000))
"""


def test_a_process_that_is_killed_while_it_writes_leaves_no_chunk(cache, tmp_path, monkeypatch):
    folder = tmp_path / "chunks"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.suffix for path in files(folder)] == [".partial"]
    assert cache.get("c/0") is None
    cache.put("c/0", content(0))  # looks, and leaves alone what may be being written
    assert cache.get("c/0") == content(0)
    assert len(files(folder)) == 2
    (left,) = folder.glob("??/*.partial")
    os.utime(left, (0, time.time() - chunk_cache.ABANDONED - 60))
    ChunkCache(folder, LIMIT, "store").put("c/1", content(1))
    assert not list(folder.glob("??/*.partial"))
    assert cache.get("c/0") == content(0)


def full_after(number, monkeypatch):
    """A disk that is full after so many files."""
    write, written = Path.write_bytes, []

    def fails(self, data):
        written.append(self)
        if len(written) > number:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fails)
    return written


def test_on_a_full_disk_it_goes_on_without_with_one_warning(cache, tmp_path, monkeypatch, caplog):
    written = full_after(1, monkeypatch)
    for number in range(4):
        cache.put(f"c/{number}", content(number))
    assert len(written) == 2  # after that it is not tried again
    assert [cache.get(f"c/{number}") is None for number in range(4)] == [False, True, True, True]
    assert len(files(tmp_path / "chunks")) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "no more chunks can be kept ([Errno 28] No space left on device); they are fetched each time" in caplog.text


def test_a_folder_that_cannot_be_is_one_warning(tmp_path, caplog):
    (tmp_path / "chunks").write_text("a file")
    cache = ChunkCache(tmp_path / "chunks", LIMIT, "store")
    cache.put("c/0", b"abc")
    cache.put("c/1", b"abc")
    assert cache.get("c/0") is None
    assert len(caplog.records) == 1


def test_the_longest_unused_are_deleted(cache, tmp_path):
    for number in range(49):
        cache.put(f"c/{number}", content(number))
        os.utime(cache._path(f"c/{number}"), (number, number))
    for number in (3, 7):  # of which the time is now
        assert cache.get(f"c/{number}") == content(number)
    for number in (49, 50):
        cache.put(f"c/{number}", content(number))
    kept = [number for number in range(51) if cache._path(f"c/{number}").exists()]
    # The 50th is too many by 400 bytes: 39 of them are 80 % of the limit, and one comes after.
    assert kept == [3, 7, *range(13, 51)]
    assert size_of(tmp_path / "chunks") == 40 * 20_008


def test_what_is_larger_than_the_cache_is_not_kept(cache, tmp_path):
    cache.put("c/0", bytes(LIMIT))
    assert files(tmp_path / "chunks") == []


def used_by(folder, seed):
    """Reads and writes at random; the number of chunks that were found, each of which must be right."""
    cache, draw, found = ChunkCache(Path(folder), LIMIT, "store"), np.random.default_rng(seed), 0
    for number in draw.integers(0, 120, 400).tolist():
        kept = cache.get(f"c/{number}")
        if kept is None:
            cache.put(f"c/{number}", content(number))
        else:
            assert kept == content(number)
            found += 1
    return found, cache._writes


@pytest.mark.thorough
def test_processes_read_while_others_write_and_delete(tmp_path):
    folder = tmp_path / "chunks"
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(used_by, [str(folder)] * 3, range(3)))
    assert all(count > 20 and writes for count, writes in found)
    assert 0.5 * LIMIT < size_of(folder) <= LIMIT * (chunk_cache.FULL + 3 * chunk_cache.LOOK) + 3 * 20_008
    assert not list(folder.glob("??/*.partial"))


# -- with stores ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    return Archive(moving_rain(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames=40))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    (tmp_path / "served").mkdir()
    with served(tmp_path / "served") as running:
        yield running


def kept_in(tmp_path):
    return files(tmp_path / "caches" / "nowcast" / "chunks")


def asked(server, archive):
    """The rain of an archive, and how often the server was asked for it."""
    archive.read(slice(0, 0), slice(0, 0), slice(0, 0))  # opens it
    before = server.answers.value
    return archive.read(*EVERYTHING), server.answers.value - before


@pytest.mark.parametrize(("kind", "chunks", "shards"), [("v2", 40, 0), ("v3", 40, 0), ("v3, sharded", 8 * 4, 2)])
def test_a_store_far_away_is_fetched_once(server, netcdf, tmp_path, kind, chunks, shards):
    """But for the indices of shards, by which one is known that was written anew."""
    mirror(netcdf, tmp_path / "served" / "rain.zarr", **KINDS[kind])
    address = f"{server.address}/rain.zarr"
    for expected in (chunks + shards, shards):
        rain, count = asked(server, archive_at(address, 0.1))
        assert count == expected
        assert np.array_equal(rain, netcdf.read(*EVERYTHING), equal_nan=True)
    assert len(kept_in(tmp_path)) == chunks
    assert asked(server, archive_at(address))[1] == chunks + shards  # who wants no cache has none


def test_a_store_that_changed_is_fetched_anew(server, netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "served" / "rain.zarr")
    address = f"{server.address}/rain.zarr"
    asked(server, archive_at(address, 0.1))
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(metadata | {"attributes": {"history": "corrected"}}))
    assert asked(server, archive_at(address, 0.1))[1] == 40


def test_what_cannot_be_decoded_is_not_kept(server, netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "served" / "rain.zarr")
    chunk = path / "rr" / "c/4/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-20])
    archive = archive_at(f"{server.address}/rain.zarr", 0.1)
    with pytest.raises(DataFormatError, match="cannot read rr, frames"):
        archive.read(*EVERYTHING)
    chunk.write_bytes(whole)
    assert np.array_equal(archive.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)
    again = archive_at(f"{server.address}/rain.zarr", 0.1)
    assert np.array_equal(again.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)


def test_damaged_files_and_a_full_disk_change_nothing_that_is_read(server, netcdf, tmp_path, monkeypatch, caplog):
    mirror(netcdf, tmp_path / "served" / "rain.zarr")
    address = f"{server.address}/rain.zarr"
    asked(server, archive_at(address, 0.1))
    for path in kept_in(tmp_path)[::2]:
        path.write_bytes(path.read_bytes()[:50])
    full_after(3, monkeypatch)
    rain, count = asked(server, archive_at(address, 0.1))
    assert count == 20
    assert np.array_equal(rain, netcdf.read(*EVERYTHING), equal_nan=True)
    assert sum("no more chunks can be kept" in record.message for record in caplog.records) == 1


def test_a_store_in_a_folder_is_not_kept_twice(server, netcdf, tmp_path):
    archive = archive_at(mirror(netcdf, tmp_path / "rain.zarr"), 0.1)
    archive.read(*EVERYTHING)
    assert kept_in(tmp_path) == []


def test_training_sets_it(server, netcdf, tmp_path):
    mirror(netcdf, tmp_path / "served" / "rain.zarr")
    data = radar([f"{server.address}/rain.zarr"], **SETTINGS | {"split": "blocks", "remote_cache_gb": 0.1})
    assert len(list(data.train_dataloader())) > 2
    assert len(kept_in(tmp_path)) == 40
    with pytest.raises(ValueError, match=r"data\.remote_cache_gb must be at least 0, got -1"):
        radar(["a.zarr"], **SETTINGS | {"remote_cache_gb": -1})
