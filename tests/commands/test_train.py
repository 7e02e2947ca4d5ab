"""`nowcast train` from end to end on tiny data: what a run leaves, and what is said when something is wrong."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml

from nowcast.forecasting import checkpoint
from tests.programs import TINY, rows, run


def test_a_run_leaves_everything_that_it_promises(trained):
    for name in (
        "config.yaml", "provenance.json", "split.json", "sampling.csv", "metrics.csv", "train.log",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "evaluation/scores.csv", "evaluation/scores.nc",
        "evaluation/errors.csv",
        "evaluation/csi.svg", "evaluation/forecast.png", "evaluation/forecast.gif",
    ):  # fmt: skip
        assert (trained / name).stat().st_size > 0, name
    facts = json.loads((trained / "provenance.json").read_text())
    assert facts["seed"] == 0
    network = checkpoint.load(trained / "checkpoints" / "best.ckpt").forecaster
    assert facts["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert len(facts["data"]["archives"]) == 5
    assert yaml.safe_load((trained / "config.yaml").read_text())["model"]["hidden"] == [4, 4]
    split = json.loads((trained / "split.json").read_text())
    assert split["train_000"]["test"] == []
    assert len(split["test_000"]["test"]) > 0


def test_what_training_drew_stands_beside_what_there_is_in_a_file_and_the_report(trained, tmp_path):
    table = {(row["group"], row["name"]): row for row in rows(trained / "sampling.csv")}
    split = json.loads((trained / "split.json").read_text())
    for name, windows in split.items():
        assert int(table["archive", name]["windows"]) == len(windows["train"])  # a tile is the whole grid
    assert int(table["all", "all"]["windows"]) == sum(len(windows["train"]) for windows in split.values())
    assert float(table["all", "all"]["rain_ratio"]) > 1  # importance_floor draws rain more often
    report = (trained / "evaluation" / "report.html").read_text()
    assert "What training drew, against what there is" in report
    assert f"<td>train_000</td><td>{table['archive', 'train_000']['windows']}</td>" in report
    assert "drawn_in_training" not in report
    findings = tmp_path / "check.json"
    data = f"data.archives.folder={trained.parent / 'data'}"
    assert run("check", *TINY, data, f"output={findings}") == (0, "")
    told = json.loads(findings.read_text())["sampling"][0]
    assert told["rain_drawn"] == pytest.approx(float(table["all", "all"]["rain_drawn"]), rel=1e-5)


def test_seasons_are_weighed_by_what_is_typed(trained, tmp_path):
    data = [f"data.archives.folder={trained.parent / 'data'}", "trainer.max_epochs=1", "evaluate=false"]
    weights = "data.sampling.season_weights={DJF: 1, MAM: 1, JJA: 2, SON: 0}"
    assert run("train", *TINY, *data, weights, f"output={tmp_path / 'run'}") == (0, "")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["sampling"]["season_weights"] == {
        "DJF": 1, "MAM": 1, "JJA": 2, "SON": 0,
    }  # fmt: skip
    code, text = run("train", *TINY, *data, "data.sampling.season_weights={JJA: 2}", f"output={tmp_path / 'no'}")
    assert (code, "data.sampling.season_weights must give each of DJF, MAM, JJA, SON a weight" in text) == (1, True)


def test_raw_and_calibrated_and_baselines_stand_in_one_table(trained):
    table = rows(trained / "evaluation" / "scores.csv")
    names = {row["model"] for row in table}
    assert names == {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}
    cells = {
        row["model"]: sum(int(row[key]) for key in ("hits", "misses", "false_alarms", "correct_negatives"))
        for row in table
    }
    assert len(set(cells.values())) == 1  # the same windows and mask for all
    assert {float(row["lead_time_minutes"]) for row in table} == {5.0, 10.0, 15.0, 20.0}


def test_validation_scores_are_logged(trained):
    logged = [row for row in rows(trained / "metrics.csv") if row["val/csi_0p5mmh"]]
    assert len(logged) == 2


def test_a_checkpoint_is_complete_and_harmless(trained):
    path = trained / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    assert content["nowcast"]["config"]["model"]["hidden"] == [4, 4]
    loaded = checkpoint.load(path)
    assert loaded.data["timesteps_seconds"] == [300]
    assert loaded.calibrated() is not None
    rain = torch.rand(1, 3, 1, 20, 24) * 5
    rain[..., :3] = torch.nan
    forecast = loaded.forecaster(rain, 6).single()
    assert forecast.shape == (1, 6, 1, 20, 24)
    assert forecast.isfinite().all()
    assert not torch.equal(forecast, loaded.calibrated()(rain, 6).single())


def test_a_run_is_never_overwritten(trained):
    code, message = run("train", *TINY, f"output={trained}", f"data.archives.folder={trained.parent / 'data'}")
    assert code == 1
    assert "runs are never overwritten" in message


def test_training_is_reproducible(trained, tmp_path):
    shutil.copytree(trained.parent / "data", tmp_path / "data")
    run("train", *TINY, f"output={tmp_path / 'again'}", f"data.archives.folder={tmp_path / 'data'}", "evaluate=false")
    first, again = (checkpoint.read(folder / "checkpoints" / "last.ckpt") for folder in (trained, tmp_path / "again"))
    for name, value in first["state_dict"].items():
        assert torch.equal(value, again["state_dict"][name]), name


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer=gpu"], ["trainer=gpu", "trainer=cpu"]),
        (["calibration=maybe"], ["calibration", "maybe", "frequency", "reliability"]),
        (["verification.main_threshold=3"], ["main_threshold=3", "thresholds"]),
        (["callbacks.checkpoint.monitor=val/acc"], ["val/acc", "val/csi_0p5mmh"]),
        (["data=radar", "data.archives=[no/such.nc]"], ["no/such.nc", "nowcast prepare"]),
        (["model.peephole=pixel"], ["model.peephole", "channel, location or none", "pixel"]),
        (["data.windows.stride=0"], ["data.windows.stride must be at least 1, got 0"]),
        (["optimizer.optimizer.lr=-1", "data.archives.folder={data}"], ["optimizer.optimizer.lr", "at least 0", "-1"]),
        (["data=radar"], ["archives"]),
        (["baseline"], ["nothing to train", "nowcast evaluate"]),
        (["data.input_steps=1", "data.archives.folder={data}"], ["at least 2 input frames"]),
        (["data.archives.test_events=0", "data.archives.folder={data}"], ["no test window"]),
    ],
)
def test_wrong_settings_are_one_clear_message(tmp_path, trained, overrides, words):
    if overrides[0] == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    overrides = [text.format(data=trained.parent / "data") for text in overrides]
    tiny = [] if "data=radar" in overrides else TINY
    if overrides == ["baseline"]:
        tiny = [text for text in TINY if not text.startswith("model")]
        overrides = ["model=persistence", f"data.archives.folder={trained.parent / 'data'}"]
    code, message = run("train", *tiny, *overrides, f"output={tmp_path / 'run'}")
    assert code == 1
    for word in words:
        assert word.lower() in message.lower()
    assert "Traceback" not in message


def test_the_average_of_the_weights_is_what_is_validated_and_kept(trained, tmp_path):
    data = f"data.archives.folder={trained.parent / 'data'}"
    run("train", *TINY, data, "callbacks=ema", "evaluate=false", f"output={tmp_path / 'ema'}")
    plain, averaged = (checkpoint.read(folder / "checkpoints" / "last.ckpt") for folder in (trained, tmp_path / "ema"))
    names = [name for name in plain["state_dict"] if name.startswith("net.")]
    assert any(not torch.equal(plain["state_dict"][name], averaged["state_dict"][name]) for name in names)
    checkpoint.load(tmp_path / "ema" / "checkpoints" / "best.ckpt")


def test_a_config_without_a_model_ends_in_words():
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", "experiment=mnist_base", "--help"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 2
    assert "model= is missing; allowed: convgru, convlstm, " in result.stderr
    assert "Traceback" not in result.stderr
