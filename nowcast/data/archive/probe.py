"""Opening a file in a process that may hang or crash: HDF5 and netCDF do with some damaged files."""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import netCDF4

from nowcast.data.archive.frame import DataFormatError

SECONDS = 20  # sound files open in milliseconds, from a slow network drive in seconds
IDLE_SECONDS = 60  # after which the helper ends
ATTEMPTS = 3  # to have a file opened by a helper that others may end
FAULTS = tuple(  # signals that say something about the file
    getattr(signal, name)
    for name in ("SIGALRM", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
    if hasattr(signal, name)
)
DONE = b"done\n"

# The helper: opens what it is told to, one line of JSON a file, under an alarm that ends it when a library hangs.
_HELPER = f"""
import importlib, json, os, select, signal, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a handler of Python's would wait for the library
while select.select([0], [], [], {IDLE_SECONDS})[0] and (line := sys.stdin.buffer.raw.readline()):
    asked = json.loads(line)
    module, name = asked["opened"].split(":")
    signal.alarm(asked["seconds"])
    try:
        getattr(importlib.import_module(module), name)(asked["path"]).close()
    except Exception:
        pass  # the real opening says it
    signal.alarm(0)
    answers.write({DONE.decode()!r})
    answers.flush()
"""


class _Helper:
    """A process of its own that opens files.

    It is no fork of this one: a fork inherits locks that other threads hold, waits for them for ever, and a sound file
    counts as damaged; and it costs the more the larger this process is.

    Attributes:
        opened: What it has opened, as `probe` names it.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self.opened: set[tuple[Any, ...]] = set()
        self.starts = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, path: Path, opened: str) -> int:
        """Let the helper open a file; 0, or the signal that a library hung or crashed with."""
        request = json.dumps({"path": str(path), "opened": opened, "seconds": SECONDS}).encode() + b"\n"
        with self._lock:
            for _ in range(ATTEMPTS):
                process = self._started()
                assert process.stdin is not None
                assert process.stdout is not None
                if _answered(process.stdin, process.stdout, request):
                    return 0
                signal_ = -process.wait()
                self.close()
                if signal_ in FAULTS:
                    return signal_
        return 0  # ended by somebody else, or for want of work: the real opening shows what there is to see

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            # -P: no file of the working directory is taken for a module of Python's.
            command = [sys.executable, "-P", "-c", _HELPER]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
            self.starts += 1
            if self.starts == 1:
                atexit.register(self.close)
        return self._process

    def close(self) -> None:
        """End the helper; the next opening starts another."""
        if self._process is not None:
            with self._process as process:  # closes its pipes and waits
                assert process.stdin is not None
                process.stdin.close()
            self._process = None

    def forget(self) -> None:
        """Leave the helper to the process that this one is a fork of."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()  # the helper ends when nobody holds its input
            self._process.returncode = 0  # no child of this process, which must not wait for it
            self._process = None


def _answered(asks: IO[bytes], answers: IO[bytes], request: bytes) -> bool:
    with contextlib.suppress(BrokenPipeError):  # the helper has ended, which the missing answer says
        asks.write(request)
        return answers.readline() == DONE
    return False


_helper = _Helper()


def _after_fork() -> None:
    """Begin with a helper, and a lock, of this process's own."""
    global _helper
    _helper.forget()
    _helper = _Helper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def probe(path: Path, opened: str) -> None:
    """Open and close a file in a helper process, which the system ends when it takes too long.

    A file that was opened before, and has the same size and time, is not opened again.

    Args:
        path: The file.
        opened: What opens it, as module:function; the result has `close`. What it raises is left to the real opening.

    Raises:
        DataFormatError: The library hung or crashed.
    """
    if not hasattr(signal, "alarm"):
        return
    try:
        state = path.stat()
    except OSError:
        return  # the real opening says it
    key = (opened, str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if key in _helper.opened:
        return
    if fault := _helper.open(path.absolute(), opened):
        how = f"does not open within {SECONDS} s" if fault == signal.SIGALRM else f"crashes its library ({fault})"
        raise DataFormatError(path, f"damaged: it {how}")
    _helper.opened.add(key)


def open_netcdf(path: Path) -> netCDF4.Dataset:
    """Open a netCDF file of unknown origin for reading.

    Raises:
        DataFormatError: The library hangs or crashes over it.
        OSError: It is not netCDF.
    """
    probe(path, "netCDF4:Dataset")
    return netCDF4.Dataset(path)
