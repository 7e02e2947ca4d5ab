"""A library that hangs or crashes over a file takes only a copy of the process with it."""

import ctypes
import time

import pytest

from nowcast.data import probe
from nowcast.data.frame import DataFormatError


def hang(path):
    ctypes.CDLL(None).pause()  # in C, where no exception of Python can come


def crash(path):
    ctypes.string_at(0)


def test_a_library_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(DataFormatError, match=r"a\.nc: damaged: it does not open within 1 s"):
        probe.probe(tmp_path / "a.nc", hang)
    assert time.monotonic() - start < 20


def test_a_library_that_crashes_is_said(tmp_path):
    with pytest.raises(DataFormatError, match=r"a\.nc: damaged: it crashes its library \(11\)"):
        probe.probe(tmp_path / "a.nc", crash)


@pytest.mark.parametrize("opened", [lambda path: path.open(), lambda path: (tmp for tmp in ())])
def test_what_opens_or_raises_is_left_to_the_real_opening(tmp_path, opened):
    (tmp_path / "a").write_text("x")
    probe.probe(tmp_path / "a", opened)
