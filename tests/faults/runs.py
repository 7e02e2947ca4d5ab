"""Trainings as processes of their own, which can be killed and limited."""

import os
import resource
import signal
import subprocess
import sys
import time

from tests.programs import TINY

SMALL = [*TINY, "optimizer=rmsprop_paper", "calibration=none"]


def start(folder, *overrides, settings=SMALL, limit=None, program="train", **variables):
    """A process of `nowcast <program>`; `limit` is the largest file in bytes that it can write."""

    def restrict():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    where = [f"data.archives.folder={folder.parent / 'data'}", f"output={folder}"] if program == "train" else []
    return subprocess.Popen(
        [sys.executable, "-m", f"nowcast.commands.{program}", *settings, *where, *overrides],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=restrict,
    )


def result(process, timeout=300):
    """Exit code and all that was printed."""
    try:
        out, _ = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        raise
    return process.returncode, out


def wait_for(condition, process, seconds=120):
    """Whether it came true while the process was alive."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if condition():
            return True
    return condition()


def kill(process):
    """SIGKILL."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
