"""check → mask → train → evaluate → compare, with what the commands wrote, against an archive without those data."""

import shutil

import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.data.masks.file import read_mask
from nowcast.forecasting import checkpoint
from tests.data.masks.clutter import HIDDEN, archive, rain, users_mask
from tests.programs import TINY, rows, run

RADAR = [
    *(one for one in TINY if not one.startswith("data.archives")), "data=radar",
    "data.split.block_minutes=50", "data.split.gap_minutes=0", "callbacks.watch.every_n_epochs=0",
]  # fmt: skip


pytestmark = pytest.mark.thorough  # a fast part: the statistics of tests/commands/test_check.py, and test_masks.py


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The archive, the mask that `check` makes of it, and the archive as the mask has it."""
    folder = tmp_path_factory.mktemp("through")
    archive(folder / "rain.nc")
    archive(folder / "oracle" / "rain.nc", masked=True)
    asked = [f"data.archives=[{folder / 'rain.nc'}]", f"statistics={folder / 'stats'}"]
    assert run("check", *RADAR, *asked) == (0, "")
    return folder


def train(folder, name, *overrides, archives="rain.nc"):
    return run("train", *RADAR, f"data.archives=[{folder / archives}]", f"output={folder / name}", *overrides)


def test_check_writes_the_mask_of_clutter_and_of_what_is_not_seen(folder):
    grid, hidden = read_mask(folder / "stats" / "rain_mask.nc")
    assert np.array_equal(hidden, HIDDEN)
    assert grid.same_as(Archive(folder / "rain.nc").grid)


def test_shares_of_suspects_are_settings(folder, tmp_path):
    asked = [f"data.archives=[{folder / 'rain.nc'}]", f"statistics={tmp_path}"]
    assert run("check", *RADAR, *asked, "suspects.wet_above=0.05") == (0, "")
    _, hidden = read_mask(tmp_path / "rain_mask.nc")
    often = (rain() >= 0.1).mean(axis=0) > 0.05
    assert np.array_equal(hidden, often | np.isnan(rain()[0]))
    assert often[10:22].mean() > 0.9  # the band
    code, message = run("check", *RADAR, *asked, "suspects.wet_above=20")
    assert code == 1
    assert "suspects.wet_above must be from 0 to 1, got 20" in message


def test_a_masked_training_and_its_scores_are_those_of_an_archive_without_those_data(folder, capsys):
    mask = f"data.mask={folder / 'stats' / 'rain_mask.nc'}"
    assert train(folder, "masked", mask) == (0, "")
    assert train(folder, "oracle_run", archives="oracle/rain.nc") == (0, "")
    one, other = (checkpoint.read(folder / name / "checkpoints" / "best.ckpt") for name in ("masked", "oracle_run"))
    for key, value in other["state_dict"].items():
        torch.testing.assert_close(one["state_dict"][key], value, rtol=0, atol=0, msg=key)
    for name in ("scores.csv", "errors.csv"):
        assert rows(folder / "masked" / "evaluation" / name) == rows(folder / "oracle_run" / "evaluation" / name)

    for given in (f"mask={folder / 'stats' / 'rain_mask.nc'}", "mask=null"):
        asked = [f"checkpoint={folder / 'masked' / 'checkpoints' / 'best.ckpt'}", f"input={folder / 'rain.nc'}"]
        assert run("predict", *asked, f"output={folder / given[-4:]}.nc", given) == (0, "")
        warned = "was trained with data.mask; give mask=<file>" in " ".join(capsys.readouterr().out.split())
        assert warned == (given == "mask=null")

    def evaluate(name, *overrides):
        best = folder / "masked" / "checkpoints" / "best.ckpt"
        return run("evaluate", f"checkpoint={best}", f"output={folder / name}", "html=false", *overrides)

    assert evaluate("again") == (0, "")  # with the mask of its training
    assert rows(folder / "again" / "scores.csv") == rows(folder / "masked" / "evaluation" / "scores.csv")
    assert evaluate("all_cells", "data.mask=null") == (0, "")
    assert rows(folder / "all_cells" / "scores.csv") != rows(folder / "again" / "scores.csv")
    compared = run("compare", f"runs={{a: {folder / 'again'}, b: {folder / 'all_cells'}}}", f"output={folder / 'c'}")
    assert compared[0] == 1
    assert "a and b were scored with other masks of rain: " in compared[1]
    assert "against none. Evaluate both with one data.mask=<file>, or with data.mask=null" in compared[1]


def test_a_run_is_not_gone_on_with_when_its_mask_is_another(folder, tmp_path):
    path = shutil.copy(folder / "stats" / "rain_mask.nc", tmp_path / "mask.nc")
    short = [f"data.mask={path}", "trainer.max_epochs=1", "evaluate=false"]
    assert train(folder, "gone_on", *short) == (0, "")
    assert train(folder, "gone_on", *short, "resume=auto") == (0, "")
    other = HIDDEN.copy()
    other[0, 0] = True
    users_mask(path, other)
    code, message = train(folder, "gone_on", *short, "resume=auto")
    assert code == 1
    assert "was begun with other data than the config finds now: masks.rain" in message
    code, message = train(folder, "gone_on", *short[1:], "resume=auto")
    assert code == 1
    assert "data.mask" in message
