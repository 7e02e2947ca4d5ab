"""Runs that earlier versions left behind: they forecast what they forecast then, and the commands go on with them.

`before/version_0_1_0.tar.xz` holds what commit b191b88 wrote: `data/` (three synthetic archives), `finished/`,
`interrupted/` (killed after an epoch), and `forecast.npz` (inputs, and what the finished best.ckpt made of them).
"""

import numpy as np
import pytest
import torch

from nowcast.data.results.statistics_file import read_statistics
from nowcast.forecasting import checkpoint
from tests.programs import rows, run

SETTINGS = [
    "experiment=convlstm",
    "data.archives.folder=data", "data.archives.rain.shape=[16,16]", "data.archives.rain.frames=12",
    "data.archives.train_events=1", "data.archives.val_events=1", "data.archives.test_events=1", "data.crop=16",
    "data.input_steps=3", "data.forecast_steps=4", "data.workers=0", "data.sampling.min_rain_fraction=0",
    "data.sampling.samples_per_epoch=8", "data.batch_size=4", "model.hidden=[4,2]", "model.patch=2",
    "callbacks.progress=null",
    "trainer.enable_progress_bar=false", "picture=false", "callbacks.watch=null", "name=before",
]  # fmt: skip


def test_its_checkpoint_makes_the_forecasts_that_it_made_then(before):
    """To six digits: another processor adds in another order. Where the calibration is steep it makes more of that."""
    one = checkpoint.load(before / "finished" / "checkpoints" / "best.ckpt")
    with np.load(before / "forecast.npz") as then, torch.inference_mode():
        inputs = torch.from_numpy(then["inputs"])
        raw, calibrated = one.forecaster(inputs, 4).single(), one.calibrated()(inputs, 4).single()
        np.testing.assert_allclose(raw.numpy(), then["raw"], rtol=1e-5, atol=1e-6)
        grey = one.forecaster.said(inputs, 4)
        low, high = (
            one.calibration.forecast(grey + by, one.forecaster.head, one.forecaster.scaling).single().numpy()
            for by in (-1e-6, 1e-6)
        )
        for each in (calibrated.numpy(), then["calibrated"]):
            assert (each >= low * (1 - 1e-5) - 1e-6).all()
            assert (each <= high * (1 + 1e-5) + 1e-6).all()
        assert np.median((high - low)[high > 0] / high[high > 0]) < 1e-3  # which leaves little room
        for kind in ("raw", "calibrated"):
            assert (then[kind] > 0).any()


def test_its_checkpoint_is_scored_as_it_was_then(before):
    chosen = "checkpoint=finished/checkpoints/best.ckpt"
    assert run("evaluate", chosen, "output=again", "html=false", "scores=basic") == (0, "")
    then, now = rows(before / "finished" / "evaluation" / "scores.csv"), rows(before / "again" / "scores.csv")
    assert [{key: row[key] for key in then[0]} for row in now] == then


def test_its_sums_are_compared(before):
    assert run("compare", "runs={a: finished, b: finished}", "output=beside", "html=false") == (0, "")
    then = rows(before / "finished" / "evaluation" / "scores.csv")
    now = rows(before / "beside" / "scores.csv")
    for name in {row["model"] for row in then}:
        mine = [row for row in now if row["model"].endswith(name)]
        assert mine, name
        for model in {row["model"] for row in mine}:
            found = [dict(row, model=name) for row in mine if row["model"] == model]
            assert [{key: row[key] for key in then[0]} for row in found] == [r for r in then if r["model"] == name]


def test_its_blocks_are_days_now(before):
    sums = read_statistics(before / "finished" / "evaluation" / "statistics.nc")
    assert sums.groups["block"] == ("2000-01-01", "2027-05-19", "2054-10-04")  # were "train_000 2000-01-01", …


def test_it_is_known_to_be_finished(before, capsys):
    weights = (before / "finished" / "checkpoints" / "best.ckpt").read_bytes()
    assert run("train", *SETTINGS, "trainer.max_epochs=12", "output=finished", "resume=auto") == (0, "")
    assert "finished is finished already" in capsys.readouterr().out
    assert (before / "finished" / "checkpoints" / "best.ckpt").read_bytes() == weights


@pytest.mark.thorough
def test_where_it_was_killed_it_goes_on(before, capsys):
    settings = ["trainer.max_epochs=60", "output=interrupted", "resume=auto"]
    assert run("train", *SETTINGS, *settings) == (0, "")
    assert "going on from interrupted/checkpoints/last.ckpt" in capsys.readouterr().out
    assert checkpoint.read(before / "interrupted" / "checkpoints" / "last.ckpt")["global_step"] == 120
    assert (before / "interrupted" / "evaluation" / "scores.csv").is_file()


def test_it_forecasts_from_an_archive(before):
    chosen = "checkpoint=finished/checkpoints/best.ckpt"
    archive = next((before / "data").glob("*/test_000.nc")).relative_to(before)
    assert run("predict", chosen, f"input={archive}", "output=nowcast.nc") == (0, "")
    assert (before / "nowcast.nc").is_file()


def test_settings_over_those_of_its_data_are_checked(before):
    chosen = ["checkpoint=finished/checkpoints/best.ckpt", "output=again"]
    code, message = run("evaluate", *chosen, "data.batch_size=two")
    assert code == 1
    assert "data.batch_size must be a whole number, got 'two'" in message
    code, message = run("evaluate", *chosen, "+data.test_digits.images=[500,1000]")
    assert code == 1
    assert "data.test_digits is unknown to nowcast.data.datamodule.RadarDataModule" in message
