"""Several processes at work on one study in PostgreSQL, as on several machines; one of them is killed."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.studies.search import postgresql

FAKE = Path(__file__).parent / "fake_train.py"
TRIALS = 8


@pytest.fixture(scope="module")
def url():
    """URL of an empty database."""
    with postgresql.server() as address:
        yield address


@pytest.fixture
def start(tmp_path, url):
    """Starts a search on a machine of its own, which has its folder; all end with the test."""
    started = []

    def one(name, faults, *overrides):
        command = [
            sys.executable, "-c",
            f"import sys; from nowcast.studies.search import search; search.TRAIN = [sys.executable, {str(FAKE)!r}]; "
            "from nowcast.commands.tune import main; main()",
            "experiment=convlstm", "tune=convlstm",
            f"output={tmp_path / name}", f"tune.storage='{url}'", f"tune.trials={TRIALS}", "tune/pruner=none",
            "tune.heartbeat_seconds=1", "tune.grace_seconds=4", "tune.poll_seconds=0.2", *overrides,
        ]  # fmt: skip
        with (tmp_path / f"{name}.log").open("w") as log:
            environment = {**os.environ, "NOWCAST_FAKE": faults}
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


def said(tmp_path):
    return "\n".join(f"{log.name}:\n{log.read_text()}" for log in tmp_path.glob("*.log"))


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def processes_of(folder):
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "fake_train" in line and f"output={folder}/" in line]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_workers_trial_is_tried_again_none_is_lost_and_none_done_twice(tmp_path, start):
    doomed = start("first", "sleep=*")  # both at the same moment, on an empty database
    survivor = start("second", "slow=*")
    wait_for(lambda: processes_of(tmp_path / "first") or survivor.poll() is not None, 120)
    assert survivor.poll() is None, said(tmp_path)
    time.sleep(1.5)  # into the trial
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    wait_for(lambda: not processes_of(tmp_path / "first"), 20)  # its trial does not outlive it
    assert survivor.wait(240) == 0, said(tmp_path)
    table = rows(tmp_path / "second")
    begun_by_the_dead = [int(path.name[-4:]) for path in (tmp_path / "first").glob("trial_*")]
    assert [int(row["trial"]) for row in table if row["state"] == "lost"] == begun_by_the_dead
    complete = [row for row in table if row["state"] == "complete"]
    assert len(complete) == len({row["first_trial"] for row in complete}) == TRIALS
    assert {row["state"] for row in table} <= {"complete", "lost", "surplus"}
    (lost,) = (row for row in table if row["state"] == "lost")
    again = next(row for row in complete if row["first_trial"] == lost["trial"])
    assert again["trial"] != lost["trial"]
    assert all(again[name] == lost[name] for name in ("lr", "hidden", "patch", "seed"))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_machines_share_the_total(tmp_path, start):
    both = [start(name, "", "tune.study=shared", "tune.jobs=2") for name in ("a", "b")]
    assert [process.wait(300) for process in both] == [0, 0], said(tmp_path)
    table = [row for row in rows(tmp_path / "a") if row["state"] != "surplus"]
    assert [row["state"] for row in table] == ["complete"] * TRIALS
    assert len({row["lr"] for row in table}) == TRIALS
    folders = [int(path.name[-4:]) for name in ("a", "b") for path in (tmp_path / name).glob("trial_*")]
    assert sorted(folders) == sorted(int(row["trial"]) for row in table)
