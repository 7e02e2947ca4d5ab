"""Icechunk repositories: what is read is one snapshot, in folders and on S3; test_both_kinds.py has them, too."""

import pickle
import shutil

import numpy as np
import pytest
import zarr

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.paths import archive_paths
from nowcast.data.zarr import snapshots
from nowcast.data.zarr.opening import archive_at
from tests.data.archives import moving_rain
from tests.data.modules import module
from tests.data.zarr.stores import KINDS, commit, mirror
from tests.programs import TINY, run

EVERYTHING = (slice(None), slice(None), slice(None))
RADAR = [
    *(one for one in TINY if not one.startswith("data.archives")), "data=radar", "data.split.block_minutes=50",
    "data.split.gap_minutes=0", "callbacks.watch.every_n_epochs=0", "trainer.max_epochs=1", "evaluate=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    return Archive(moving_rain(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames=60))


@pytest.fixture
def repository(netcdf, tmp_path):
    return mirror(netcdf, tmp_path / "rain.icechunk", **KINDS["icechunk"])


def correct(store):
    """Another value of one frame."""
    field = zarr.open_group(store, mode="r+")["rr"]
    field[33, 4, 5] = 7.0


def test_the_newest_snapshot_is_read_and_named_among_the_facts(repository, netcdf):
    archive = archive_at(repository)
    assert np.array_equal(archive.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)
    assert archive_paths([str(repository)]) == archive_paths([str(repository.parent)]) == [repository]
    newer = commit(repository, correct)
    assert archive_at(repository).snapshot == newer != archive.snapshot
    assert module(repository).provenance()["snapshots"] == {"rain": newer}
    assert "snapshots" not in module(netcdf.path).provenance()


def test_a_process_reads_the_snapshot_of_the_first_whoever_commits_meanwhile(repository, netcdf):
    archive = archive_at(repository)
    commit(repository, correct)
    other = pickle.loads(pickle.dumps(archive))
    assert np.array_equal(other.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)
    assert archive_at(repository).read(*EVERYTHING)[33, 4, 5] == 7.0
    assert archive_at(repository).fingerprint != archive.fingerprint


def test_a_chunk_that_was_never_written_is_no_data(netcdf, tmp_path):
    path = mirror(netcdf, tmp_path / "rain.icechunk", icechunk=True, fill=0.0, drop=(3, 7))
    rain, expected = archive_at(path).read(*EVERYTHING), netcdf.read(*EVERYTHING)
    expected[[3, 7]] = np.nan
    assert np.array_equal(rain, expected, equal_nan=True)


def test_what_is_missing_is_one_line(repository, monkeypatch):
    archive = archive_at(repository)
    shutil.rmtree(repository / "snapshots")
    with pytest.raises(DataFormatError, match=f"its snapshot {archive.snapshot} is not there") as error:
        pickle.loads(pickle.dumps(archive)).read(*EVERYTHING)
    assert "\n" not in str(error.value)
    with pytest.raises(DataFormatError, match="is no Icechunk repository that can be opened") as error:
        archive_at(repository)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(snapshots, "icechunk", None)
    with pytest.raises(ModuleNotFoundError, match=r"is an Icechunk repository, which needs icechunk; .*cloud"):
        archive_at(repository)


def test_a_repository_on_s3_is_that_in_the_folder(s3, netcdf):
    folder = s3.folder / "bucket" / "radar.icechunk"
    shutil.rmtree(folder, ignore_errors=True)
    mirror(netcdf, folder, **KINDS["icechunk, sharded and packed"])
    local, far = archive_at(folder), archive_at("s3://bucket/radar.icechunk")
    assert (far.name, far.snapshot, far.fingerprint) == (local.name, local.snapshot, local.fingerprint)
    assert np.array_equal(far.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)


@pytest.mark.thorough
def test_a_run_is_not_gone_on_with_when_there_is_another_snapshot(repository, tmp_path):
    def train(*overrides):
        return run("train", *RADAR, f"data.archives=[{repository}]", f"output={tmp_path / 'run'}", *overrides)

    assert train() == (0, "")
    assert train("resume=auto") == (0, "")
    before = archive_at(repository).snapshot
    newer = commit(repository, correct)
    code, message = train("resume=auto")
    assert code == 1
    assert "was begun with other data than the config finds now: " in message
    assert before in message
    assert newer in message
