"""A trial's process: its metrics while they are written, its end, and its devices."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from nowcast.studies.search.process import Row, device_shares, diverged, environment_of, read_metrics, run_process

HEADER = "epoch,step,train/loss,val/loss\n"


def alive(pid):
    """Whether a process is there and not only waiting to be reaped."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(status) and not status.startswith("Z")


def waits_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def run(code, log, watch=lambda: False, stop_seconds=5.0):
    return run_process([sys.executable, "-c", code], dict(os.environ), log, watch, 0.05, stop_seconds)


def test_rows_of_an_epoch_are_joined(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + "0,3,0.5,\n0,7,,0.4\n1,9,nan,\n")
    assert read_metrics(tmp_path / "m.csv")[0] == Row(0, {"train/loss": 0.5, "val/loss": 0.4})
    assert math.isnan(read_metrics(tmp_path / "m.csv")[1].values["train/loss"])


def test_no_prefix_of_the_file_gives_a_wrong_value(tmp_path):
    path, text = tmp_path / "m.csv", HEADER + "0,7,0.125,0.4375\n1,15,0.0625,0.25\n"
    whole = {0: {"train/loss": 0.125, "val/loss": 0.4375}, 1: {"train/loss": 0.0625, "val/loss": 0.25}}
    assert read_metrics(path) == []
    for length in range(len(text) + 1):
        path.write_text(text[:length])
        for row in read_metrics(path):
            assert row.values == whole[row.epoch]
    assert [row.epoch for row in read_metrics(path)] == [0, 1]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("val/loss", math.nan, True),
        ("train/loss", math.inf, True),
        ("val/loss", 0.1, False),
        ("val/csi", math.nan, False),
    ],
)
def test_only_a_loss_that_is_not_finite_is_divergence(name, value, expected):
    assert diverged([Row(0, {"val/loss": 1.0}), Row(1, {name: value})]) is expected


def test_exit_code_output_and_signal_are_kept(tmp_path):
    ended = run("print('hello'); raise SystemExit(3)", tmp_path / "logs" / "log")
    assert (ended.code, ended.stopped) == (3, False)
    assert (tmp_path / "logs" / "log").read_text() == "hello\n"
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path / "log").code == -signal.SIGKILL


def test_a_stopped_process_may_end_by_itself_and_is_killed_if_it_does_not(tmp_path):
    polite = (
        "import signal,sys,time\nsignal.signal(15, lambda *_: sys.exit(7))\nprint('on', flush=True)\ntime.sleep(60)"
    )
    log = tmp_path / "log"
    ended = run(polite, log, watch=lambda: "on" in log.read_text())
    assert (ended.code, ended.stopped) == (7, True)
    log.unlink()
    stubborn = polite.replace("sys.exit(7)", "None")
    ended = run(stubborn, log, watch=lambda: "on" in log.read_text(), stop_seconds=0.3)
    assert (ended.code, ended.stopped) == (-signal.SIGKILL, True)
    assert ended.seconds < 30


def test_further_processes_of_a_trial_end_with_it(tmp_path):
    code = (
        "import subprocess,sys\nother = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(other.pid))"
    )
    assert run(code, tmp_path / "log").code == 0
    pid = int((tmp_path / "pid").read_text())
    assert waits_for(lambda: not alive(pid))


def test_a_trial_does_not_outlive_a_killed_search(tmp_path):
    pid = tmp_path / "pid"
    trial = f"import os,time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import os,sys; from pathlib import Path; from nowcast.studies.search.process import run_process\n"
        f"run_process([sys.executable, '-c', {trial!r}], dict(os.environ), Path({str(tmp_path / 'log')!r}), "
        "lambda: False, 0.05, 5.0)"
    )
    search = subprocess.Popen([sys.executable, "-c", code])
    assert waits_for(lambda: pid.exists() and pid.read_text() != "")
    search.kill()
    search.wait()
    assert waits_for(lambda: not alive(int(pid.read_text())))


@pytest.mark.parametrize(
    ("devices", "jobs", "expected"),
    [
        ([], 2, [[], []]),
        (["0", "1", "2", "3"], 4, [["0"], ["1"], ["2"], ["3"]]),
        (["0", "1", "2", "3"], 2, [["0", "1"], ["2", "3"]]),
        (["0", "1", "2"], 2, [["0"], ["1"]]),
        (["3", "5"], 1, [["3", "5"]]),
        (["GPU-a", "GPU-b"], 3, [["GPU-a"], ["GPU-b"], ["GPU-a"]]),
    ],
)
def test_devices_are_shared_out_among_workers(devices, jobs, expected):
    assert device_shares(devices, jobs) == expected


def test_workers_share_the_cores_unless_the_user_did(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment_of(["1"], 1, 8) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert environment_of([], 2, 8) == {"OMP_NUM_THREADS": "4"}
    assert environment_of([], 16, 8) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment_of([], 2, 8) == {}
