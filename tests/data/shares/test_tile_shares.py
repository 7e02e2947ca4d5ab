"""Shares of rain and of data against a plain loop over all cells, on a grid that tiles do not divide."""

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.region import Region
from tests.data.archives import frame, grid, write
from tests.data.modules import module

SHAPE = (305, 348)
LENGTH = 3


def fields(frames, coarse, seed=0):
    """(N, 305, 348) rain rate with most rain and all gaps at the edge; constant within a tile where `coarse`."""
    draw = np.random.default_rng(seed)
    shape = (10, 11) if coarse else SHAPE
    rows, columns = (np.linspace(0, 1, size) for size in shape)
    chance = np.maximum(rows[:, None], columns[None]) ** 4
    values = np.where(draw.random((frames, *shape)) < chance, 2.0, 0.0)
    values[draw.random(values.shape) < chance[None] * 0.5] = np.nan
    if coarse:
        values = values.repeat(32, axis=1).repeat(32, axis=2)[:, : SHAPE[0], : SHAPE[1]]
    return values


def archive(path, values):
    return Archive(write(path, [frame(5 * k, field, grid=grid(SHAPE)) for k, field in enumerate(values)]))


def shares(values):
    """Share of rainy among valid cells and share of valid cells, cell by cell."""
    wet = valid = cells = 0
    for value in np.ravel(values):
        cells += 1
        valid += not np.isnan(value)
        wet += value >= 0.1
    return wet / valid if valid else 0.0, valid / cells


def dataset(archive, starts, **changes):
    options = {
        "input_steps": 1, "forecast_steps": LENGTH - 1, "crop": None, "jitter": False, "augment": "none",
        "min_rain_fraction": 0.0, "min_valid_fraction": 0.0, "seed": 0,
    } | changes  # fmt: skip
    every = options.pop("every", 1)
    return RadarDataset([Region(archive, (1, 1), every)], [np.asarray(starts)], **options)


def test_check_says_the_shares_of_all_cells(tmp_path):
    values = fields(2, coarse=False)
    found = Region(archive(tmp_path / "a.nc", values), (1, 1), 1).facts(300)
    rain, valid = shares(values)
    assert found["rain_fraction"] == pytest.approx(rain, abs=1e-12)
    assert found["no_data_fraction"] == pytest.approx(1 - valid, abs=1e-12)


@pytest.mark.thorough
def test_windows_of_whole_grids_have_the_shares_of_all_their_cells(tmp_path):
    values = fields(6, coarse=False)
    opened = archive(tmp_path / "a.nc", values)
    windows = dataset(opened, [0, 1, 3])
    np.testing.assert_allclose(
        windows.rain_fraction, [shares(values[start : start + LENGTH])[0] for start in (0, 1, 3)], rtol=1e-12
    )
    valid = [shares(values[start : start + LENGTH])[1] for start in (0, 1, 3)]
    middle = float(np.median(valid))
    assert len(dataset(opened, [0, 1, 3], min_valid_fraction=middle)) == 2
    rain = float(np.median(windows.rain_fraction))
    assert len(dataset(opened, [0, 1, 3], min_rain_fraction=rain)) == 2


def test_frames_that_a_window_leaps_over_do_not_count(tmp_path):
    values = fields(7, coarse=False)
    values[1::2] = 9.0
    found = dataset(archive(tmp_path / "a.nc", values), [0, 2], every=2)
    expected = [shares(values[start : start + 2 * LENGTH : 2])[0] for start in (0, 2)]
    np.testing.assert_allclose(found.rain_fraction, expected, rtol=1e-12)


@pytest.mark.parametrize("crop", [(64, 96), (100, 100), (305, 60)])
def test_crops_have_the_shares_of_their_cells(tmp_path, crop):
    """Where rain is the same all over a tile of the summary, also crops that cut tiles are counted to the cell."""
    values = fields(LENGTH, coarse=True)
    found = dataset(archive(tmp_path / "a.nc", values), [0], crop=crop)
    corners = found.samples[:, 2:4]
    expected = [shares(values[:, y : y + crop[0], x : x + crop[1]])[0] for y, x in corners]
    np.testing.assert_allclose(found.rain_fraction, expected, rtol=1e-12)
    assert len(corners) == -(-SHAPE[0] // crop[0]) * -(-SHAPE[1] // crop[1])


@pytest.mark.thorough
def test_importance_weights_go_by_cells(tmp_path):
    values = fields(12, coarse=False)
    path = archive(tmp_path / "a.nc", values).path
    data = module(
        path, crop=None, eval_crop=None, importance_floor=0.01, input_steps=1, forecast_steps=2, stride=4,
        split="archives", val_archives=["none"],
    )  # fmt: skip
    sampler = data.train_dataloader().sampler
    rain = np.array([shares(values[start : start + LENGTH])[0] for start in (0, 4, 8)]) + 0.01
    np.testing.assert_allclose(sampler.chances, rain / rain.sum(), rtol=1e-9)


def test_check_says_what_averaging_leaves_out(tmp_path):
    from nowcast.studies.check import left_out

    found = Region(archive(tmp_path / "a.nc", fields(1, coarse=False)), (3, 3), 1).facts(300)
    assert (found["grid"], found["dropped"]) == ([101, 116], [2, 0])
    assert left_out(found["dropped"]) == "(averaging leaves out 2 rows)\n"
    assert left_out([2, 1]) == "(averaging leaves out 2 rows and 1 column)\n"
    assert left_out([0, 0]) == ""
