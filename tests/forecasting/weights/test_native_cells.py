"""Forecasts in the input's own cells, by a network that was trained on coarser ones."""

import netCDF4
import numpy as np
import pytest
import torch
import xarray

from nowcast import load_forecaster, open_archive
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.grid import area_average
from nowcast.forecasting import checkpoint
from nowcast.forecasting.forecast import Exceedance
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.units import Spacing
from tests.data.archives import frame, write
from tests.programs import ended, rows, run

SHAPE = (97, 112)  # cells of 1 km; neither is a multiple of the network's three
INIT = "2024-05-01T00:20:00"
FIVE_MINUTES = Spacing(torch.tensor([5.0]), torch.tensor([[1.0, 1.0]]))


def showers(frames=17, shape=SHAPE, seed=3):
    """(T, H, W) mm h-1 that moves by less than a cell of 3 km a frame, with a corner without data."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    rain = np.zeros((frames, *shape))
    for _ in range(30):
        row, column = draw.uniform(-10, shape[0]), draw.uniform(-40, shape[1])
        peak, width = draw.uniform(2, 25), draw.uniform(2, 7)
        for k in range(frames):
            away = (x - column - 2.3 * k) ** 2 + (y - row - 1.2 * k) ** 2
            rain[k] += peak * np.exp(-away / (2 * width**2))
    rain[rain < 0.1] = 0
    rain[:, :9, :12] = np.nan
    return rain


@pytest.fixture(scope="module")
def forecasts(tmp_path_factory):
    """An archive of 1 km, and what `nowcast predict` makes of it in its cells, by default, and in the network's."""
    folder = tmp_path_factory.mktemp("native")
    where = Grid(4.0e6 + np.arange(SHAPE[1]) * 1000.0, 3.0e6 - np.arange(SHAPE[0]) * 1000.0, "EPSG:3035")
    write(folder / "a.nc", [frame(5 * k, values, grid=where) for k, values in enumerate(showers())])
    chosen = ["checkpoint=pretrained", f"input={folder / 'a.nc'}", f"init_time={INIT}"]
    for name, more in {"default": [], "native": ["cells=native"], "network": ["cells=network"]}.items():
        assert run("predict", *chosen, *more, f"output={folder / name}.nc") == (0, "")
    return folder


def read(path):
    with netCDF4.Dataset(path) as dataset:
        fields = {name: np.ma.filled(dataset[name][:], np.nan) for name in ("rain_rate", "x", "y", "decision_level")}
        return fields | {"p": dataset["probability_of_exceedance"][:].filled(np.nan), "mask": dataset["mask"][:].data}


def test_a_forecast_is_in_the_cells_of_its_input_by_default(forecasts):
    said, archive = read(forecasts / "default.nc"), Archive(forecasts / "a.nc")
    assert said["rain_rate"].shape == (12, *SHAPE)
    assert said["p"].shape == (6, 12, *SHAPE)
    np.testing.assert_array_equal(said["x"], archive.grid.x)
    np.testing.assert_array_equal(said["y"], archive.grid.y)
    with netCDF4.Dataset(forecasts / "default.nc") as dataset:
        assert (dataset["rain_rate"].filters()["zstd"], dataset["rain_rate"].filters()["complevel"]) == (True, 1)
    seen = np.isfinite(showers()[4])
    np.testing.assert_array_equal(said["mask"], seen)
    np.testing.assert_array_equal(np.isfinite(said["p"]), np.broadcast_to(seen, said["p"].shape))
    for name, values in read(forecasts / "native.nc").items():
        np.testing.assert_array_equal(values, said[name])


def test_in_both_cells_it_says_the_same_but_for_the_detail(forecasts):
    fine, coarse = read(forecasts / "native.nc"), read(forecasts / "network.nc")
    assert coarse["rain_rate"].shape == (12, SHAPE[0] // 3, SHAPE[1] // 3)  # what makes no whole cell is left out
    whole = [slice(side * 3) for side in coarse["rain_rate"].shape[1:]]
    for name in ("p", "rain_rate"):
        blocks = fine[name][..., whole[0], whole[1]].reshape(-1, *(part.stop for part in whole))
        mean = area_average(blocks, (3, 3)).reshape(coarse[name].shape)
        both = np.isfinite(mean) & np.isfinite(coarse[name])
        assert both.mean() > 0.97
        assert np.abs(mean - coarse[name])[both].mean() < 0.15 * coarse[name][both].mean()
        assert np.corrcoef(mean[both], coarse[name][both])[0, 1] > 0.98
    between = fine["rain_rate"][..., 1:] - fine["rain_rate"][..., :-1]
    assert np.nanmean(np.abs(between)) > 0  # no blocks
    assert not np.array_equal(fine["rain_rate"][0, 30::3], fine["rain_rate"][0, 31::3])


@pytest.mark.thorough
def test_the_file_scores_as_the_network_in_these_cells(forecasts, tmp_path, capsys):
    asked = ["checkpoint=pretrained", f"data.archives=[{forecasts / 'a.nc'}]", "data.windows.cell_km=null"]
    asked += ["data.eval_crop=null", "data.workers=0", "data.batch_size=1", "uncertainty.resamples=20"]
    asked += ["verification.thresholds=[0.5,2,5,10,20]"]
    more = ["html=false", f"forecasts={{file: {forecasts / 'native.nc'}}}", f"output={tmp_path / 'scores'}"]
    assert run("evaluate", *asked, *more) == (0, "")
    found = {}
    for row in rows(tmp_path / "scores" / "scores.csv"):
        found.setdefault(row.pop("model"), []).append(row)
    assert len(found["file"]) == 5 * 12
    assert max(int(row["hits"]) for row in found["file"]) > 1000
    heavy = [int(row["hits"]) for row in found["file"] if float(row["threshold"]) == 20]  # beyond the last threshold
    assert min(heavy[:6]) > 50
    assert found["file"] == found["lagrangian_calibrated"]
    errors: dict[str, list[dict[str, str]]] = {}
    for row in rows(tmp_path / "scores" / "errors.csv"):
        errors.setdefault(row.pop("model"), []).append(row)
    ours, theirs = (
        [[float(value) for value in row.values()] for row in errors[name]] for name in ("file", "lagrangian_calibrated")
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert len(errors["file"]) >= 12
    assert "lagrangian_calibrated says nothing of more" not in capsys.readouterr().out


def test_the_motion_is_found_once_in_the_cells_of_the_network(forecasts, monkeypatch):
    seen, flow = [], Extrapolation.flow
    monkeypatch.setattr(Extrapolation, "flow", lambda self, frames: seen.append(frames.shape) or flow(self, frames))
    load_forecaster("pretrained").forecast(open_archive(forecasts / "a.nc"), init_time=INIT)
    assert seen == [(5, 33, 38)]  # blocks that the grid cuts short are seen, too


def corrects_nothing(decide=None):
    model = checkpoint.load("pretrained").calibrated(decide)
    torch.nn.init.zeros_(model.net.gain)
    torch.nn.init.zeros_(model.net.offset)
    return model


@torch.inference_mode()
def test_without_corrections_it_is_the_last_frame_moved_along_the_same_motion():
    rain = torch.from_numpy(showers(5)).float()[None, :, None]
    model = corrects_nothing()
    back = model.trajectories(rain, 12, FIVE_MINUTES)
    moved = model.net.extrapolated(rain, 12, FIVE_MINUTES, back)
    known, said = moved.isfinite(), model.head.forecast(model.said(rain, 12, FIVE_MINUTES), model.scaling)
    assert known[:, -1].float().mean() > 0.6
    for threshold in (0.5, 2.0, 10.0):
        ours, theirs = (said.probability(threshold) >= 0.5)[known], (moved >= threshold)[known]
        assert theirs.sum() > 500
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97


@torch.inference_mode()
def test_the_area_is_that_of_the_same_moved_frame():
    """With few cells that come from outside, as many seen cells are wet as of it, to the cell."""
    rain = torch.from_numpy(showers(5)).float()[None, :, None]
    rain[:, :, :, 40:60, 50:70] += 3.0  # stands still
    model = corrects_nothing("area")
    back = model.trajectories(rain, 3, FIVE_MINUTES)
    moved, seen = model.net.extrapolated(rain, 3, FIVE_MINUTES, back), rain[:, -1].isfinite()
    said = model(rain, 3, FIVE_MINUTES)
    assert isinstance(said, Exceedance)
    for number, threshold in enumerate(said.thresholds):
        wet = ((said.values[:, :, number] >= said.levels[:, :, number, None, None]) & seen).sum(dim=(2, 3))
        here = seen[:, None] & moved.isfinite()
        outside = (seen[:, None] & moved.isnan())[:, :, 0]
        likely = said.values[:, :, number] >= said.choices["bias"][:, number, None, None]
        likely = (likely & outside).sum(dim=(2, 3))
        before = outside.sum(dim=(2, 3)) * ((rain[:, -1] >= threshold) & seen).sum() / seen.sum()
        expected = ((moved >= threshold) & here).sum(dim=(2, 3, 4))
        expected = expected + (likely > 0) * torch.maximum(likely, before)
        assert (wet - expected).abs().max() <= 1
    for rates, theirs in zip(said.single().flatten(0, 2), moved.flatten(0, 2), strict=True):  # as heavy as it was
        heaviest = theirs[theirs >= 10.0]
        assert heaviest.max() > 20  # where odds would end
        assert rates.max() == heaviest.max()
        shares = torch.linspace(0, 1, 9)
        torch.testing.assert_close(rates[rates >= 10.0].quantile(shares), heaviest.quantile(shares), rtol=0.1, atol=0.0)


def test_from_python_the_cells_are_chosen_once(forecasts):
    frames = open_archive(forecasts / "a.nc")
    for cells, name in ((None, "native"), ("native", "native"), ("network", "network")):
        found = load_forecaster("pretrained", cells=cells).forecast(frames, init_time=INIT)
        np.testing.assert_array_equal(found["rain_rate"], read(forecasts / f"{name}.nc")["rain_rate"])
    with pytest.raises(ValueError, match=r"cells must be native \(those of the input\) or network .* got 'fine'"):
        load_forecaster("pretrained", cells="fine")
    assert isinstance(found, xarray.Dataset)


def test_a_network_that_knows_its_own_cells_alone_says_so(trained, forecasts, tmp_path):
    asked = [f"input={forecasts / 'a.nc'}", f"output={tmp_path / 'o.nc'}"]
    best = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    code, message = ended("predict", best, *asked, "cells=native")
    assert (code, "\n" in message) == (2, False)
    assert "cells=native: ConvLSTM forecasts in the cells that it was trained on, 2 km, and in no finer" in message
    assert "leave cells= out" in message
    code, message = ended("predict", "checkpoint=pretrained", *asked, "cells=fine")
    assert (code, "cells must be native (those of the input) or network" in message) == (2, True)
    code, message = ended("predict", "model=persistence", "forecast_steps=2", *asked, "cells=network")
    assert (code, "model= forecasts in those of the input: leave cells= out" in message) == (2, True)
    assert not (tmp_path / "o.nc").exists()
    assert run("predict", "model=persistence", "forecast_steps=2", *asked, "cells=native") == (0, "")
