"""A counting of rain and gaps that was killed goes on with what it had, and ends with the undisturbed index."""

import multiprocessing
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from nowcast.data.archive import blocks
from nowcast.data.archive.archive import Archive
from nowcast.data.shares.journal import ENDING, Journal
from tests.data.archives import frame, grid, write
from tests.data.modules import module

SHAPE, FRAMES = (40, 50), 30
WINDOWS = {"crop": 32, "eval_crop": None, "input_steps": 3, "forecast_steps": 2}


@pytest.fixture
def frame_by_frame(monkeypatch):
    monkeypatch.setattr(blocks, "CELLS_AT_ONCE", SHAPE[0] * SHAPE[1])


def values(seed=0):
    draw = np.random.default_rng(seed)
    found = draw.integers(0, 4, (FRAMES, *SHAPE)) * 0.1
    found[:, 30:, 3:9] = np.nan
    found[20] = np.nan
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    frames = [frame(5 * k, one, grid=grid(SHAPE)) for k, one in enumerate(values())]
    return write(tmp_path_factory.mktemp("journal") / "rain.nc", frames)


@pytest.fixture(scope="module")
def undisturbed(path, tmp_path_factory):
    """Name of each index → its bytes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    module(path, index=str(folder), **WINDOWS).prepare_data()
    return contents(folder)


def contents(folder):
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name != ".lock"}
    assert len(found) == 2
    return found


class KilledError(Exception):
    pass


def counted(path, folder, monkeypatch, killed_at=None):
    """Frames that were read, one by one, before the end or before the counting was killed."""
    read, found = Archive.read, []

    def counting(self, frames, rows, columns):
        if killed_at is not None and frames.start >= killed_at:
            raise KilledError
        found.extend(range(frames.start, frames.stop))
        return read(self, frames, rows, columns)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "read", counting)
        data = module(path, index=str(folder), **WINDOWS)
        if killed_at is None:
            data.prepare_data()
        else:
            with pytest.raises(KilledError):
                data.prepare_data()
    return found


def test_no_frame_is_counted_twice(path, undisturbed, tmp_path, monkeypatch, frame_by_frame, caplog):
    caplog.set_level("INFO")
    assert counted(path, tmp_path, monkeypatch, killed_at=12) == list(range(12))
    assert {one.suffix for one in tmp_path.iterdir()} == {"", ENDING}
    assert counted(path, tmp_path, monkeypatch, killed_at=25) == list(range(12, 25))
    assert "rain: 12 of 30 blocks were counted before" in caplog.text
    assert counted(path, tmp_path, monkeypatch) == list(range(25, FRAMES))
    assert contents(tmp_path) == undisturbed


def test_the_bar_counts_what_is_left(path, tmp_path, monkeypatch, frame_by_frame):
    counted(path, tmp_path, monkeypatch, killed_at=12)
    totals = []

    def track(items, text, total):
        totals.append((text, total))
        return items

    monkeypatch.setattr("nowcast.data.datamodule.track", track)
    module(path, index=str(tmp_path), **WINDOWS).prepare_data()
    assert totals == [("counting rain and gaps", 18)]


@pytest.mark.parametrize("damage", ["cut", "turned", "more", "nonsense", "header"])
def test_what_was_not_written_whole_is_counted_again(path, undisturbed, tmp_path, monkeypatch, frame_by_frame, damage):
    counted(path, tmp_path, monkeypatch, killed_at=12)
    for one in tmp_path.glob(f"*{ENDING}"):
        content = bytearray(one.read_bytes())
        if damage == "cut":
            content = content[:-3]
        elif damage == "turned":
            content[-3] ^= 1
        elif damage == "more":
            content += bytes(11)
        elif damage == "nonsense":
            content += bytes(range(200))
        else:
            content[3] ^= 1
        one.write_bytes(content)
    first = {"cut": 11, "turned": 11, "more": 12, "nonsense": 12, "header": 0}[damage]
    assert counted(path, tmp_path, monkeypatch) == list(range(first, FRAMES))
    assert contents(tmp_path) == undisturbed


def test_what_was_counted_of_another_state_of_the_archive_is_not_used(
    path, undisturbed, tmp_path, monkeypatch, frame_by_frame
):
    (tmp_path / "other").mkdir()
    frames = [frame(5 * k, one, grid=grid(SHAPE)) for k, one in enumerate(values(seed=1))]
    other = write(tmp_path / "other" / "rain.nc", frames)
    counted(other, tmp_path / "index", monkeypatch, killed_at=12)
    assert counted(path, tmp_path / "index", monkeypatch) == list(range(FRAMES))
    index = contents(tmp_path / "index")
    assert index == undisturbed


def test_a_full_disk_is_said_with_what_to_do():
    """/dev/full takes nothing."""
    journal = object.__new__(Journal)
    journal.path = Path("/dev/full")
    with (
        journal.path.open("ab", buffering=0) as journal._file,
        pytest.raises(OSError, match=r"/dev/full: cannot be written .*No space left.* which goes on with it"),
    ):
        journal._write(b"1")


def slowly(path, index, said, begun):
    """Count in a process of its own, and write down each frame before it is read."""
    blocks.CELLS_AT_ONCE = SHAPE[0] * SHAPE[1]
    read = Archive.read

    def slow(self, frames, rows, columns):
        with said.open("a") as file:
            file.write(f"{frames.start}\n")
        time.sleep(0.01)
        return read(self, frames, rows, columns)

    Archive.read = slow
    data = module(path, index=str(index), **WINDOWS)
    begun.set()
    data.prepare_data()


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with all modules, and without the threads of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [20])
def test_a_counting_that_was_killed_again_and_again_is_the_undisturbed_one(
    path, undisturbed, tmp_path, processes, kills
):
    index, said, draw = tmp_path / "index", tmp_path / "read", random.Random(kills)
    cut_short = 0
    for last in [False] * kills + [True]:
        begun = processes.Event()
        process = processes.Process(target=slowly, args=(path, index, said, begun))
        process.start()
        assert begun.wait(300)
        if not last:
            time.sleep(draw.uniform(0, 1.4 * 0.01 * FRAMES / kills))
            process.kill()
        process.join()
        cut_short += process.exitcode == -signal.SIGKILL
    assert process.exitcode == 0
    assert cut_short > kills / 2
    read = said.read_text().split()
    assert set(read) == {str(k) for k in range(FRAMES)}
    assert len(read) <= FRAMES + cut_short  # at most the one that was read when it was killed is read again
    assert contents(index) == undisturbed
