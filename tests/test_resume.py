"""Going on with an interrupted run: the same weights as without the interruption, and nothing else by mistake."""

import csv
import json
import signal

import pytest
import torch

from nowcast import checkpoint
from nowcast.task import NowcastTask
from tests.programs import TINY, run

SETTINGS = [*TINY, "optimizer=rmsprop_paper", "picture=false", "calibration=none"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


def train(folder, name, *overrides):
    return run("train", *SETTINGS, f"data.archives.folder={folder / 'data'}", f"output={folder / name}", *overrides)


def rows(path):
    """The lines of metrics.csv without empty fields; the order of the columns is of no account."""
    with path.open() as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def interrupted(folder, name, *overrides):
    """A run that a user stops in the middle of its third epoch."""

    def stop(task, batch, batch_index):
        if task.current_epoch == 2 and batch_index == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastTask, "on_train_batch_start", stop)
        handler = signal.getsignal(signal.SIGINT)
        assert train(folder, name, *overrides)[0] == 130
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones


@pytest.fixture(scope="module")
def half(folder):
    """A run that was interrupted, and the whole run beside it."""
    assert train(folder, "whole", "trainer.max_epochs=4") == (0, "")
    interrupted(folder, "half", "trainer.max_epochs=4")
    return folder


@pytest.mark.parametrize("kind", ["optimizer=rmsprop_paper", "optimizer=adamw", "callbacks=ema"])
def test_a_resumed_run_ends_with_the_same_weights(folder, kind):
    settings = ["trainer.max_epochs=4", "trainer.log_every_n_steps=1", kind]
    whole_name, half_name = (f"{length}_{kind.split('=')[1]}" for length in ("whole", "part"))
    assert train(folder, whole_name, *settings) == (0, "")
    interrupted(folder, half_name, *settings)
    assert train(folder, half_name, *settings, "resume=true") == (0, "")
    whole, again = (checkpoint.read(folder / name / "checkpoints" / "last.ckpt") for name in (whole_name, half_name))
    assert whole["epoch"] == again["epoch"] == 3
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(again["state_dict"][key], value, rtol=0, atol=0, msg=key)
    assert rows(folder / half_name / "metrics.csv") == rows(folder / whole_name / "metrics.csv")
    assert not list((folder / half_name).glob("metrics_before_*"))
    facts = json.loads((folder / half_name / "provenance.json").read_text())
    assert [entry["from"] for entry in facts["resumed"]] == ["last.ckpt"]
    best = [checkpoint.read(folder / name / "checkpoints" / "best.ckpt")["epoch"] for name in (whole_name, half_name)]
    assert best[0] == best[1]


def test_a_shorter_run_is_made_longer(half):
    assert train(half, "short", "trainer.max_epochs=2") == (0, "")
    assert train(half, "short", "trainer.max_epochs=4", "resume=true") == (0, "")
    whole, again = (checkpoint.read(half / name / "checkpoints" / "last.ckpt") for name in ("whole", "short"))
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(again["state_dict"][key], value, rtol=0, atol=0, msg=key)


def test_an_interrupted_run_says_how_to_go_on(half, capsys):
    interrupted(half, "said", "trainer.max_epochs=4")
    assert f"output={half / 'said'} and resume=true" in capsys.readouterr().out.replace("\n", "")


def test_another_config_is_refused_and_named(half):
    code, message = train(half, "whole", "trainer.max_epochs=4", "resume=true", "model.patch=2")
    assert code == 1
    assert "model.patch: 4 → 2" in message
    assert "another output=" in message


def test_a_schedule_that_depends_on_the_epochs_fixes_their_number(half):
    adamw = ["optimizer=adamw", "trainer.max_epochs=1"]
    assert train(half, "adamw", *adamw) == (0, "")
    code, message = train(half, "adamw", "optimizer=adamw", "trainer.max_epochs=2", "resume=true")
    assert code == 1
    assert "trainer.max_epochs: 1 → 2" in message


def test_other_data_is_refused(half):
    changed = f"data.archives.folder={half / 'other'}"
    code, message = train(half, "whole", "trainer.max_epochs=4", "resume=true", changed)
    assert code == 1
    assert "data.archives.folder" in message


def test_nothing_to_resume_is_said(half):
    code, message = train(half, "never", "resume=true")
    assert code == 1
    assert "no run was begun there" in message
    assert not (half / "never" / "config.yaml").exists()


def test_a_run_is_not_overwritten_and_the_message_offers_to_go_on(half):
    code, message = train(half, "whole", "trainer.max_epochs=4")
    assert code == 1
    assert "resume=true" in message
