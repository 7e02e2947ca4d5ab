"""One trial of a search: a `nowcast train` process of its own, watched from outside.

A process, because a trial may run out of memory, crash, or start further processes, and the search must go on.
"""

import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nowcast.report.csv_files import read_complete_records

LOG_LINES = 40
LOSSES = ("train/loss", "val/loss")


@dataclass(frozen=True)
class Row:
    """What metrics.csv says of one epoch; NaN where the run logged NaN."""

    epoch: int
    values: dict[str, float]


def read_metrics(path: Path) -> list[Row]:
    """The complete lines of a metrics.csv that is being written, one row per epoch with all that it logged.

    The writer adds lines and rewrites the file when a column joins; a line without its end is left for later.
    """
    if not path.exists():
        return []
    epochs: dict[int, dict[str, float]] = {}
    for line in read_complete_records(path):
        if line.get("epoch"):
            logged = {key: float(value) for key, value in line.items() if value and key not in ("epoch", "step")}
            epochs.setdefault(int(line["epoch"]), {}).update(logged)
    return [Row(epoch, values) for epoch, values in epochs.items()]


def diverged(rows: Sequence[Row]) -> bool:
    """Whether a loss became NaN or infinite."""
    return any(not math.isfinite(row.values.get(name, 0.0)) for row in rows for name in LOSSES)


@dataclass(frozen=True)
class Ended:
    """How a trial's process ended: its exit code (negative = signal), whether we stopped it, and its seconds."""

    code: int
    stopped: bool
    seconds: float


def run_process(
    command: Sequence[str],
    environment: dict[str, str],
    log: Path,
    watch: Callable[[], bool],
    poll_seconds: float,
    stop_seconds: float,
) -> Ended:
    """Run a command until it ends, or until `watch` says that it should.

    Args:
        command: The program and its arguments.
        environment: Its whole environment.
        log: Takes its standard output and error.
        watch: Called every `poll_seconds`; True = stop the process.
        poll_seconds: Time between two looks.
        stop_seconds: Time between SIGTERM and SIGKILL.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stopped = False
    with log.open("ab") as output, guard() as ends_with_us:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        ends_with_us(process.pid)
        try:
            while not stopped:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(poll_seconds)
                    break
                stopped = watch()
            if stopped:
                terminate(process, stop_seconds)
        finally:
            kill_group(process.pid)  # ranks and workers that outlived it
            process.wait()
    return Ended(process.returncode, stopped, time.monotonic() - started)


def terminate(process: subprocess.Popen[bytes], stop_seconds: float) -> None:
    """Ask a process to end; the caller kills what is left after `stop_seconds`."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(stop_seconds)


def kill_group(group: int) -> None:
    """Kill all processes of a group that are still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@contextlib.contextmanager
def guard() -> Iterator[Callable[[int], None]]:
    """A function that names the group to kill when this process dies, however it does.

    A shell waits for the end of a pipe that only we hold. It is there before the group is, so that none outlives us.
    """
    shell = subprocess.Popen(
        ["/bin/sh", "-c", 'read group && { read _ || kill -s KILL -- "-$group"; }'],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert shell.stdin is not None
    pipe = shell.stdin

    def name(group: int) -> None:
        pipe.write(f"{group}\n".encode())
        pipe.flush()

    try:
        yield name
    finally:
        shell.communicate(b"\n\n")


def last_lines(log: Path) -> str:
    """The end of a log, which holds the traceback."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


def device_shares(devices: Sequence[str], jobs: int) -> list[list[str]]:
    """The devices of each of several workers: equal parts; where they are too few, one each in turn."""
    if not devices:
        return [[] for _ in range(jobs)]
    if len(devices) < jobs:
        return [[devices[job % len(devices)]] for job in range(jobs)]
    size = len(devices) // jobs
    return [list(devices[job * size : (job + 1) * size]) for job in range(jobs)]


def environment_of(share: Sequence[str], jobs: int, cores: int) -> dict[str, str]:
    """Variables of a trial beside those of this process: its devices, and its part of the processor's cores."""
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(share)} if share else {}
    if jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
        variables["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
    return variables
