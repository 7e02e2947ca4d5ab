"""Forecasts from the newest files, by networks and without one, and what is said of their worth."""

import json

import netCDF4
import numpy as np
import pytest
import torch

from nowcast.config.build import build, from_plain
from nowcast.data.archive.archive import Archive
from nowcast.data.formats.netcdf import NetcdfReader
from nowcast.data.results.statistics_file import read_statistics
from nowcast.data.windows.dataset import RadarDataset
from nowcast.forecasting import checkpoint
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.models.baselines.persistence import Persistence
from nowcast.verification import validation
from nowcast.verification.validation import validation_scores
from nowcast.verification.worth import better_than, in_words
from tests.conftest import thinned
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.formats import fakes
from tests.programs import composed, run

TRAIN = [
    "data=radar", "data.crop=16", "data.input_steps=3", "data.forecast_steps=4", "data.workers=0", "data.batch_size=4",
    "data.sampling.min_rain_fraction=0", "data.sampling.samples_per_epoch=8", "data.split.block_minutes=50",
    "data.split.gap_minutes=0",
    "experiment=convlstm", "model.hidden=[4,4]", "trainer.max_epochs=1", "trainer.enable_progress_bar=false",
    "callbacks.progress=null", "callbacks.watch=null", "picture=false", "scores=basic", "uncertainty.resamples=20",
]  # fmt: skip


def provider_files(folder, count, *, peak=9.0):
    """One CF file for every five minutes, of a square that moves; names that the alphabet puts in another order."""
    folder.mkdir()
    for k in range(count):
        rain = np.zeros((1, 16, 16), dtype=np.float32)
        rain[0, 4:9, (k % 12) : (k % 12) + 4] = peak
        moment = np.datetime64("2024-05-01", "m") + np.timedelta64(5 * k, "m")
        name = str(moment).replace("-", "").replace(":", "").replace("T", "_")
        fakes.cf(folder / f"{'zya'[k % 3]}_{name}.nc", rain, times=(5 * k,))
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Provider files, and the archive that `nowcast prepare` makes of them with a limit of its own."""
    folder = tmp_path_factory.mktemp("prepared")
    files = provider_files(folder / "files", 60)
    limits = ["limits.rain_rate=[0,4]", "workers=0"]
    assert run("prepare", "source=netcdf", f"input={files}", f"output={folder / 'all.nc'}", *limits) == (0, "")
    return folder


@pytest.fixture(scope="module")
def trained(prepared):
    """A network trained on it."""
    assert run("train", *TRAIN, f"data.archives=[{prepared / 'all.nc'}]", f"output={prepared / 'run'}") == (0, "")
    return prepared / "run" / "checkpoints" / "best.ckpt"


def read(path):
    with netCDF4.Dataset(path) as dataset:
        attributes = {name: dataset.getncattr(name) for name in dataset.ncattrs()}
        return dataset["rain_rate"][:].filled(np.nan), attributes


# -- what a network is worth ---------------------------------------------------------------------------------


def test_a_checkpoint_holds_its_validation_scores_beside_simple_forecasts(trained, prepared):
    """Persistence's CSI is counted again by hand from the windows that the run's own split.json names."""
    stored = checkpoint.load(trained).validation
    assert set(stored["csi"]) == {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}
    starts = json.loads((prepared / "run" / "split.json").read_text())["all"]["val"]
    archive = Archive(prepared / "all.nc")
    rain = archive.read(slice(None), slice(None), slice(None))
    assert stored["windows"] == stored["of"] == len(starts)
    for number, threshold in enumerate(stored["thresholds"]):
        for lead in range(4):
            hits = either = 0
            for start in starts:
                first = int(np.flatnonzero(archive.times == np.datetime64(start))[0])
                said, seen = rain[first + 2] >= threshold, rain[first + 3 + lead] >= threshold
                hits, either = hits + int((said & seen).sum()), either + int((said | seen).sum())
            expected = hits / either if either else np.nan
            np.testing.assert_allclose(stored["csi"]["persistence"][number][lead], expected)


def test_of_many_validation_windows_few_are_read_spread_over_all(trained, monkeypatch):
    data = build(from_plain(checkpoint.load(trained).config["data"]))
    total, read_window, asked = len(data.origins("val")[0]), RadarDataset.__getitem__, []

    def recorded(dataset, index):
        asked.append(index)
        return read_window(dataset, index)

    monkeypatch.setattr(RadarDataset, "__getitem__", recorded)
    monkeypatch.setattr(validation, "MOST_WINDOWS", 3)
    scores = validation_scores(
        {"persistence": Persistence()}, data, [0.5], torch.device("cpu"), lambda items, *_: items
    )
    assert asked == list(range(0, total, -(-total // 3)))
    assert (scores["windows"], scores["of"]) == (len(asked), total)
    assert len(asked) > 1


def test_a_forecast_says_what_its_network_is_worth(trained, prepared, tmp_path, capsys):
    output = tmp_path / "o.nc"
    assert run("predict", f"checkpoint={trained}", f"input={prepared / 'all.nc'}", f"output={output}") == (0, "")
    said = capsys.readouterr().out
    _, attributes = read(output)
    loaded = checkpoint.load(trained)
    assert attributes["references"] == "Shi et al. 2015, arXiv:1506.04214"
    for text in (said, attributes["comment"]):
        assert "CSI at 0.5 mm/h on" in text
        assert "convlstm_calibrated 0." in text
        assert "persistence 0." in text
    better = better_than(loaded.validation, "convlstm_calibrated", 0.5)
    assert "persistence" in better  # after two steps of training
    assert f"{' and '.join(better)} did better than convlstm_calibrated" in said
    assert f"{' and '.join(better)} did better than convlstm_calibrated" in attributes["comment"]
    # What it advises works.
    assert f"model={better[-1]} in place of checkpoint=" in said
    advised = [f"model={better[-1]}", "forecast_steps=4", f"output={tmp_path / 'b.nc'}"]
    assert run("predict", *advised, f"input={prepared / 'all.nc'}") == (0, "")


def test_means_are_over_the_lead_times_that_all_models_have():
    nan = float("nan")
    scores = {
        "windows": 9, "of": 90, "thresholds": [0.5, 2.0],
        "csi": {"net": [[0.6, nan, 0.2], [nan] * 3], "persistence": [[0.5, 0.9, nan], [0.1] * 3]},
        "bias": {"net": [[1.0, nan, 2.0], [nan] * 3], "persistence": [[1.0] * 3, [1.0] * 3]},
    }  # fmt: skip
    first, second = in_words(scores, "net", "…")
    assert (
        "9 validation windows, mean of 1 of 3 lead times: net 0.600, persistence 0.500 (frequency bias 1.500)" in first
    )
    assert "mean of 0 of 3 lead times: net undefined, persistence undefined" in second
    assert better_than(scores, "net", 0.5) == []
    assert better_than(scores, "net", 2.0) == []  # undefined is not worse
    scores["csi"]["persistence"][0][0] = 0.7
    assert better_than(scores, "net", 0.5) == ["persistence"]


def test_a_checkpoint_of_before_says_how_to_learn_its_worth(before, capsys):
    chosen = "checkpoint=finished/checkpoints/best.ckpt"
    archive = next((before / "data").glob("*/test_000.nc")).relative_to(before)
    assert run("predict", chosen, f"input={archive}", "output=o.nc") == (0, "")
    line = next(line for line in capsys.readouterr().out.splitlines() if "no validation scores" in line)
    command = line.split("say nowcast evaluate ")[1].split()
    assert run("evaluate", *command, "output=worth", "html=false", "scores=basic") == (0, "")


@pytest.mark.thorough
def test_lead_times_that_were_never_trained_are_named(trained, prepared, tmp_path, capsys):
    arguments = [f"checkpoint={trained}", f"input={prepared / 'all.nc'}"]
    assert run("predict", *arguments, f"output={tmp_path / 'long.nc'}", "forecast_steps=12") == (0, "")
    words = "lead times beyond 20 min (steps 5 to 12) were never trained nor scored"
    assert words in capsys.readouterr().out
    assert words in read(tmp_path / "long.nc")[1]["comment"]
    assert run("predict", *arguments, f"output={tmp_path / 'usual.nc'}", "forecast_steps=4") == (0, "")
    assert "never trained" not in capsys.readouterr().out + read(tmp_path / "usual.nc")[1]["comment"]


@pytest.mark.thorough
def test_scores_of_steps_that_were_never_trained_say_so(trained, prepared, tmp_path, capsys):
    archives = [f"data.archives=[{prepared / 'all.nc'}]", "data.eval_crop=null", "scores=basic", "html=false"]
    arguments = [f"checkpoint={trained}", *archives, "uncertainty.resamples=20"]
    assert run("evaluate", *arguments, "data.forecast_steps=6", f"output={tmp_path / 'long'}") == (0, "")
    words = "convlstm was trained on 4 steps: its later ones of 6 were never trained"
    assert words in " ".join(capsys.readouterr().out.split())
    assert words in read_statistics(tmp_path / "long" / "statistics.nc").facts["caveat"]
    assert run("evaluate", *arguments, f"output={tmp_path / 'usual'}") == (0, "")
    assert "never trained" not in capsys.readouterr().out


def test_an_archive_that_was_limited_otherwise_than_those_of_the_training_is_said(trained, prepared, tmp_path, capsys):
    other = tmp_path / "other.nc"
    made = ["source=netcdf", f"input={prepared / 'files'}", f"output={other}", "workers=0"]
    assert run("prepare", *made) == (0, "")
    assert run("predict", f"checkpoint={trained}", f"input={other}", f"output={tmp_path / 'o.nc'}") == (0, "")
    words = 'other.nc was prepared with limits {"rain_rate": [0.0, 300.0]'
    assert words in capsys.readouterr().out
    assert words in read(tmp_path / "o.nc")[1]["comment"]


def test_cells_of_another_size_are_refused_with_what_helps(trained, tmp_path):
    where = grid((16, 16), 700.0)
    path = write(tmp_path / "fine.nc", [frame(5 * k, np.ones((16, 16)), grid=where) for k in range(4)])
    code, message = run("predict", f"checkpoint={trained}", f"input={path}", f"output={tmp_path / 'o.nc'}")
    assert code == 1
    assert "this network knows cells of 1 km: give frames with cells of 1, 0.5 or 0.333 km" in message
    assert "choose" not in message


# -- without a network ---------------------------------------------------------------------------------------


def test_persistence_and_extrapolation_forecast_without_a_checkpoint(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=8)
    rain = Archive(path).read(slice(None), slice(None), slice(None))
    expected = {
        "persistence": np.repeat(rain[-1:], 6, axis=0),
        "extrapolation": Extrapolation(2, 8.0)(torch.from_numpy(rain[None, -3:, None]), 6)[0, :, 0].numpy(),
    }
    for name, forecast in expected.items():
        output = tmp_path / f"{name}.nc"
        arguments = [f"model={name}", f"input={path}", f"output={output}", "forecast_steps=6"]
        assert run("predict", *arguments, "plot=true") == (0, "")
        values, attributes = read(output)
        np.testing.assert_array_equal(values, forecast)
        assert attributes["title"] == f"Rain nowcast by {name}"
        assert attributes["model"].lower().endswith(name)
        assert attributes["input_fingerprint"] == Archive(path).fingerprint
        assert ("Kroeger" in attributes.get("references", "")) == (name == "extrapolation")
        assert "Shi" not in attributes.get("references", "")
        assert output.with_suffix(".png").exists()
        # What the program wrote, the program scores.
        scored = [
            f"data.archives=[{path}]",
            "data.split.method=all",
            "data.crop=null",
            "data.input_steps=3",
            "data.workers=0",
        ]
        scored += ["data.forecast_steps=2", "html=false", f"output={tmp_path / name}", "scores=basic"]
        code, message = run("evaluate", "model=persistence", *scored, f"forecasts={{x: {output}}}")
        assert (code, "hold no forecast for any window" in message) == (1, True)  # it begins where the archive ends
    assert json.loads(read(tmp_path / "extrapolation.nc")[1]["model_settings"]) == {"pairs": 2, "smoothing_cells": 8.0}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["model=persistence"], "forecast_steps= is missing: how many steps is persistence to go"),
        (
            ["model=convlstm", "forecast_steps=4"],
            "model=convlstm is a network, which has to be trained",
        ),
        (
            ["model=lagrangian", "forecast_steps=4"],
            "nowcast train model=lagrangian, and then in place",
        ),
        ([], "give either checkpoint=<file> or model=persistence|extrapolation|…, got neither"),
        (["model=persistence", "checkpoint=a.ckpt"], "got both"),
        (["model=extrapolation", "forecast_steps=4", "init_time=2024-05-01T00:05"], "gap in the 3 frames"),
    ],
)
def test_what_cannot_forecast_is_said(tmp_path, typed, words):
    path = moving_rain(tmp_path / "a.nc", frames=8)
    code, message = run("predict", *typed, f"input={path}", f"output={tmp_path / 'o.nc'}")
    assert (code, words in message) == (1, True), message
    assert not (tmp_path / "o.nc").exists()


def test_probabilities_of_the_neighbourhood_need_no_settings(tmp_path):
    path, output = moving_rain(tmp_path / "a.nc", frames=8), tmp_path / "o.nc"
    typed = ["model=lagrangian_probability", "forecast_steps=2", f"input={path}", f"output={output}"]
    assert run("predict", *typed) == (0, "")
    with netCDF4.Dataset(output) as dataset:
        assert dataset["threshold"][:].tolist() == list(composed().verification.thresholds)
        assert dataset["probability_of_exceedance"].shape[:2] in ((2, 4), (4, 2))


# -- provider files ------------------------------------------------------------------------------------------


def test_few_of_many_files_are_read_and_limited_as_in_training(trained, prepared, tmp_path, monkeypatch):
    opened, reads = [], NetcdfReader.read
    monkeypatch.setattr(NetcdfReader, "read", lambda self, path: opened.append(path.name) or reads(self, path))
    files = ["source=netcdf", f"input={prepared / 'files'}"]
    arguments = [f"checkpoint={trained}", "init_time=2024-05-01T03:20"]
    assert run("predict", *arguments, *files, f"output={tmp_path / 'few.nc'}") == (0, "")
    assert len(set(opened)) < 6 + 7  # twice three frames, and those that were asked for their time
    assert run("predict", *arguments, f"input={prepared / 'all.nc'}", f"output={tmp_path / 'all.nc'}") == (0, "")
    few, all_of_them = read(tmp_path / "few.nc"), read(tmp_path / "all.nc")
    np.testing.assert_array_equal(few[0], all_of_them[0])
    assert json.loads(few[1]["input_limits"])["rain_rate"] == [0, 4]  # as the training archive, not as prepare.yaml
    assert "_20240501_0320.nc" in few[1]["input_files"]
    # What is typed comes first, and a model without training has what `nowcast prepare` has.
    more = [*files, "limits.rain_rate=[0,7]", f"output={tmp_path / 'typed.nc'}"]
    assert run("predict", *arguments, *more) == (0, "")
    assert json.loads(read(tmp_path / "typed.nc")[1]["input_limits"])["rain_rate"] == [0, 7]
    more = [*files, "model=persistence", "forecast_steps=2", f"output={tmp_path / 'p.nc'}"]
    assert run("predict", *more) == (0, "")
    assert json.loads(read(tmp_path / "p.nc")[1]["input_limits"])["rain_rate"] == [0.0, 300.0]
    assert np.nanmax(read(tmp_path / "p.nc")[0]) == 9


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("source", "folder", "init_time"),
    thinned(
        [("knmi", "knmi_hdf5", "2010-08-26T03:00"), ("mch_gif", "mch_gif", None), ("fmi_pgm", "fmi_pgm", None)], [0]
    ),
)
def test_real_files_are_found_by_their_names(real_data, tmp_path, source, folder, init_time):
    """The forecast is that from the frames that a reader finds in the files of those times."""
    arguments = [f"source={source}", "model=persistence", "forecast_steps=1", f"output={tmp_path / 'o.nc'}"]
    arguments += [] if init_time is None else [f"init_time={init_time}"]
    assert run("predict", *arguments, f"input={real_data / folder}") == (0, "")
    values, attributes = read(tmp_path / "o.nc")
    used = attributes["input_files"].split(", ")
    files = [path.name for path in (real_data / folder).rglob("*") if path.is_file()]
    assert len(used) <= 4 < len(files)
    newest = next((real_data / folder).rglob(used[-1]))
    if init_time is None:
        assert used[-1] == max(name for name in files if name.startswith(used[-1][:3]))
    made = [f"source={source}", f"input={newest}", f"output={tmp_path / 'one.nc'}", "workers=0"]
    assert run("prepare", *made) == (0, "")
    frame_of_file = Archive(tmp_path / "one.nc").read(slice(-1, None), slice(None), slice(None))
    np.testing.assert_array_equal(values, frame_of_file)


def test_a_gap_in_the_newest_files_names_the_newest_complete_input(trained, tmp_path):
    files = provider_files(tmp_path / "in", 20)
    next(files.glob("*0130.nc")).unlink()
    arguments = [f"checkpoint={trained}", "source=netcdf", f"input={files}", f"output={tmp_path / 'o.nc'}"]
    code, message = run("predict", *arguments)
    assert code == 1
    assert f"{files}: gap in the 3 frames up to 2024-05-01T01:35:00: no frame at 2024-05-01T01:30:00" in message
    assert run("predict", *arguments, message.split("ends at ")[1]) == (0, "")


@pytest.mark.thorough
def test_archives_that_were_prepared_differently_are_told_apart(prepared, tmp_path):
    other = ["source=netcdf", f"input={prepared / 'files'}", f"output={tmp_path / 'other.nc'}", "workers=0"]
    assert run("prepare", *other) == (0, "")
    archives = f"data.archives=[{prepared / 'all.nc'},{tmp_path / 'other.nc'}]"
    assert run("train", *TRAIN, archives, f"output={tmp_path / 'run'}") == (0, "")
    files = ["source=netcdf", f"input={prepared / 'files'}", f"output={tmp_path / 'o.nc'}"]
    best = f"checkpoint={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}"
    code, message = run("predict", best, *files)
    assert (code, "were prepared with different limits" in message) == (1, True)
    assert run("predict", best, *files, "limits.rain_rate=[0,4]") == (0, "")
    archive = [f"input={tmp_path / 'other.nc'}", f"output={tmp_path / 'a.nc'}"]
    assert run("predict", best, *archive) == (0, "")  # an archive has been limited already
