"""Stops that lose nothing: divergence, and checkpoints that are whole or not there."""

import json

import pytest
import torch

from nowcast import checkpoint
from nowcast.losses import CrossEntropy
from nowcast.task import NowcastTask
from tests.programs import TINY, run

SETTINGS = [*TINY, "picture=false", "calibration=none", "optimizer=rmsprop_paper", "trainer.max_epochs=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("callbacks")


def train(folder, name, *overrides):
    return run("train", *SETTINGS, f"data.archives.folder={folder / 'data'}", f"output={folder / name}", *overrides)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_training_and_is_written_down(folder, monkeypatch, bad):
    forward, calls = CrossEntropy.forward, []

    def spoilt(self, *arguments):
        calls.append(1)
        return forward(self, *arguments) * (bad if len(calls) == 4 else 1)  # 2 steps, 1 validation batch, then step 2

    monkeypatch.setattr(CrossEntropy, "forward", spoilt)
    name = f"diverged_{bad}"
    code, message = train(folder, name)
    assert code == 1
    assert f"the loss of step 2 (epoch 1) is {bad}" in message
    assert "optimizer.optimizer.lr" in message
    facts = json.loads((folder / name / "divergence_step_2.json").read_text())
    assert (facts["epoch"], facts["step"], facts["learning_rates"]) == (1, 2, [1e-3])
    assert len(facts["init_times"]) == 4
    assert all(text.startswith("2000-01-0") for text in facts["init_times"])
    assert facts["inputs"]["missing_share"] == facts["inputs"]["infinite_share"] == 0
    assert 0 <= facts["targets"]["min"] <= facts["targets"]["mean"] <= facts["targets"]["max"]
    last = checkpoint.read(folder / name / "checkpoints" / "last.ckpt")
    assert last["epoch"] == 0  # before the bad batch
    assert all(value.isfinite().all() for value in last["state_dict"].values())


def test_weights_that_are_not_finite_never_overwrite_the_last_checkpoint(folder, monkeypatch):
    def spoil(task, *arguments):
        if task.current_epoch == 1:
            with torch.no_grad():
                task.net.head.bias.fill_(torch.nan)

    monkeypatch.setattr(NowcastTask, "on_train_epoch_end", spoil)
    monkeypatch.setattr(NowcastTask, "on_validation_epoch_start", spoil, raising=False)
    code, message = train(folder, "sick")
    assert code == 1
    assert "net.head.bias is not finite after step 4; last.ckpt was not overwritten" in message
    assert checkpoint.read(folder / "sick" / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_a_full_disk_leaves_the_earlier_checkpoint(folder, monkeypatch):
    save = torch.save

    def full(content, file):
        if isinstance(content, dict) and content.get("epoch") == 1:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    code, message = train(folder, "full")
    assert code == 1
    assert "No space left on device" in message
    kept = folder / "full" / "checkpoints"
    assert checkpoint.read(kept / "last.ckpt")["epoch"] == 0
    assert sorted(path.name for path in kept.iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("minutes", [0, -1])
def test_an_age_of_nothing_is_refused(folder, minutes):
    code, message = train(folder, "age", f"callbacks.last.minutes={minutes}")
    assert code == 1
    assert "callbacks.last.minutes must be > 0" in message
