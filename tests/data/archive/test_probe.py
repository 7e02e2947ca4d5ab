"""A library that hangs or crashes over a file takes only a helper process with it."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

import h5py
import pytest

from nowcast.data.archive import probe
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from tests.conftest import thinned
from tests.data.archives import frame, write

LOCK = threading.Lock()


def hang(path):
    ctypes.CDLL(None).pause()  # in C, where no exception of Python can come


def crash(path):
    ctypes.string_at(0)


def under_a_lock(path):
    with LOCK:
        return Path(path).open()


def refuse(path):
    raise ValueError(path)


def ended_by_another(path):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def helper(monkeypatch):
    """A helper that can import this file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(probe, "_helper", probe._Helper())
    yield probe._helper
    probe._helper.close()


def opener(function):
    return f"{__name__}:{function.__name__}"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.nc").write_text("x")
    return tmp_path / "a.nc"


def test_a_library_that_hangs_is_ended(helper, path, monkeypatch):
    start = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(probe, "SECONDS", 1)
        with pytest.raises(DataFormatError, match=r"a\.nc: damaged: it does not open within 1 s"):
            probe.probe(path, opener(hang))
    assert time.monotonic() - start < 20
    probe.probe(path, opener(under_a_lock))  # another helper goes on
    assert helper.starts == 2


def test_a_library_that_crashes_is_said(helper, path):
    with pytest.raises(DataFormatError, match=r"a\.nc: damaged: it crashes its library \(11\)"):
        probe.probe(path, opener(crash))


@pytest.mark.parametrize("opened", thinned([under_a_lock, refuse, ended_by_another], fast=[1]))
def test_what_opens_or_raises_is_left_to_the_real_opening(helper, path, opened):
    probe.probe(path, opener(opened))


def test_a_file_that_is_not_there_is_left_to_the_real_opening(helper, tmp_path):
    probe.probe(tmp_path / "none", opener(crash))


@pytest.mark.thorough
def test_a_lock_that_another_thread_holds_does_not_make_a_sound_file_damaged(helper, path, monkeypatch):
    """A fork of this process would wait for the lock until the system ends it."""
    monkeypatch.setattr(probe, "SECONDS", 5)
    with LOCK:
        probe.probe(path, opener(under_a_lock))


def test_many_archives_are_opened_by_one_helper_and_once_each(helper, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a fork"))
    paths = [write(tmp_path / f"{k}.nc", [frame(0), frame(5)]) for k in range(20)]
    asked = []
    monkeypatch.setattr(
        helper, "open", lambda path, opened: asked.append(path) or type(helper).open(helper, path, opened)
    )
    for path in paths * 2:
        Archive(path).close()
    assert helper.starts == 1
    assert asked == paths


def test_a_file_that_changed_is_opened_again(helper, path):
    probe.probe(path, opener(under_a_lock))
    path.write_text("longer")
    with pytest.raises(DataFormatError, match="crashes"):
        probe.probe(path, opener(crash))


@pytest.mark.thorough
def test_a_fork_has_a_helper_of_its_own(helper, path, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    probe.probe(path, opener(under_a_lock))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            probe.probe(tmp_path / "a.h5", "h5py:File")
            code = 0 if probe._helper is not helper and probe._helper.starts == 1 else 2
            probe._helper.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    probe.probe(tmp_path / "a.h5", "h5py:File")
    assert helper.starts == 1


@pytest.mark.thorough
def test_a_fork_does_not_keep_its_parent_from_ending_the_helper(helper, path):
    probe.probe(path, opener(under_a_lock))
    child = os.fork()
    if child == 0:
        time.sleep(8)
        os._exit(0)
    began = time.monotonic()
    helper.close()
    assert time.monotonic() - began < 4
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.thorough
def test_a_helper_without_work_ends_and_is_started_again(helper, path, monkeypatch):
    monkeypatch.setattr(probe, "_HELPER", probe._HELPER.replace(f"[], {probe.IDLE_SECONDS})", "[], 0.01)"))
    helper.open(path, opener(under_a_lock))
    time.sleep(0.3)
    assert helper.open(path, opener(under_a_lock)) == 0
