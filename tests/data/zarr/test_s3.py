"""Stores on an S3 server that checks signatures: what they hold, and one line for each thing that goes wrong."""

import shutil

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.zarr import store
from nowcast.data.zarr.opening import archive_at
from tests.data.prepare import preparing
from tests.data.prepare.preparing import cf
from tests.data.prepare.stores import prepare
from tests.s3 import KEY, SECRET

ADDRESS = "s3://bucket/archive.zarr"
EVERYTHING = (slice(None), slice(None), slice(None))
FIELD = "prate/c"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Retries that come at once."""
    quick = store.RETRIES["backoff"] | {"init_backoff": store.timedelta(milliseconds=1)}
    monkeypatch.setitem(store.RETRIES, "backoff", quick | {"max_backoff": store.timedelta(milliseconds=5)})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of small files, and the archive of them."""
    folder = tmp_path_factory.mktemp("made")
    draw = np.random.default_rng(0)
    for k in range(8):
        values = draw.gamma(0.3, 3.0, (1, 40, 50)).astype(np.float32)
        values[:, :2] = np.nan
        cf(folder, f"{k}.nc", 5 * k, values)
    return preparing.prepare(folder)[0], prepare(folder, shard=2)[0]


@pytest.fixture
def served(s3, made):
    """The folder of the store on the server."""
    folder = s3.folder / "bucket" / "archive.zarr"
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(made[1].path, folder)


def test_a_store_is_read_with_the_credentials_of_the_environment(s3, served, made):
    archive = archive_at(ADDRESS)
    assert np.array_equal(archive.read(*EVERYTHING), made[0].read(*EVERYTHING), equal_nan=True)
    assert np.array_equal(archive.rain_fraction, made[0].rain_fraction)
    assert archive.fingerprint == made[1].fingerprint


@pytest.mark.parametrize("fault", [503, 500, 0.3])
def test_a_server_that_is_busy_or_slow_is_asked_again(s3, served, made, fault):
    s3.faults[FIELD] = [fault] * 3
    s3.faults["zarr.json"] = [fault]
    found = archive_at(ADDRESS).read(*EVERYTHING)
    assert np.array_equal(found, made[0].read(*EVERYTHING), equal_nan=True)
    assert s3.faults == {FIELD: [], "zarr.json": []}


def test_a_server_that_stays_busy_is_one_line(s3, served):
    archive = archive_at(ADDRESS)
    archive.read(slice(0, 2), *EVERYTHING[1:])
    s3.faults[FIELD] = [503] * 100
    assert "cannot read prate, frames 2 to 8" in refused(lambda: archive.read(slice(2, 8), *EVERYTHING[1:]))
    assert "prate/c/0/0/0 cannot be read" in refused(lambda: archive_at(ADDRESS))


def test_a_chunk_that_is_not_there_is_no_data_and_not_dry(s3, served, made):
    (served / FIELD / "1" / "0" / "0").unlink()
    found, expected = archive_at(ADDRESS).read(*EVERYTHING), made[0].read(*EVERYTHING)
    expected[2:4] = np.nan
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("cut", [1, 500])
def test_a_chunk_that_was_cut_short_is_one_line(s3, served, cut):
    path = served / FIELD / "1" / "0" / "0"
    path.write_bytes(path.read_bytes()[:-cut])
    archive = archive_at(ADDRESS)
    assert archive.read(slice(0, 2), *EVERYTHING[1:]).shape == (2, 40, 50)
    assert "cannot read prate, frames 2 to 4" in refused(lambda: archive.read(slice(2, 4), *EVERYTHING[1:]))


def test_a_chunk_of_which_a_bit_is_another_is_one_line(s3, served):
    path = served / FIELD / "1" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(bytes(content))
    archive = archive_at(ADDRESS)
    assert "cannot read prate, frames 2 to 4" in refused(lambda: archive.read(slice(2, 4), *EVERYTHING[1:]))


def test_a_store_that_is_not_there_is_one_line(s3):
    assert "is no Zarr store that can be opened" in refused(lambda: archive_at("s3://bucket/nothing.zarr"))


@pytest.mark.parametrize("kind", ["none", "wrong", "unknown"])
def test_credentials_that_are_missing_or_wrong_are_one_line_that_names_the_variables(s3, served, monkeypatch, kind):
    if kind == "none":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    elif kind == "wrong":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-s3cret")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-key")
    said = refused(lambda: archive_at(ADDRESS))
    assert "access is denied; export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def refused(read):
    """What is said: one line with the address, and without secrets."""
    with pytest.raises(DataFormatError) as error:
        read()
    said = str(error.value)
    assert said.startswith("s3://bucket/")
    assert "\n" not in said
    assert not [word for word in (KEY, SECRET, "another-s3cret", "another-key") if word in said]
    return said
