"""Going on with an interrupted run: the same weights as without the interruption."""

import csv
import json
import signal

import pytest
import torch

from nowcast.forecasting import checkpoint
from nowcast.training.task import NowcastTask
from tests.conftest import thinned
from tests.programs import run
from tests.training.resuming import SETTINGS, interrupted, rows, same_weights, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def half(folder):
    """A run that was interrupted, and the whole run beside it."""
    assert train(folder, "whole", "trainer.max_epochs=4", "evaluate=true") == (0, "")
    interrupted(folder, "half", "trainer.max_epochs=4")
    return folder


# Where the signal comes: in the middle of an epoch, at its last batch (before validation), in the first epoch.
@pytest.mark.parametrize(
    ("kind", "epoch", "batch"),
    [("optimizer=adamw", 2, 1),
     *(pytest.param(*case, marks=pytest.mark.thorough) for case in (
         ("optimizer=adamw", 1, 2), ("optimizer=rmsprop_paper", 2, 0), ("optimizer=rmsprop_paper", 0, 0),
         ("callbacks=ema", 2, 1), ("trainer.accumulate_grad_batches=2", 2, 0),
         ("callbacks.watch.every_n_epochs=3", 2, 1),
     )),
     pytest.param("data.workers=2", 2, 1, marks=pytest.mark.slow)],  # processes that load take seconds to begin
)  # fmt: skip
def test_a_resumed_run_ends_with_the_same_weights(folder, kind, epoch, batch):
    settings = ["trainer.max_epochs=4", "data.batch_size=2", "data.sampling.samples_per_epoch=7", kind]
    settings += ["trainer.log_every_n_steps=1"] if "accumulate" not in kind else []
    whole, part = f"whole_{kind.split('=')[1]}_{'w' in kind}", f"part_{kind.split('=')[1]}_{epoch}_{batch}"
    if not (folder / whole).exists():
        assert train(folder, whole, *settings) == (0, "")
    interrupted(folder, part, *settings, epoch=epoch, batch=batch)
    assert train(folder, part, *settings, "resume=auto") == (0, "")
    same_weights(folder, whole, part)
    same_weights(folder, whole, part, "best.ckpt")
    assert rows(folder / part / "metrics.csv") == rows(folder / whole / "metrics.csv")
    assert not list((folder / part).glob("metrics_before_*"))
    facts = json.loads((folder / part / "provenance.json").read_text())
    assert [entry["from"] for entry in facts["resumed"]] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("workers", "epoch", "batch"),
    [*thinned([(0, 0, 0), (0, 1, 1), (0, 1, 2), (0, 2, 3)], fast=[1]), pytest.param(2, 1, 1, marks=pytest.mark.slow)],
)
def test_a_run_with_several_crops_of_a_window_goes_on_among_them(folder, workers, epoch, batch):
    """Batches of three crops of two windows are read together; the signal comes before, among and after them."""
    settings = ["trainer.max_epochs=3", "data.batch_size=2", "data.crop=8", "data.eval_crop=16"]
    settings += ["data.sampling.samples_per_epoch=9", "data.sampling.crops_per_window=3", "trainer.log_every_n_steps=1"]
    if not (folder / "whole_visits").exists():
        assert train(folder, "whole_visits", *settings) == (0, "")
    part, settings = f"visits_{workers}_{epoch}_{batch}", [*settings, f"data.workers={workers}"]
    interrupted(folder, part, *settings, epoch=epoch, batch=batch, number=signal.SIGTERM)
    assert train(folder, part, *settings, "resume=auto") == (0, "")
    same_weights(folder, "whole_visits", part)
    assert rows(folder / part / "metrics.csv") == rows(folder / "whole_visits" / "metrics.csv")


def test_a_signal_at_the_last_batch_waits_for_validation(folder):
    settings = ["trainer.max_epochs=2"]
    interrupted(folder, "last_batch", *settings, epoch=0, batch=1, number=signal.SIGTERM)
    last = checkpoint.read(folder / "last_batch" / "checkpoints" / "last.ckpt")
    assert (last["epoch"], last["global_step"]) == (0, 2)
    assert (folder / "last_batch" / "checkpoints" / "best.ckpt").exists()


def test_inside_a_long_epoch_the_checkpoint_is_renewed(folder, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "nowcast.training.callbacks.checkpoints._save",
        lambda content, path: saved.append((content["global_step"], path.name)),
    )
    minutes = "callbacks.last.minutes=1e-9"
    assert (
        train(folder, "long", "trainer.max_epochs=1", "data.batch_size=2", minutes, "callbacks.checkpoint=null")[0] == 1
    )
    assert [step for step, name in saved if name == "last.ckpt"] == [1, 2, 3, 4]


@pytest.mark.thorough
def test_a_shorter_run_is_made_longer_as_a_new_run(half):
    assert train(half, "short", "trainer.max_epochs=2") == (0, "")
    begin = f"resume={half / 'short' / 'checkpoints' / 'last.ckpt'}"
    assert train(half, "longer", "trainer.max_epochs=4", begin) == (0, "")
    same_weights(half, "whole", "longer")
    assert checkpoint.read(half / "short" / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_a_finished_run_is_left_alone(half, capsys):
    before = {path: path.stat().st_mtime_ns for path in (half / "whole").rglob("*") if path.is_file()}
    assert train(half, "whole", "trainer.max_epochs=4", "resume=auto") == (0, "")
    said = capsys.readouterr().out
    last = half / "whole" / "checkpoints" / "last.ckpt"
    assert f"finished already: nothing to do; for more epochs: resume={last}, a larger trainer.max_epochs and" in said
    after = {path: path.stat().st_mtime_ns for path in (half / "whole").rglob("*") if path.is_file()}
    log = half / "whole" / "train.log"
    assert {path: time for path, time in after.items() if path != log} == {
        path: time for path, time in before.items() if path != log
    }


@pytest.mark.parametrize(
    ("optimizer", "how"),
    thinned([("rmsprop_paper", "resume={last}, a larger"), ("adamw", "start anew: resume=never, a larger")], fast=[0]),
)
def test_a_run_without_scores_that_is_trained_already_says_so(half, capsys, optimizer, how):
    name = f"no_scores_{optimizer}"
    settings = [f"optimizer={optimizer}", "trainer.max_epochs=1", "evaluate=false", "resume=auto"]
    assert train(half, name, *settings) == (0, "")
    assert "trained already" not in capsys.readouterr().out
    assert train(half, name, *settings) == (0, "")
    said = [line for line in capsys.readouterr().out.splitlines() if "trained already" in line]
    assert len(said) == 1
    assert "for its scores: evaluate=true; for more epochs" in said[0]
    assert how.format(last=half / name / "checkpoints" / "last.ckpt") in said[0]


@pytest.mark.thorough
def test_a_run_that_early_stopping_ended_stays_ended(half, capsys):
    early = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer=rmsprop_paper"]
    early += ["callbacks.early_stopping.monitor=val/loss", "callbacks.early_stopping.mode=max", "evaluate=false"]
    settings = [*early, "trainer.max_epochs=6", "resume=auto"]
    assert train(half, "ended_early", *settings) == (0, "")
    metrics = rows(half / "ended_early" / "metrics.csv")
    last = half / "ended_early" / "checkpoints" / "last.ckpt"
    trained = checkpoint.read(last)["epoch"] + 1
    assert trained < 6  # the loss falls, which mode=max takes for worse
    capsys.readouterr()
    assert train(half, "ended_early", *settings) == (0, "")
    said = capsys.readouterr().out
    assert f"was trained already; for its scores: evaluate=true; for more epochs: resume={last}, a larger" in said
    assert "trainer.max_epochs and callbacks.early_stopping.patience and another output=" in said
    assert checkpoint.read(last)["epoch"] + 1 == trained
    assert rows(half / "ended_early" / "metrics.csv") == metrics
    more = ["callbacks.early_stopping.patience=3", "trainer.max_epochs=6", f"resume={last}"]
    assert train(half, "ended_later", *early, *more) == (0, "")
    assert checkpoint.read(half / "ended_later" / "checkpoints" / "last.ckpt")["epoch"] + 1 == trained + 2


def test_a_run_that_was_killed_before_any_checkpoint_begins_again(half):
    def stop(task, batch, batch_index):
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastTask, "on_train_batch_start", stop)
        with pytest.raises(RuntimeError, match="killed"):
            train(half, "early", "trainer.max_epochs=4", "resume=auto")
    assert not (half / "early" / "checkpoints" / "last.ckpt").exists()
    assert train(half, "early", "trainer.max_epochs=4", "resume=auto") == (0, "")
    same_weights(half, "whole", "early")
    assert json.loads((half / "early" / "provenance.json").read_text())["resumed"][0]["from"] is None


def test_scoring_that_was_interrupted_is_done_again(half):
    def stop(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nowcast.training.run.score", stop)
        assert train(half, "unscored", "trainer.max_epochs=1", "evaluate=true")[0] == 130
    last = checkpoint.read(half / "unscored" / "checkpoints" / "last.ckpt")
    (state,) = [kept for name, kept in last["callbacks"].items() if name.startswith("BestCheckpoint")]
    assert state["best_model_path"].endswith("best.ckpt")  # the only epoch; the one that is written last knows it
    best = checkpoint.read(half / "unscored" / "checkpoints" / "best.ckpt")
    assert train(half, "unscored", "trainer.max_epochs=1", "evaluate=true", "resume=auto") == (0, "")
    assert (half / "unscored" / "evaluation" / "scores.csv").exists()
    again = checkpoint.read(half / "unscored" / "checkpoints" / "best.ckpt")  # with the validation scores added
    assert (again["epoch"], again["global_step"]) == (best["epoch"], best["global_step"])
    torch.testing.assert_close(again["state_dict"], best["state_dict"], rtol=0, atol=0)
    assert "finished" in json.loads((half / "unscored" / "provenance.json").read_text())


@pytest.mark.thorough
def test_without_a_best_epoch_the_last_is_scored(half):
    settings = ["trainer.max_epochs=1", "callbacks.checkpoint=null", "evaluate=true"]
    assert train(half, "no_best", *settings) == (0, "")
    assert [path.name for path in (half / "no_best" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert (half / "no_best" / "evaluation" / "scores.csv").exists()


def test_an_interrupted_run_says_how_to_go_on(half, capsys):
    interrupted(half, "said", "trainer.max_epochs=4")
    assert f"output={half / 'said'} and resume=auto" in capsys.readouterr().out.replace("\n", "")


def test_auto_without_a_run_begins_one(half):
    assert train(half, "fresh", "trainer.max_epochs=1", "resume=auto") == (0, "")
    assert "resumed" not in json.loads((half / "fresh" / "provenance.json").read_text())


@pytest.mark.thorough
def test_a_checkpoint_inside_the_last_epoch_has_that_epoch_left(half):
    interrupted(half, "inside", "trainer.max_epochs=4", epoch=3, batch=0)
    begin = f"resume={half / 'inside' / 'checkpoints' / 'last.ckpt'}"
    code, message = train(half, "none_left", "trainer.max_epochs=3", begin)
    assert (code, "has trained 3 epochs; with trainer.max_epochs=3 none is left" in message) == (1, True)
    assert train(half, "from_inside", "trainer.max_epochs=4", begin) == (0, "")
    same_weights(half, "whole", "from_inside")


@pytest.mark.thorough
def test_what_is_scored_may_be_another_in_a_new_run(half):
    begin = f"resume={half / 'whole' / 'checkpoints' / 'last.ckpt'}"
    scored = [
        "verification.thresholds=[1.0,3.0]",
        "verification.main_threshold=1.0",
        "scores=full",
        "strata.block=archive",
    ]
    scored += ["uncertainty.resamples=50", "evaluate=true"]
    assert train(half, "other_scores", "trainer.max_epochs=5", begin, *scored) == (0, "")
    with (half / "other_scores" / "evaluation" / "scores.csv").open() as file:
        assert {row["threshold"] for row in csv.DictReader(file)} == {"1.0", "3.0"}


@pytest.mark.thorough
def test_a_run_is_the_same_however_its_folder_is_typed(half, monkeypatch):
    monkeypatch.chdir(half)
    settings = [*SETTINGS, f"data.archives.folder={half / 'data'}", "trainer.max_epochs=4", "resume=auto"]
    interrupted(half, "typed", "trainer.max_epochs=4")
    assert run("train", *settings, "output=typed") == (0, "")
    same_weights(half, "whole", "typed")
    assert run("train", *settings, f"output={half / 'typed'}/") == (0, "")
    (half / "typed").rename(half / "moved")
    assert run("train", *settings, "output=moved") == (0, "")
