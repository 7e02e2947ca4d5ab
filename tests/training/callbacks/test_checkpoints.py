"""Stops that lose nothing: divergence, and checkpoints that are whole or not there."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nowcast.data.windows.stored import to_rain_rates
from nowcast.forecasting import checkpoint
from nowcast.training.callbacks.checkpoints import BestCheckpoint
from nowcast.training.losses.cells import CrossEntropy
from nowcast.training.task import NowcastTask
from tests.programs import TINY, rows, run

SETTINGS = [
    *TINY, "evaluate=false", "calibration=none", "optimizer=rmsprop_paper", "optimizer.optimizer.lr=1.0e-3",
    "trainer.max_epochs=3",
    "callbacks.watch.every_n_epochs=0",
]  # fmt: skip


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
    assert f"diverged at step 2 (epoch 1): the loss is {bad}" in message
    assert f"The last good weights are in {folder / name / 'checkpoints' / 'last.ckpt'}" in message
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


def test_infinite_data_ends_training_though_the_loss_hides_it(folder, monkeypatch):
    def spoilt(batch, *arguments):
        sample = to_rain_rates(batch, *arguments)
        sample["inputs"][:, 1, 0, 3, 5] = np.inf
        return sample

    monkeypatch.setattr("nowcast.data.datamodule.to_rain_rates", spoilt)
    code, message = train(folder, "infinite")
    assert code == 1
    assert "diverged at step 0 (epoch 0): the batch holds infinite values" in message
    assert "There was no checkpoint yet" in message
    facts = json.loads((folder / "infinite" / "divergence_step_0.json").read_text())
    assert facts["inputs"]["infinite_share"] == pytest.approx(1 / (3 * 16 * 16))
    assert np.isfinite(facts["loss"])


def diverge(monkeypatch, steps):
    """Losses that are NaN in these calls of a training step."""
    forward, calls = NowcastTask.training_step, []

    def spoilt(task, *arguments):
        calls.append(task.optimizers().param_groups[0]["lr"])
        return forward(task, *arguments) * (torch.nan if len(calls) - 1 in steps else 1)

    monkeypatch.setattr(NowcastTask, "training_step", spoilt)
    return calls


def test_training_goes_on_once_from_the_last_checkpoint_with_a_lower_rate(folder, monkeypatch):
    calls = diverge(monkeypatch, {3})  # the second batch of epoch 1; each epoch has two
    retry = "callbacks.divergence.retry_lr_factor=0.1"
    assert train(folder, "again", retry) == (0, "")
    assert calls == pytest.approx([1e-3] * 4 + [1e-4] * 4)  # epochs 0 and 1, then 1 and 2
    last = checkpoint.read(folder / "again" / "checkpoints" / "last.ckpt")
    assert (last["epoch"], last["global_step"]) == (2, 6)
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-4)
    facts = json.loads((folder / "again" / "provenance.json").read_text())
    assert (facts["retry"]["step"], facts["retry"]["lr_factor"]) == (2, 0.1)
    validated = [row["epoch"] for row in rows(folder / "again" / "metrics.csv") if row["val/loss"]]
    assert validated == ["0", "1", "2"]


def test_it_goes_on_only_once(folder, monkeypatch):
    calls = diverge(monkeypatch, {3, 5})
    code, message = train(folder, "twice", "callbacks.divergence.retry_lr_factor=0.1")
    assert (code, "diverged at step 3" in message) == (1, True)
    assert len(calls) == 6


@pytest.mark.thorough
def test_a_schedule_is_lowered_too_and_stays_so_when_resumed(folder, monkeypatch):
    calls = diverge(monkeypatch, {3})
    settings = ["optimizer=adamw", "optimizer.optimizer.lr=3.0e-3", "callbacks.divergence.retry_lr_factor=0.1"]

    def stop(task, batch, index):
        if len(calls) == 7:  # in epoch 2, after the retry
            raise RuntimeError("stop")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastTask, "on_train_batch_start", stop)
        with pytest.raises(RuntimeError, match="stop"):
            train(folder, "sched", *settings)
    del calls[:]
    diverge(monkeypatch, set())
    assert train(folder, "sched", *settings, "resume=auto") == (0, "")
    base = checkpoint.read(folder / "sched" / "checkpoints" / "last.ckpt")["lr_schedulers"][0]["base_lrs"]
    assert base == pytest.approx([3e-4])


@pytest.mark.thorough
def test_a_retry_that_is_killed_at_once_goes_on_with_the_lower_rate(folder, monkeypatch):
    calls = diverge(monkeypatch, {3})
    retry = "callbacks.divergence.retry_lr_factor=0.1"

    def stop(task, batch, index):
        if len(calls) == 4:  # before the first step of the retry
            raise RuntimeError("stop")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastTask, "on_train_batch_start", stop)
        with pytest.raises(RuntimeError, match="stop"):
            train(folder, "at_once", retry)
    assert len(calls) == 4
    assert train(folder, "at_once", retry, "resume=auto") == (0, "")
    assert calls[4:] == pytest.approx([1e-4] * 4)


@pytest.mark.parametrize("factor", [0, 1, 2.5, -1])
def test_a_factor_that_does_not_lower_is_refused(folder, factor):
    code, message = train(folder, "factor", f"callbacks.divergence.retry_lr_factor={factor}")
    assert (code, "must be in (0, 1) or null" in message) == (1, True)


def test_weights_that_are_not_finite_never_overwrite_the_last_checkpoint(folder, monkeypatch):
    def spoil(task, *arguments):
        if task.current_epoch == 1:
            with torch.no_grad():
                task.net.head.bias.fill_(torch.nan)

    monkeypatch.setattr(NowcastTask, "on_train_epoch_end", spoil)
    monkeypatch.setattr(NowcastTask, "on_validation_epoch_start", spoil, raising=False)
    code, message = train(folder, "non_finite")
    assert code == 1
    assert "net.head.bias is not finite after step 4; last.ckpt was not overwritten" in message
    assert checkpoint.read(folder / "non_finite" / "checkpoints" / "last.ckpt")["epoch"] == 0


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


def test_of_equal_epochs_the_last_is_kept(folder):
    """Nothing is learned, so that all epochs score the same."""
    assert train(folder, "equal", "optimizer.optimizer.lr=1e-30") == (0, "")
    scores = {row["val/csi_0p5mmh"] for row in rows(folder / "equal" / "metrics.csv") if row["val/csi_0p5mmh"]}
    assert len(scores) == 1
    best, last = (checkpoint.read(folder / "equal" / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert best["epoch"] == last["epoch"] > 0


@pytest.mark.parametrize(
    ("mode", "scores", "kept"),
    [
        ("max", ["nan", "nan", "nan"], 2),
        ("min", ["nan", "nan", "nan"], 2),
        ("max", ["nan", "0.1", "nan"], 1),
        ("min", ["0.3", "nan", "0.4"], 0),
        ("max", ["0.0", "0.0", "nan"], 1),
    ],
)
def test_an_undefined_score_is_the_worst_and_of_undefined_ones_the_last_is_kept(tmp_path, mode, scores, kept):
    best = BestCheckpoint(tmp_path, "best", monitor="s", mode=mode, enable_version_counter=False)
    written = []

    def save(path, weights_only=False):
        written.append(epoch)

    strategy = SimpleNamespace(reduce_boolean_decision=bool, broadcast=lambda value: value, remove_checkpoint=print)
    trainer = SimpleNamespace(
        strategy=strategy, save_checkpoint=save, global_step=0, is_global_zero=False, loggers=[], current_epoch=0
    )
    for epoch, score in enumerate(scores):
        candidates = {"s": torch.tensor(float(score)), "epoch": torch.tensor(epoch), "step": torch.tensor(epoch)}
        best._save_topk_checkpoint(trainer, candidates)
    assert written[-1] == kept


def test_the_best_epoch_is_known_where_a_run_was_moved_to_and_is_not_that_of_another_run(tmp_path):
    first, moved, new = (tmp_path / name for name in ("first", "moved", "new"))
    for folder in (first, moved):
        folder.mkdir()
        (folder / "best.ckpt").touch()
    make = {"filename": "best", "monitor": "s", "mode": "max"}
    one = BestCheckpoint(first, **make)
    one.best_model_path = one.kth_best_model_path = str(first / "best.ckpt")
    one.best_model_score = one.kth_value = torch.tensor(0.5)
    one.best_k_models = {str(first / "best.ckpt"): torch.tensor(0.5)}
    state = one.state_dict()
    there = BestCheckpoint(moved, **make)
    there.load_state_dict(state)
    assert (there.best_model_path, there.best_model_score) == (str(moved / "best.ckpt"), 0.5)
    assert there.best_k_models == {str(moved / "best.ckpt"): 0.5}
    another = BestCheckpoint(new, **make)
    another.load_state_dict(state)
    assert (another.best_model_path, another.best_model_score) == ("", None)
