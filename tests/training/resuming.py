"""Tiny trainings that are interrupted, and what is compared of two."""

import csv
import os
import signal

import pytest
import torch

from nowcast.forecasting import checkpoint
from nowcast.training.task import NowcastTask
from tests.programs import TINY, run

# Scores and pictures only where they are looked at
SETTINGS = [
    *TINY, "optimizer=rmsprop_paper", "calibration=none", "evaluate=false",
    "callbacks.watch.every_n_epochs=0",
]  # fmt: skip


def train(folder, name, *overrides):
    return run("train", *SETTINGS, f"data.archives.folder={folder / 'data'}", f"output={folder / name}", *overrides)


def rows(path):
    """The lines of metrics.csv without empty fields; the order of the columns is of no account."""
    with path.open() as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def interrupted(folder, name, *overrides, epoch=2, batch=0, number=signal.SIGINT):
    """A run that gets a signal during a batch of an epoch."""

    def told(task, data, batch_index):
        if (task.current_epoch, batch_index) == (epoch, batch):
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastTask, "on_train_batch_start", told)
        assert train(folder, name, *overrides)[0] == 128 + number
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


def same_weights(folder, name, other, file="last.ckpt"):
    """Whether two runs ended with the same checkpoint, to the last bit."""
    one, two = (checkpoint.read(folder / run_name / "checkpoints" / file) for run_name in (name, other))
    assert one["epoch"] == two["epoch"]
    assert one["global_step"] == two["global_step"]
    torch.testing.assert_close(one["optimizer_states"], two["optimizer_states"], rtol=0, atol=0)
    assert one["lr_schedulers"] == two["lr_schedulers"]
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][key], value, rtol=0, atol=0, msg=key)
