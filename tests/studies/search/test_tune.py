"""`nowcast tune` from its command line to best.yaml; trials are a stand-in except where the test says so."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from optuna.trial import TrialState

from nowcast.forecasting import checkpoint
from nowcast.studies.search import search
from nowcast.studies.search.report import tie
from nowcast.studies.search.study import Objective
from tests.conftest import thinned
from tests.programs import TINY, run

FAKE = Path(__file__).parent / "fake_train.py"
QUICK = ["tune.poll_seconds=0.05", "tune.heartbeat_seconds=1", "tune.grace_seconds=3", "tune.stop_seconds=5"]


@pytest.fixture
def drawn(monkeypatch):
    """Trials that train nothing."""
    monkeypatch.setattr(search, "TRAIN", [sys.executable, str(FAKE)])


@pytest.fixture
def fake(drawn, monkeypatch):
    """The same, without plots; call it with the faults of some seeds."""
    monkeypatch.setattr(search, "write_plots", lambda *_: [])
    return lambda faults="": monkeypatch.setenv("NOWCAST_FAKE", faults)


def tune(folder, *overrides):
    space = [] if any(text.startswith("tune=") for text in overrides) else ["tune=convlstm"]
    return run("tune", "experiment=convlstm", *space, f"output={folder}", *QUICK, *overrides)


# Where a test is not about the space: before a search begins, each choice and each end of a range is composed.
LR_ALONE = ["tune.space.hidden=null", "tune.space.patch=null"]


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_study_runs_its_total_and_a_second_start_only_what_is_missing(tmp_path, drawn, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(search, "write_plots", lambda *_: [])  # those of seven trials are looked at
        assert tune(tmp_path, "tune=optimizer", "tune.trials=5") == (0, "")
    first = rows(tmp_path)
    assert [(row["trial"], row["seed"]) for row in first] == [(str(n), str(n)) for n in range(5)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trial_*/*")}
    assert tune(tmp_path, "tune=optimizer", "tune.trials=7") == (0, "")
    assert (rows(tmp_path)[:5], len(rows(tmp_path))) == (first, 7)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in tmp_path.glob("trial_*")) == [f"trial_{n:04d}" for n in range(7)]
    best = max((row for row in rows(tmp_path) if row["state"] == "complete"), key=lambda row: float(row["score"]))
    printed = capsys.readouterr().out
    assert f"best val/csi {float(best['score']):.4g} (trial {best['trial']})" in printed
    config = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert config["seed"] == int(best["seed"])
    assert config["optimizer"]["optimizer"]["lr"] == float(best["lr"])
    for name in ("history", "importances", "parallel_coordinates", "slices"):
        for kind in ("png", "html"):
            path = tmp_path / "plots" / f"{name}.{kind}"
            assert path.stat().st_size > 5000
            assert f"wrote {path}" in printed
    assert "plotly.min.js" in (tmp_path / "plots" / "history.html").read_text()
    assert (tmp_path / "plots" / "plotly.min.js").exists()


@pytest.mark.thorough
def test_trials_that_tie_are_said(tmp_path, fake, capsys):
    same = ["tune.space.lr=null", "optimizer.optimizer.lr=1e-3"]
    assert tune(tmp_path, *same, "tune.space.hidden=null", "tune.trials=2", "tune/pruner=none") == (0, "")
    printed = capsys.readouterr().out
    assert "all 2 completed trials tie with val/csi=" in printed
    assert "trial 0, the first of them, is not better" in printed


def test_which_trials_tie(tmp_path):
    objective = [Objective("score", "val/csi_0p5mmh", "max")]
    study = optuna.create_study(direction="maximize")
    for value, words in ((0.0, ""), (0.5, ""), (0.5, "trials 1, 2 tie with"), (0.7, ""), (float("nan"), "")):
        state = TrialState.FAIL if value != value else TrialState.COMPLETE
        study.add_trial(optuna.trial.create_trial(state=state, value=value if value == value else None))
        assert tie(study, objective).startswith(words), value
        assert bool(tie(study, objective)) == bool(words)


def test_failed_crashed_and_diverged_trials_are_recorded_and_do_not_end_the_study(tmp_path, fake, capsys):
    fake("fail=1,crash=2,nan=3")
    assert tune(tmp_path, *LR_ALONE, "tune.trials=5") == (0, "")
    table = rows(tmp_path)
    assert [row["state"] for row in table] == ["complete", "failed", "failed", "failed", "complete"]
    assert "ValueError: a fault on purpose" in table[1]["error"]
    assert "Traceback" in table[1]["error"]
    assert "SIGSEGV" in table[2]["error"]
    assert "NaN" in table[3]["error"]
    assert "a fault on purpose" in (tmp_path / "logs" / "trial_0001.log").read_text()
    assert f"trial 1 failed: ValueError: a fault on purpose ({tmp_path / 'logs' / 'trial_0001.log'})" in (
        capsys.readouterr().out.replace("\n", " ")
    )


@pytest.mark.slow
def test_a_diverged_trial_can_count_as_the_worst(tmp_path, fake):
    fake("nan=1")
    assert tune(tmp_path, "tune.trials=3", "tune.diverged=worst") == (0, "")
    assert [(row["state"], row["score"]) for row in rows(tmp_path)][1] == ("diverged", "-inf")
    assert "best" in {path.stem for path in tmp_path.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "pruner",
    [["tune.pruner.n_startup_trials=1", "tune.pruner.n_warmup_steps=0"], ["tune/pruner=asha"]],  # median; halving
)
def test_trials_that_fall_behind_are_pruned_by_the_score_of_each_epoch(tmp_path, fake, pruner):
    fake("slow=*")
    rates = ["tune.space.lr=null", "+tune.space.rate={key:optimizer.optimizer.lr,type:categorical,choices:[3e-3,3e-5]}"]
    space = [*rates, "tune.space.hidden=null", "tune.space.patch=null", "trainer.max_epochs=4"]
    assert tune(tmp_path, "tune/sampler=grid", *space, *pruner) == (0, "")
    good, bad = rows(tmp_path)
    assert (good["state"], good["epochs"]) == ("complete", "4")
    assert bad["state"] == "pruned"
    assert int(bad["epochs"]) < 4


@pytest.mark.slow
def test_a_grid_has_every_combination_whatever_the_number_of_trials(tmp_path, fake):
    rates = ["tune.space.lr=null", "+tune.space.rate={key:optimizer.optimizer.lr,type:categorical,choices:[1e-3,1e-2]}"]
    assert tune(tmp_path, "tune/sampler=grid", *rates, "tune.space.hidden=null", "tune/pruner=none") == (0, "")
    assert sorted((row["rate"], row["patch"]) for row in rows(tmp_path)) == [
        ("0.001", "2"), ("0.001", "4"), ("0.01", "2"), ("0.01", "4"),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
@pytest.mark.parametrize("pruner", ["hyperband"])
def test_every_sampler_and_pruner_goes_beyond_its_first_random_trials(tmp_path, fake, sampler, pruner):
    startup = [] if sampler == "random" else ["tune.sampler.n_startup_trials=2"]
    assert tune(tmp_path, f"tune/sampler={sampler}", f"tune/pruner={pruner}", *startup, "tune.trials=4") == (0, "")
    assert len({row["lr"] for row in rows(tmp_path)}) == 4


@pytest.mark.slow
def test_two_objectives_give_the_trials_that_none_beats(tmp_path, drawn):
    assert tune(tmp_path, "tune=skill_and_time", "tune.trials=4") == (0, "")
    table = rows(tmp_path)
    assert all(float(row["seconds"]) > 0 for row in table)
    front = {
        row["trial"]
        for row in table
        if not any(
            float(o["score"]) >= float(row["score"]) and float(o["seconds"]) <= float(row["seconds"]) and o is not row
            for o in table
        )
    }
    assert {path.stem for path in tmp_path.glob("best_*.yaml")} == {f"best_{int(number):04d}" for number in front}
    assert (tmp_path / "plots" / "pareto_front.png").stat().st_size > 5000


@pytest.mark.slow
def test_interrupting_loses_nothing(tmp_path):
    command = [sys.executable, "-c",
               "import sys; from nowcast.studies.search import search; "
               f"search.TRAIN = [sys.executable, {str(FAKE)!r}]; "
               "from nowcast.commands.tune import main; main()",
               "experiment=convlstm", "tune=convlstm",
               f"output={tmp_path}", *QUICK, "tune.trials=3", "tune/pruner=none"]  # fmt: skip
    process = subprocess.Popen(
        command,
        env={**os.environ, "NOWCAST_FAKE": "sleep=1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (tmp_path / "trial_0001").exists() and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143, out
    assert "go on with the same command" in out
    assert [row["state"] for row in rows(tmp_path)] == ["complete", "interrupted"]
    again = subprocess.run(command, env={**os.environ, "NOWCAST_FAKE": ""}, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    table = rows(tmp_path)
    assert [row["state"] for row in table].count("complete") == 3
    retried = [row for row in table if row["first_trial"] == "1"]
    assert [row["state"] for row in retried] == ["interrupted", "complete"]
    assert len({(row["lr"], row["hidden"], row["patch"], row["seed"]) for row in retried}) == 1


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    thinned([
        (["tune.space.patch.key=model.pach"], "model.pach"),
        (["tune.space.patch.choices=[4]", "model.patch=2"], "model.patch is given on the command line and searched"),
        (["tune.objectives.score.metric=val/acc"], "one of seconds, train/loss, val/loss, val/csi, val/csi_0p5mmh"),
        (["tune.objectives.score.mode=maximise"], "max or min"),
        (["tune.diverged=ignore"], "failed or worst, got 'ignore'"),
        (["tune.trails=5"], "did you mean tune.trials?"),
        (["tune.trials=0"], "tune.trials must be at least 1, got 0"),
        (["tune.jobs=0"], "tune.jobs must be at least 1"),
        (["tune.grace_seconds=1"], "must exceed tune.heartbeat_seconds"),
        (["tune=skill_and_time", "tune/pruner=median"], "cannot be pruned"),
        (["tune/sampler=grid"], "tune.space.lr is continuous"),
        (["tune.storage=nonsense"], "not a database URL"),
        (["loss=exceedance"], "model.patch=2 would be refused: loss ExceedanceLoss does not fit a head that says am"),
        (["model=lagrangian", "tune=optimizer"], "would be refused: nowcast.models.lagrangian.Lagrangian says"),
    ], fast=[0, 1, 2, 9]),
)  # fmt: skip
def test_a_search_that_cannot_work_is_refused_before_it_begins(tmp_path, fake, overrides, message):
    code, said = tune(tmp_path, *overrides)
    assert code == 1
    assert message in said
    assert not list(tmp_path.glob("trial_*"))


def test_a_space_may_lie_in_a_folder_of_the_user_and_reaches_the_trials(tmp_path, fake):
    own = tmp_path / "own"
    (own / "tune").mkdir(parents=True)
    (own / "optimizer").mkdir()
    (own / "optimizer" / "mine.yaml").write_text("defaults: [adamw]\n")
    space = "lr: {key: optimizer.optimizer.lr, type: float, low: 1.0e-3, high: 2.0e-3}"
    (own / "tune" / "mine.yaml").write_text(f"defaults: [settings]\nspace:\n  {space}\n")
    overrides = ["tune=mine", "optimizer=mine", "tune.trials=1", f"output={tmp_path / 'study'}", *QUICK]
    assert run("tune", f"--config-dir={own}", *overrides) == (0, "")
    given = (tmp_path / "study" / "trial_0000" / "overrides.txt").read_text().splitlines()
    assert f"--config-dir={own}" in given
    assert "optimizer=mine" in given
    assert (tmp_path / "study" / "best.yaml").exists()


def test_another_search_under_the_same_name_is_refused(tmp_path, fake):
    assert tune(tmp_path, *LR_ALONE, "tune.trials=1") == (0, "")
    code, message = tune(tmp_path, *LR_ALONE, "tune.trials=2", "data.crop=32", "tune.space.lr.high=0.5")
    assert code == 1
    assert "data.crop: 64 → 32; tune.space.lr.high: 0.03 → 0.5" in message


@pytest.mark.thorough
def test_a_search_in_which_all_fails_ends_with_the_reason(tmp_path, fake):
    fake("fail=*")
    code, message = tune(tmp_path, *LR_ALONE, "tune.trials=20")
    assert code == 1
    assert "trials all failed, and so would the others" in message
    assert len(rows(tmp_path)) < 20
    assert "a fault on purpose" in message


@pytest.mark.thorough
def test_a_search_too_short_to_be_given_up_ends_with_the_reason_too(tmp_path, fake):
    fake("fail=*")
    for _ in range(2):  # a second start, which has nothing left to run, as well
        code, message = tune(tmp_path, *LR_ALONE, "tune.trials=1")
        assert code == 1
        assert "no trial has a finite value, and so there is no best one; trial 0 said:" in message
        assert "a fault on purpose" in message
    assert [row["state"] for row in rows(tmp_path)] == ["failed"]


@pytest.mark.thorough
def test_a_search_of_which_all_diverged_has_no_best_trial(tmp_path, fake):
    fake("nan=*")
    code, message = tune(tmp_path, *LR_ALONE, "tune.trials=1", "tune.diverged=worst")
    assert (code, message.endswith("no trial has a finite value, and so there is no best one")) == (1, True)


# -- real trials ---------------------------------------------------------------------------------------------


REAL = [text for text in TINY if not text.startswith(("trainer.enable", "callbacks"))]
REAL += ["model.patch=4", "tune=convlstm", "tune.space.patch=null", "tune.space.hidden=null"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A study of two real trials: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("tune")
    command = [sys.executable, "-m", "nowcast.commands.tune", *REAL, f"data.archives.folder={folder / 'data'}"]
    command += ["tune.trials=2", "tune.jobs=2", f"output={folder / 'study'}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    return folder / "study", result.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_printed_command_repeats_the_best_trial_bit_for_bit(searched, tmp_path):
    folder, printed = searched
    printed_command = next(line for line in printed.splitlines() if "nowcast train --config-dir" in line).split()
    variables = dict(word.split("=") for word in printed_command[: printed_command.index("nowcast")])
    arguments = printed_command[printed_command.index("nowcast") + 2 :]
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", *arguments, f"output={tmp_path / 'again'}"],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    best = max(rows(folder), key=lambda row: float(row["score"]))
    trial = folder / f"trial_{int(best['trial']):04d}"
    weights = [checkpoint.read(run / "checkpoints" / "best.ckpt")["state_dict"] for run in (trial, tmp_path / "again")]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=0, atol=0, msg=key)
    assert not (trial / "evaluation").exists()  # a search does not look at the test split
    assert (tmp_path / "again" / "evaluation" / "scores.csv").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_trial_may_be_a_distributed_run(searched, tmp_path):
    folder, _ = searched
    command = [sys.executable, "-m", "nowcast.commands.tune", *REAL, f"data.archives.folder={folder.parent / 'data'}"]
    command += ["data.windows.stride=1", "data.batch_size=2", "tune.trials=1", f"output={tmp_path}"]
    command += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    assert [row["state"] for row in rows(tmp_path)] == ["complete"]
    assert sorted(path.name for path in tmp_path.glob("trial_*")) == ["trial_0000"]


@pytest.mark.slow
def test_the_value_of_a_real_trial_is_the_best_epoch_of_its_metrics(searched):
    folder, _ = searched
    study = optuna.load_study(study_name="default_convlstm", storage=f"sqlite:///{folder / 'study.db'}")
    for trial in study.trials:
        run_folder = folder / f"trial_{trial.number:04d}"
        with (run_folder / "metrics.csv").open() as file:
            scores = [float(row["val/csi"]) for row in csv.DictReader(file) if row["val/csi"]]
        assert trial.value == max(scores)
        assert list(trial.intermediate_values.values()) == scores
        assert json.loads((run_folder / "provenance.json").read_text())["seed"] == trial.number
