"""docs/extending.md: the package that it shows is made of the page, installed, and used as the page says."""

import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray

import nowcast
from nowcast.forecasting import checkpoint
from tests.extension import declare
from tests.programs import TINY, rows, run

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
BLOCKS = dict(re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", PAGE, flags=re.S))  # file → its text
COMMANDS = re.findall(r"^\$ nowcast (\w+) (.*)$", PAGE, flags=re.M)
SMALL = [setting for setting in TINY if not setting.startswith(("model.", "data.archives"))]


def frames(folder, count=60, side=24):
    """Text files of a shower that moves by two cells a frame, a corner without data."""
    folder.mkdir()
    for k in range(count):
        y, x = np.mgrid[:side, :side]
        rain = 12 * np.exp(-((x - 3 - 2 * (k % 9)) ** 2 + (y - 12) ** 2) / 12.0)
        rain[rain < 0.1], rain[:2, :2] = 0, -1
        (folder / f"20260501{12 + k // 12}{k % 12 * 5:02d}.txt").write_text(
            "\n".join(" ".join(f"{v:.2f}" for v in row) for row in rain)
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder to work in, with the package of the page installed beside nowcast."""
    folder = tmp_path_factory.mktemp("extension")
    with pytest.MonkeyPatch.context() as patch:
        for name, text in BLOCKS.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "rain_extras" / "__init__.py").write_text("")
        declare(folder, patch, entry_points_of(BLOCKS["pyproject.toml"]), "rain_extras")
        patch.chdir(folder)
        frames(folder / "frames")
        (folder / "data").mkdir()
        yield folder


def entry_points_of(toml):
    """The same as pip writes it into the metadata of an installed package."""
    sections = re.findall(r'\[project\.entry-points\."(.+?)"\]\n(.*?)\n\n', toml, flags=re.S)
    return "\n".join(f"[{group}]\n{lines.replace(chr(34), '')}" for group, lines in sections)


@pytest.fixture(scope="module")
def used(installed):
    """What the commands of the page leave behind, at a size that shows the chain and not the result."""
    data = [
        "data=radar",
        "data.archives=[data/rain.nc]",
        "data.crop=24",
        "data.split.block_minutes=60",
        "data.split.gap_minutes=5",
    ]
    for command, arguments in COMMANDS:
        typed = arguments.split()
        if command == "train":
            typed += [*SMALL, *data, f"picture={'runs/unet' in arguments}".lower()]
        if command in ("compare", "plot"):  # what `nowcast` makes of names
            names = [text for text in typed if "=" not in text]
            typed = [f"runs=[{','.join(names)}]" if command == "compare" else f"file={names[0]}", *typed[len(names) :]]
        assert run(command, *typed) == (0, ""), (command, typed)
    return installed


def test_the_page_shows_every_kind_of_thing():
    assert {Path(name).suffix for name in BLOCKS} == {".toml", ".py", ".yaml"}
    assert [command for command, _ in COMMANDS] == [
        "prepare", "train", "train", "evaluate", "compare", "predict", "plot",
    ]  # fmt: skip


@pytest.mark.thorough
def test_a_unet_with_probabilities_is_trained_calibrated_scored_predicted_drawn_and_compared(used):
    loaded = checkpoint.load(used / "runs" / "unet" / "checkpoints" / "best.ckpt")
    assert type(loaded.forecaster.net).__module__ == "rain_extras.unet"
    assert loaded.calibration is not None
    thresholds = loaded.forecaster.head.thresholds
    said = loaded.forecaster(torch.rand(1, 3, 1, 24, 24) * 9, 4)
    assert said.values.shape == (1, 4, len(thresholds), 24, 24)
    assert (said.values.diff(dim=2) <= 0).all()
    scored = {row["model"] for row in rows(used / "scores" / "scores.csv")}
    assert {"unet", "unet_calibrated", "persistence", "extrapolation"} <= scored
    together = {row["model"] for row in rows(used / "comparison" / "scores.csv")}
    assert {"unet", "unet (runs/grey)", "unet_calibrated", "unet_calibrated (runs/grey)"} <= together
    with netCDF4.Dataset(used / "nowcast.nc") as file:
        assert file["rain_rate"].shape[0] == 4
    for picture in ("nowcast.png", "runs/unet/evaluation/forecast.png", "scores/report.html"):
        assert (used / picture).stat().st_size > 0


@pytest.mark.thorough
def test_the_score_of_the_package_stands_among_the_others(used):
    found = [row for row in rows(used / "scores" / "intervals.csv") if row["family"] == "peak"]
    assert {row["score"] for row in found} == {"peak_error"}
    assert all(float(row["value"]) >= 0 for row in found)


@pytest.mark.thorough
def test_the_format_of_the_package_was_read(used):
    archive = nowcast.open_archive(used / "data" / "rain.nc")
    assert archive.rain_rate.shape == (60, 24, 24)
    assert archive.rain_rate[:, :2, :2].isnull().all()
    assert float(archive.rain_rate.max()) == pytest.approx(12, abs=0.01)


@pytest.mark.thorough
def test_a_forecast_from_python_is_that_of_the_command(used):
    lines = re.findall(r"```python\n(from nowcast import.*?)```", PAGE, flags=re.S)[0]
    found = {}
    exec(lines, found)
    forecast = found["forecast"]
    with xarray.open_dataset(used / "nowcast.nc") as written:
        xarray.testing.assert_equal(forecast.rain_rate, written.rain_rate.load())


@pytest.mark.thorough
def test_its_checkpoint_is_refused_where_it_is_not_installed(used, monkeypatch):
    monkeypatch.setattr("nowcast.config.trusted.entry_points", lambda group: [])
    with pytest.raises(ValueError, match=r"'rain_extras\.unet\.UNet'.*docs/extending\.md"):
        nowcast.load_forecaster(used / "runs" / "unet" / "checkpoints" / "best.ckpt")
