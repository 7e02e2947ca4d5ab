"""Processes on a CPU, two or two times two, train as one with their batches together, and go on exactly."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nowcast.forecasting import checkpoint
from tests.programs import TINY

ON_CPU = ["trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=2", "trainer.precision=32-true"]
TWO = ["trainer=ddp", *ON_CPU]
SHARDED = ["trainer=fsdp", *ON_CPU]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def settings(folder, *overrides):
    """Arguments of `nowcast train` in a folder that all runs of a test share their data in."""
    common = [*TINY, "data.windows.stride=1", f"data.archives.folder={folder.parent / 'data'}"]
    return [*common, f"output={folder}", *overrides]


def ended(processes):
    for process in processes:
        out, errors = process.communicate(timeout=500)
        assert process.returncode == 0, (out[-2000:], errors[-3000:])


def start(command, **variables):
    return subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def program(folder, *overrides):
    return [sys.executable, "-m", "nowcast.commands.train", *settings(folder, *overrides)]


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return str(door.getsockname()[1])


def by_trainer(folder):
    return [start(program(folder, *TWO))]


def by_torchrun(folder, *overrides):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    nowcast = str(Path(sys.executable).with_name("nowcast"))
    return [start([*launch, "--no-python", nowcast, "train", *settings(folder, *TWO, *overrides)])]


def by_torchrun_on_two_machines(folder):
    """Two agents that find each other at an address, as on two machines, with two processes each."""
    launch = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=1", "--local-addr=127.0.0.1",
    ]  # fmt: skip
    nowcast = str(Path(sys.executable).with_name("nowcast"))
    four = [*TWO, "trainer.num_nodes=2", "data.batch_size=1"]
    return [start([*launch, "--no-python", nowcast, "train", *settings(folder, *four)]) for _ in range(2)]


def by_slurm(folder):
    job = {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
    }
    job |= {"SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [start(program(folder, *TWO), **job, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)) for rank in range(2)]


def validation(folder):
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["val/csi_0p5mmh"]]


def counts(folder):
    with (folder / "evaluation" / "scores.csv").open() as file:
        return [
            int(row[name])
            for row in csv.DictReader(file)
            if row["model"] == "persistence"
            for name in ("hits", "misses", "false_alarms", "correct_negatives")
        ]


def sharded_by_trainer(folder):
    return [start(program(folder, *SHARDED))]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One process with twice the batch."""
    folder = tmp_path_factory.mktemp("together") / "one"
    ended([start(program(folder, "data.batch_size=4", "trainer.precision=32-true"))])
    return folder


@pytest.mark.parametrize("launch", [by_trainer, by_torchrun, by_torchrun_on_two_machines, by_slurm, sharded_by_trainer])
def test_several_processes_equal_one_with_their_batches_together(one, launch):
    folder = one.parent / launch.__name__
    ended(launch(folder))
    both = validation(one), validation(folder)
    assert len(both[0]) == len(both[1]) == 2
    for a, b in zip(*both, strict=True):
        for name in a:
            if name.startswith("val/") and a[name]:
                assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-3, nan_ok=True), name
    assert counts(folder) == counts(one)  # each window once
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert len(list(folder.glob("*.log"))) == 1
    assert not list(folder.glob("lightning_logs"))


def test_processes_from_outside_need_one_run_directory(one, tmp_path):
    arguments = [text for text in settings(one, *TWO) if not text.startswith("output=")]
    process = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "x"},
    )  # fmt: skip
    assert process.returncode == 2
    assert "give output=<one directory>" in process.stderr


@pytest.mark.parametrize("two", [TWO, SHARDED], ids=["ddp", "fsdp"])
def test_two_processes_that_were_stopped_end_with_the_same_weights(one, two):
    longer = ["trainer.max_epochs=60", *two, "optimizer=rmsprop_paper"]
    whole, part = one.parent / f"whole_{two[0]}", one.parent / f"part_{two[0]}"
    ended([start(program(whole, *longer))])
    process = start(program(part, *longer))
    while not (part / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 143
    stopped = checkpoint.read(part / "checkpoints" / "last.ckpt")["global_step"]
    ended([start(program(part, *longer, "resume=auto"))])
    undisturbed, resumed = (checkpoint.read(folder / "checkpoints" / "last.ckpt") for folder in (whole, part))
    assert 0 < stopped < undisturbed["global_step"] == resumed["global_step"]
    for key, value in undisturbed["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][key], value, rtol=0, atol=0, msg=key)


def test_a_network_that_sees_what_is_true_is_trained_alike_whole_and_in_parts(one):
    """Its way through a step of training gathers its weights as `forward` does, and all of them learn."""
    taught = ["model=predrnn_v2", "model.hidden=4", "model.layers=2", "evaluate=false", "optimizer=rmsprop_paper"]
    states = []
    for two in (TWO, SHARDED):
        folder = one.parent / f"taught_{two[0]}"
        ended([start(program(folder, *two, *taught))])
        states.append(checkpoint.read(folder / "checkpoints" / "last.ckpt")["state_dict"])
    assert "net.adapter.weight" in states[0]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4, msg=key)


def of_rank(rank, launcher):
    """Number of the process of a rank below a launcher that this test started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
    (found,) = [
        process
        for process, parent in parents.items()
        if parent == launcher and f"\0RANK={rank}\0".encode() in (Path("/proc") / str(process) / "environ").read_bytes()
    ]
    return found


@pytest.fixture(scope="module")
def undisturbed(one):
    """Two processes of torchrun that nothing happens to."""
    folder = one.parent / "undisturbed"
    ended(by_torchrun(folder, *LONGER))
    return folder


LONGER = ["trainer.max_epochs=40", "optimizer=rmsprop_paper"]


@pytest.mark.parametrize(
    ("rank", "by"), [(0, signal.SIGTERM), (1, signal.SIGTERM), (0, signal.SIGKILL), (1, signal.SIGKILL)]
)
def test_a_job_that_lost_a_process_goes_on_to_the_same_weights(undisturbed, rank, by):
    """As on a node that is preempted: torchrun ends all of the job, which is started again with resume=auto."""
    folder = undisturbed.parent / f"lost_{rank}_{by.name}"
    (launcher,) = by_torchrun(folder, *LONGER)
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.2)
    os.kill(of_rank(rank, launcher.pid), by)
    launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    stopped = checkpoint.read(folder / "checkpoints" / "last.ckpt")["global_step"]
    ended(by_torchrun(folder, *LONGER, "resume=auto"))
    whole, resumed = (checkpoint.read(one / "checkpoints" / "last.ckpt") for one in (undisturbed, folder))
    assert 0 < stopped < whole["global_step"] == resumed["global_step"]
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][key], value, rtol=0, atol=0, msg=key)
    assert counts(folder) == counts(undisturbed)
