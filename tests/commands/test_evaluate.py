"""Several models at once: the same windows and cells for all, forecasts from files, and what is written."""

import csv

import netCDF4
import numpy as np
import pytest
import torch
import yaml

from nowcast.data.archive.archive import Archive
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from nowcast.data.results.statistics_file import read_statistics
from tests.data.archives import moving_rain
from tests.programs import TINY, run

WINDOWS = ["data=radar", "data.split.method=all", "data.crop=null", "data.input_steps=3", "data.forecast_steps=4",
           "data.workers=0", "data.windows.stride=2", "uncertainty.resamples=50"]  # fmt: skip


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Twelve days of moving rain with twelve frames each."""
    folder = tmp_path_factory.mktemp("days")
    for day in range(12):
        moving_rain(folder / f"day{day:02d}.nc", frames=12, seed=day, start=1440.0 * day)
    return folder


def perfect(archive, folder, *, error=0.0, skip=(), gap=False):
    """The rain to come, from every frame that has four frames after it, as forecast files."""
    folder.mkdir(exist_ok=True)
    rain = archive.read(slice(None), slice(None), slice(None))
    for last in range(2, len(rain) - 4):
        future = rain[last + 1 : last + 5] + np.float32(error)
        if gap:
            future[:, :, :10] = np.nan
        forecast = Forecast(archive.times[last], 300, future, np.ones(rain.shape[1:], dtype=bool), archive.grid)
        if last not in skip:
            write_forecast(folder / f"{archive.name}_{last}.nc", forecast, {"title": "test"})
    return folder


def test_days_are_blocks_and_intervals_stand_beside_every_score(days, tmp_path):
    arguments = [*WINDOWS, f"data.archives=[{days}]", f"output={tmp_path / 'out'}", "html=false"]
    assert run("evaluate", "model=persistence", *arguments) == (0, "")
    table = rows(tmp_path / "out" / "intervals.csv")
    csi = [row for row in table if (row["score"], row["threshold_mmh"]) == ("csi", "0.5")]
    assert [row["lead_time"] for row in csi] == ["5", "10", "15", "20", "mean"]
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in csi)
    assert {row["blocks"] for row in csi} == {"12"}
    plain = [row["csi"] for row in rows(tmp_path / "out" / "scores.csv") if row["threshold"] == "0.5"]
    np.testing.assert_allclose([float(row["value"]) for row in csi[:4]], [float(value) for value in plain], rtol=1e-6)
    settings = yaml.safe_load((tmp_path / "out" / "settings.yaml").read_text())
    assert settings["uncertainty"]["resamples"] == 50
    assert settings["scores"]["fss"]["border"] == "inside"
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.thorough
def test_the_number_of_cores_does_not_change_a_score(days, tmp_path):
    before = torch.get_num_threads()
    archives = f"data.archives=[{days / 'day01.nc'},{days / 'day02.nc'}]"
    truth = perfect(Archive(days / "day01.nc"), tmp_path / "truth", error=0.5, gap=True)
    for cores in (1, 3):
        torch.set_num_threads(cores)
        try:
            arguments = [*WINDOWS, archives, f"output={tmp_path / str(cores)}", "scores=full", "html=false"]
            done = run("evaluate", f"forecasts={{other: '{truth}/*.nc'}}", *arguments)
            assert (done, torch.get_num_threads()) == ((0, ""), cores)
        finally:
            torch.set_num_threads(before)
    for name in ("intervals.csv", "strata.csv", "scores.csv"):
        one, three = (rows(tmp_path / cores / name) for cores in ("1", "3"))
        assert len(one) > 10
        assert [row.get("value") or row["csi"] for row in one] == [row.get("value") or row["csi"] for row in three], (
            name
        )


def test_forecasts_from_files_stand_beside_models(days, tmp_path):
    archive = Archive(days / "day03.nc")
    true = perfect(archive, tmp_path / "true")
    late = perfect(archive, tmp_path / "late", error=1.0, skip=(4,))
    forecasts = f"forecasts={{truth: '{true}/*.nc', wet: ['{late}/*.nc']}}"
    arguments = [*WINDOWS, f"data.archives=[{days / 'day03.nc'}]", f"output={tmp_path / 'out'}", forecasts]
    assert run("evaluate", "model=persistence", *arguments) == (0, "")
    errors = {row["model"]: row for row in rows(tmp_path / "out" / "errors.csv") if row["lead_time_minutes"] == "10.0"}
    assert list(errors) == ["persistence", "truth", "wet"]
    assert float(errors["truth"]["mae"]) == pytest.approx(0, abs=1e-6)
    assert float(errors["wet"]["me"]) == pytest.approx(1, abs=1e-6)
    # The windows from frames 2, 4 and 6; the one that a system lacks is left out for all.
    assert {row["n"] for row in errors.values()} == {str(float(2 * 32 * 40))}
    assert {row["missing_forecasts"] for row in errors.values()} == {"0"}


@pytest.mark.parametrize("common", [True, False])
def test_a_common_mask_leaves_cells_out_for_all_models(days, tmp_path, common):
    archive = Archive(days / "day05.nc")
    files = perfect(archive, tmp_path / "f", gap=True)
    arguments = [*WINDOWS, f"data.archives=[{days / 'day05.nc'}]", f"output={tmp_path / 'out'}", "html=false"]
    arguments += [f"forecasts={{other: '{files}/*.nc'}}", f"verification.common_mask={str(common).lower()}"]
    assert run("evaluate", "model=persistence", *arguments) == (0, "")
    errors = {row["model"]: row for row in rows(tmp_path / "out" / "errors.csv")}
    assert {row["n"] for row in errors.values()} == {str(float(3 * 32 * (30 if common else 40)))}
    assert int(errors["other"]["missing_forecasts"]) == (0 if common else 3 * 32 * 10)
    if common:
        assert float(errors["other"]["mae"]) == pytest.approx(0, abs=1e-6)


def test_members_are_scored_as_an_ensemble(days, tmp_path):
    archive = Archive(days / "day00.nc")
    files = perfect(archive, tmp_path / "f")
    for path in files.glob("*.nc"):
        with netCDF4.Dataset(path, "r+") as dataset:
            rain = dataset.variables["rain_rate"]
            values = np.stack([rain[:], rain[:] + 2, rain[:] + 4])
            dataset.renameVariable("rain_rate", "unused")
            dataset.variables["unused"].setncatts({"standard_name": "none", "units": "1"})
            dataset.createDimension("realization", 3)
            member = dataset.createVariable("rain_rate", "f4", ("realization", "time", "y", "x"))
            member.setncatts({"standard_name": "rainfall_rate", "units": "mm h-1"})
            member[:] = values
    arguments = [*WINDOWS, f"data.archives=[{days / 'day00.nc'}]", f"output={tmp_path / 'out'}", "scores=ensemble"]
    assert run("evaluate", *arguments, f"forecasts={{steps: '{files}/*.nc'}}", "html=false") == (0, "")
    table = {
        row["score"]: float(row["value"])
        for row in rows(tmp_path / "out" / "intervals.csv")
        if (row["model"], row["lead_time"]) == ("steps", "mean") and row["threshold_mmh"] == ""
    }
    assert table["crps"] == pytest.approx(2 - 2 * 8 / (2 * 9))  # members miss by 0, 2 and 4
    assert table["crps_fair"] == pytest.approx(2 - 2 * 8 / (2 * 6))
    assert table["me"] == pytest.approx(2)
    statistics = read_statistics(tmp_path / "out" / "statistics.nc")
    assert statistics.models == ("persistence", "extrapolation", "steps")


@pytest.mark.thorough
def test_two_checkpoints_beside_each_other(tmp_path):
    for name in ("one", "two"):
        assert run(
            "train", *TINY, f"output={tmp_path / name}", f"data.archives.folder={tmp_path / 'data'}",
            f"name={name}", f"seed={len(name)}", f"optimizer.optimizer.lr={1e-3 if name == 'one' else 1e-2}",
        ) == (0, "")  # fmt: skip
    best = [tmp_path / name / "checkpoints" / "best.ckpt" for name in ("one", "two")]
    assert run("evaluate", f"checkpoint=[{best[0]},{best[1]}]", f"output={tmp_path / 'list'}", "html=false") == (0, "")
    names = {row["model"] for row in rows(tmp_path / "list" / "scores.csv")}
    assert names == {"one", "one_calibrated", "two", "two_calibrated", "persistence", "extrapolation"}
    mapping = f"checkpoint={{a: '{best[0]}', b: '{best[1]}'}}"
    assert run("evaluate", mapping, f"output={tmp_path / 'named'}", "html=false") == (0, "")
    both = {folder: rows(tmp_path / folder / "scores.csv") for folder in ("list", "named")}
    renamed = {"a": "one", "b": "two", "a_calibrated": "one_calibrated", "b_calibrated": "two_calibrated"}
    assert [row | {"model": renamed.get(row["model"], row["model"])} for row in both["named"]] == both["list"]
    facts = read_statistics(tmp_path / "list" / "statistics.nc").facts
    assert set(facts["checkpoints"]) == {"one", "two"}
    assert len(facts["checkpoints"]["one"]["sha256"]) == 64
    # What the run itself scored is the same, and comparing the two runs gives it again.
    compared = [f"runs=[{tmp_path / 'one'},{tmp_path / 'two'}]", f"output={tmp_path / 'both'}", "html=false"]
    assert run("compare", *compared) == (0, "")
    beside = {row["model"]: row["csi"] for row in rows(tmp_path / "list" / "scores.csv")}
    again = {row["model"]: row["csi"] for row in rows(tmp_path / "both" / "scores.csv")}
    assert again["persistence"] == beside["persistence"]
    assert again["convlstm"] == beside["one"]
    content = torch.load(best[1], weights_only=True)
    content["nowcast"]["data"]["cell_km"] = 9.0
    torch.save(content, tmp_path / "other.ckpt")
    code, message = run("evaluate", f"checkpoint=[{best[0]},{tmp_path / 'other.ckpt'}]", f"output={tmp_path / 'no'}")
    assert (code, "trained with cell_km=9.0" in message) == (1, True)


def test_tiles_cannot_be_looked_up_in_files(days, tmp_path):
    files = perfect(Archive(days / "day00.nc"), tmp_path / "f")
    arguments = [*WINDOWS, f"data.archives=[{days / 'day00.nc'}]", f"output={tmp_path / 'out'}", "data.crop=16"]
    code, message = run("evaluate", *arguments, f"forecasts={{x: '{files}/*.nc'}}")
    assert (code, "data.eval_crop=null" in message) == (1, True)


def test_scores_need_events_and_errors(days, tmp_path):
    arguments = [*WINDOWS, f"data.archives=[{days / 'day00.nc'}]", f"output={tmp_path / 'out'}"]
    code, message = run("evaluate", "model=persistence", "~scores.continuous", *arguments)
    assert (code, "continuous is missing" in message) == (1, True)


@pytest.mark.parametrize("name", ["basic", "full"])
def test_every_set_of_scores_can_be_chosen(days, tmp_path, name):
    arguments = [*WINDOWS, f"data.archives=[{days / 'day00.nc'}]", f"output={tmp_path / 'out'}", "html=false"]
    assert run("evaluate", "model=persistence", f"scores={name}", *arguments) == (0, "")
    families = {row["family"] for row in rows(tmp_path / "out" / "intervals.csv")}
    assert ("sal" in families) == (name == "full")
    assert ("fss" in families) == (name == "full")
