"""A network's probabilities in files: scored as the network itself, and one system's files are alike."""

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch
from torch import nn

import nowcast
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.limits import limits_of
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.forecasting import checkpoint
from nowcast.forecasting.external import read_forecast
from nowcast.forecasting.forecast import Exceedance
from nowcast.forecasting.forecaster import of_model
from nowcast.forecasting.predict import Input, predict
from nowcast.report import forecast_pictures as report
from nowcast.report.forecast import write
from nowcast.report.plots.colours import RainColours
from nowcast.report.plots.contents import Choice
from tests.programs import TINY, composed, ended, rows, run

TRAIN = [*TINY, "head=exceedance", "loss=exceedance", "callbacks.watch=null", "scores=basic",
         "uncertainty.resamples=20", "trainer.max_epochs=4", "optimizer.optimizer.lr=0.02"]  # fmt: skip
SCORED = ["data.eval_crop=null", "scores=ensemble", "html=false", "uncertainty.resamples=20", "split=test"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of probabilities, and its forecasts from every time of the test archive, by `nowcast predict`."""
    folder = tmp_path_factory.mktemp("exceedance")
    assert run("train", *TRAIN, f"output={folder / 'run'}", f"data.archives.folder={folder / 'data'}") == (0, "")
    archive = next((folder / "data").glob("*/test_000.nc"))
    for time in Archive(archive).times[2:-4]:
        file = folder / f"{str(time).replace(':', '')}.nc"
        asked = [f"checkpoint={folder / 'run' / 'checkpoints' / 'best.ckpt'}", f"input={archive}", f"init_time={time}"]
        assert run("predict", *asked, f"output={file}") == (0, "")
    return folder


def test_files_score_as_the_checkpoint_that_wrote_them(trained, tmp_path):
    network = f"checkpoint={trained / 'run' / 'checkpoints' / 'best.ckpt'}"
    files = f"forecasts={{file: '{trained}/*.nc'}}"
    assert run("evaluate", network, files, *SCORED, f"output={tmp_path / 'out'}") == (0, "")
    found = {}
    for row in rows(tmp_path / "out" / "intervals.csv"):
        key = tuple(row[name] for name in row if name not in ("model", "value", "low", "high"))
        found.setdefault(row["model"], {})[key] = float(row["value"])
    said, read = found["convlstm_calibrated"], found["file"]
    assert said.keys() == read.keys()
    assert {part for row in said for part in row if "brier" in part} >= {"brier", "brier_skill_lagrangian"}
    assert "lagrangian_probability" in found  # the head of the training chose it
    for key, value in said.items():
        assert read[key] == pytest.approx(value, rel=1e-5, abs=1e-7, nan_ok=True), key
    csi = {key: value for key, value in said.items() if "csi" in key}
    assert any(value > 0 for value in csi.values())  # something is forecast
    assert {key: read[key] for key in csi} == pytest.approx(csi, rel=0, abs=0, nan_ok=True)


@pytest.mark.thorough
def test_events_of_more_rain_than_probabilities_are_of_have_no_score(trained, tmp_path, capsys):
    """They would be scored as never forecast."""
    network = f"checkpoint={trained / 'run' / 'checkpoints' / 'best.ckpt'}"
    asked = ["verification.thresholds=[0.5,10,10.5]", "html=false"]
    assert run("evaluate", network, *SCORED, *asked, f"output={tmp_path}") == (0, "")
    dry = {(row["model"], float(row["threshold"])): row["correct_negatives"] for row in rows(tmp_path / "scores.csv")}
    assert dry["convlstm_calibrated", 10.5] == dry["convlstm", 10.5] == "0"  # it rains nowhere so much
    assert "0" not in (dry["convlstm_calibrated", 10.0], dry["persistence", 10.5])
    printed = " ".join(capsys.readouterr().out.split())
    for name in ("convlstm", "convlstm_calibrated"):
        assert f"{name} says nothing of more than 10 mm/h, and has no score at 10.5 mm/h" in printed
    assert "without: verification.thresholds=[0.5,10])" in printed


def test_what_is_read_is_what_was_said(trained):
    path = min(trained.glob("*.nc"))
    loaded = checkpoint.load(trained / "run" / "checkpoints" / "best.ckpt")
    files = ForecastFiles([str(path)])
    (init,) = files.files
    leads, grid = files.layout(init)
    read = read_forecast(files, init, leads, grid)
    assert isinstance(read, Exceedance)
    assert read.thresholds == tuple(loaded.config["head"]["thresholds"])
    assert read.levels is not None
    with netCDF4.Dataset(path) as dataset:
        np.testing.assert_array_equal(read.single()[0, :, 0].numpy(), dataset["rain_rate"][:].filled(np.nan))
        assert dataset["rain_rate"].dimensions == ("time", "y", "x")
    later = read_forecast(files, init, leads[1:3], grid)
    torch.testing.assert_close(
        later.single(), replace(read, values=read.values[:, 1:3], levels=read.levels[1:3]).single()
    )


@pytest.mark.parametrize("decide", [None, "csi", "0.1"])
def test_a_file_says_which_decision_made_its_rain(trained, tmp_path, decide):
    network = trained / "run" / "checkpoints" / "best.ckpt"
    archive = next((trained / "data").glob("*/test_000.nc"))
    asked = [f"checkpoint={network}", f"input={archive}", *([f"decide={decide}"] if decide else [])]
    assert run("predict", *asked, f"output={tmp_path / 'd.nc'}") == (0, "")
    with netCDF4.Dataset(tmp_path / "d.nc") as dataset:
        assert dataset["rain_rate"].decision == (decide or "bias")
        assert ("these scores are of rain rates by the decision of the training" in dataset.comment) == bool(decide)
        choices = dict(zip(dataset["decision"][:], dataset["level_by_decision"][:], strict=True))
        assert list(choices) == ["bias", "csi", "0.02", "0.05", "0.1", "0.2", "0.5"]
        levels = dataset["decision_level"][:]
        np.testing.assert_array_equal(levels, choices[decide or "bias"])
        assert dataset["level_by_decision"].dimensions == ("decision", "threshold", "time")
        rain, p = dataset["rain_rate"][:].filled(np.nan), dataset["probability_of_exceedance"][:].filled(np.nan)
        reached = np.logical_and.accumulate(p >= levels[:, :, None, None])
        for k, threshold in enumerate(dataset["threshold"][:]):
            np.testing.assert_array_equal(rain >= threshold, reached[k])
    frames = nowcast.open_archive(archive)
    again = nowcast.load_forecaster(network, decide=decide).forecast(frames)
    np.testing.assert_array_equal(again["rain_rate"], rain)
    assert again["rain_rate"].attrs["decision"] == (decide or "bias")
    assert list(again["decision"].values) == list(choices)


def test_what_is_scored_is_what_was_decided(trained, tmp_path):
    network = f"checkpoint={trained / 'run' / 'checkpoints' / 'best.ckpt'}"
    found = {}
    for decide in ("bias", "0.02"):
        out = tmp_path / decide
        asked = [network, *SCORED, f"decide={decide}", "verification.thresholds=[0.5]", f"output={out}"]
        assert run("evaluate", *asked) == (0, "")
        assert f"decide: '{decide}'" in (out / "settings.yaml").read_text().replace("decide: bias", "decide: 'bias'")
        scores = [row for row in rows(out / "scores.csv") if row["model"].startswith("convlstm")]
        found[decide] = {
            model: [float(row["bias"]) for row in scores if row["model"] == model]
            for model in ("convlstm", "convlstm_calibrated")
        }
    assert found["bias"]["convlstm"] == pytest.approx(found["0.02"]["convlstm"], nan_ok=True)  # has no levels
    rarely, often = (np.nanmean(found[decide]["convlstm_calibrated"]) for decide in ("bias", "0.02"))
    assert often > rarely


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["decide=0.3"], "decide=0.3: this checkpoint holds levels for bias, csi, 0.02, 0.05, 0.1, 0.2, 0.5;"),
        (["decide=often"], "decide must be bias, csi, area or a ratio of cost to loss between 0 and 1, got 'often'"),
        (["decide=1.5"], "decide must be bias, csi, area or a ratio of cost to loss between 0 and 1, got '1.5'"),
    ],
)
def test_decisions_that_are_none_are_refused(trained, tmp_path, command, settings, words):
    network = f"checkpoint={trained / 'run' / 'checkpoints' / 'best.ckpt'}"
    archive = next((trained / "data").glob("*/test_000.nc"))
    asked = [f"input={archive}"] if command == "predict" else []
    code, message = ended(command, network, *asked, *settings, f"output={tmp_path / 'o.nc'}")
    assert code == 2
    assert words in message


@pytest.mark.thorough
def test_predict_draws_what_the_network_says(trained, tmp_path, monkeypatch):
    cases, plot = [], report.plot_forecast
    monkeypatch.setattr(report, "plot_forecast", lambda case, *rest: cases.append(case) or plot(case, *rest))
    network = f"checkpoint={trained / 'run' / 'checkpoints' / 'best.ckpt'}"
    archive = next((trained / "data").glob("*/test_000.nc"))
    asked = [network, f"input={archive}", f"output={tmp_path / 'p.nc'}", "plot=true", "pictures.thresholds=[0.5,9]"]
    assert run("predict", *asked) == (0, "")
    assert (tmp_path / "p.gif").exists()
    (case,) = cases
    assert list(case.forecasts) == ["convlstm_calibrated"]
    with netCDF4.Dataset(tmp_path / "p.nc") as dataset:
        for name, threshold in (("0.5", 0.5), ("10", 10.0)):  # it knows no 9 mm/h
            drawn = case.probabilities[f"convlstm_calibrated P(≥\u00a0{name}\u00a0mm/h)"]
            (number,) = np.flatnonzero(dataset["threshold"][:] == threshold)
            np.testing.assert_array_equal(drawn, dataset["probability_of_exceedance"][number].filled(np.nan))


class Members(nn.Module):
    """An ensemble: the last input, and so much more in each further member."""

    needs_training, input_steps = False, 2

    def forward(self, values, steps):
        """(B, 3, T, 1, H, W)."""
        return torch.stack([values[:, -1:].repeat(1, steps, 1, 1, 1) + k for k in range(3)], dim=1)


@pytest.mark.thorough
def test_the_members_of_an_ensemble_are_written_and_read(trained, tmp_path):
    path = next((trained / "data").glob("*/test_000.nc"))
    forecaster = of_model("members", Members(), {"_target_": "Members"})
    archive = Archive(path)
    result = predict(forecaster, Input(archive, "it"), init_time=None, forecast_steps=2, device=torch.device("cpu"))
    limits = limits_of(composed(f"input={path}", f"output={tmp_path}", "model=persistence", program="predict").limits)
    write(result, forecaster, limits, tmp_path / "e.nc")
    report.Pictures(Choice(members=2), RainColours(False)).draw(result, "members", tmp_path / "e.nc")
    last = archive.read(slice(-1, None), slice(None), slice(None))
    expected = np.stack([np.repeat(last + k, 2, axis=0) for k in range(3)])
    with netCDF4.Dataset(tmp_path / "e.nc") as dataset:
        assert dataset["rain_rate"].dimensions == ("realization", "time", "y", "x")
        assert "probability_of_exceedance" not in dataset.variables
    files = ForecastFiles([str(tmp_path / "e.nc")])
    (init,) = files.files
    read = read_forecast(files, init, *files.layout(init))
    np.testing.assert_array_equal(read.members()[0, :, :, 0].numpy(), expected)


@pytest.mark.parametrize("change", ["thresholds", "rain"])
def test_files_of_one_system_hold_the_same(trained, tmp_path, change):
    first, second = sorted(trained.glob("*.nc"))[:2]
    odd = tmp_path / "odd.nc"
    odd.write_bytes(second.read_bytes())
    with netCDF4.Dataset(odd, "a") as dataset:
        if change == "thresholds":
            dataset["threshold"][0] = 0.05
        else:
            dataset.renameVariable("probability_of_exceedance", "other")
    words = {
        "thresholds": "probabilities of at least 0.05, 0.5, 1, 2, 5, 10 mm/h, ",
        "rain": f"{odd} has rain rates, ",
    }
    archive = next((trained / "data").glob("*/test_000.nc"))
    asked = ["model=persistence", f"data.archives=[{archive}]", "data.split.method=all", "data.crop=null",
             "data.workers=0", "data.input_steps=3", "data.forecast_steps=4"]  # fmt: skip
    code, message = run(
        "evaluate", *asked, f"forecasts={{x: [{first}, {odd}]}}", f"output={tmp_path / 'out'}", "html=false"
    )
    assert code == 1
    assert words[change] in message
    assert "Name them as systems of their own" in message
