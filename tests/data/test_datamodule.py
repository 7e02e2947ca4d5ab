"""The data module: windows, tiles, cells, lead times, and what it refuses."""

import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.archive.grid import area_average, averaging_factor, cell_km
from nowcast.data.windows.region import Region
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.modules import module


def test_a_sample_is_the_archives_own_rain(tmp_path):
    path = moving_rain(tmp_path / "a.nc", shape=(16, 16))
    dataset = module(path).dataset("test")
    rain = Archive(path).read(slice(None), slice(None), slice(None))
    assert len(dataset) == 36
    sample = dataset[7]
    np.testing.assert_array_equal(sample["inputs"][:, 0], rain[7:10])
    np.testing.assert_array_equal(sample["targets"][:, 0], rain[10:12])
    assert sample["mask"].all()
    assert sample["init_time"] == Archive(path).times[9].astype(np.int64)


def test_no_data_is_masked_and_stays_nan(tmp_path):
    frames = [frame(5 * k, np.where(np.arange(80).reshape(8, 10) % 7 == k % 2, np.nan, 1.0)) for k in range(8)]
    sample = module(write(tmp_path / "a.nc", frames), eval_crop=None).dataset("test")[0]
    assert sample["targets"].isnan().any()
    assert torch.equal(sample["mask"], ~sample["targets"].isnan())


def test_every_cell_of_every_window_is_scored_once(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=5, shape=(40, 35))
    dataset = module(path, eval_crop=16).dataset("test")
    seen = np.zeros((40, 35), dtype=int)
    for position in range(len(dataset)):
        _, _, y, x, _, _ = dataset.samples[position]
        mask = dataset[position]["mask"][0, 0].numpy()
        seen[y : y + 16, x : x + 16] += mask[: 40 - y, : 35 - x]
    assert (seen == 1).all()


def test_a_grid_smaller_than_the_crop_is_filled_with_no_data_and_that_is_said_once(tmp_path, caplog):
    paths = [moving_rain(tmp_path / f"{n}.nc", shape=shape) for n, shape in (("a", (12, 40)), ("b", (32, 40)))]
    data = module(*paths)
    data.dataset("test")
    sample = data.dataset("test")[0]
    assert sample["inputs"].shape == (3, 1, 16, 16)
    assert sample["inputs"][:, :, 12:].isnan().all()
    assert not sample["mask"][:, :, 12:].any()
    assert [record.getMessage() for record in caplog.records] == [
        "data.crop=16 is larger than 1 of 2 grids, whose tiles are filled up with no data"
    ]


def test_a_crop_larger_than_every_grid_is_refused(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", shape=shape) for n, shape in (("a", (20, 60)), ("b", (32, 40)))]
    settings = {"split": "blocks", "crop": 64, "eval_crop": [40, 50]}
    refused = r"=64 is larger than every grid: the largest, b, has 32 x 40 cells of 1 km. Give data\.crop=32 or less"
    with pytest.raises(ValueError, match=r"data\.crop" + refused):
        module(*paths, **settings).dataset("train")
    with pytest.raises(ValueError, match=r"data\.eval_crop=\[40,50\] is .* Give data\.eval_crop=\[32,40\] or less"):
        module(*paths, **settings).dataset("test")
    assert len(module(*paths, **(settings | {"eval_crop": 32})).dataset("test")) > 0  # the other crop is not in use


def test_whole_grids_of_two_shapes_never_share_a_batch(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", frames=8, shape=s) for n, s in (("a", (16, 20)), ("b", (24, 16)))]
    shapes = [tuple(batch["inputs"].shape) for batch in module(*paths, eval_crop=None).test_dataloader()]
    assert shapes == [(4, 3, 1, 16, 20), (4, 3, 1, 24, 16)]


def test_area_average_by_hand():
    rain = np.array([[[1, 3, np.nan, np.nan], [5, np.nan, np.nan, 8]]], dtype=np.float32)
    np.testing.assert_array_equal(area_average(rain, (2, 2)), [[[3, np.nan]]])  # 3 of 4 valid, 1 of 4 valid
    np.testing.assert_array_equal(area_average(rain, (1, 2)), [[[2, np.nan], [5, 8]]])  # half is enough


def test_cells_are_averaged_to_the_size_asked_for(tmp_path):
    path = moving_rain(tmp_path / "a.nc", shape=(32, 40))
    sample = module(path, cell_km=4.0, eval_crop=None).dataset("test")[0]
    rain = Archive(path).read(slice(0, 3), slice(None), slice(None))
    expected = rain.reshape(3, 8, 4, 10, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(sample["inputs"][:, 0], expected, rtol=1e-5)
    assert sample["cell_km"].tolist() == [4.0, 4.0]
    assert Region(Archive(path), (2, 3), 1).cell_sides_km == (2.0, 3.0)


def test_an_impossible_cell_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cells of 1 km cannot be averaged to cell_km=1\.5"):
        module(moving_rain(tmp_path / "a.nc"), cell_km=1.5).setup()


def test_degrees_are_kilometres_at_the_middle_of_the_grid():
    degrees = Grid(np.arange(10.0), 60 + np.arange(9.0)[::-1] - 4, "EPSG:4326")
    height, width = cell_km(degrees)
    assert height == pytest.approx(111.195)
    assert width == pytest.approx(111.195 / 2, rel=1e-6)


def test_archives_of_different_cells_need_a_common_size(tmp_path):
    fine = moving_rain(tmp_path / "fine.nc")
    frames = [frame(5 * k, np.ones((32, 40)), grid=grid((32, 40), cell=2000.0)) for k in range(20)]
    coarse = write(tmp_path / "coarse.nc", frames)
    with pytest.raises(ValueError, match="cell sizes differ"):
        module(fine, coarse).setup()
    data = module(fine, coarse, cell_km=2.0)
    data.setup()
    assert [region.factor for region in data.regions] == [(2, 2), (1, 1)]
    assert averaging_factor(Archive(coarse), None) == (1, 1)


def test_time_steps_are_mixed_only_on_demand(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", step=s) for n, s in (("five", 5), ("ten", 10))]
    with pytest.raises(ValueError, match="five 5 min, ten 10 min"):
        module(*paths).setup()
    module(*paths, allow_mixed_timesteps=True).setup()
    common = module(*paths, timestep_minutes=10)
    common.setup()
    assert [region.every for region in common.regions] == [2, 1]
    sample = common.dataset("test")[0]
    rain = Archive(paths[0]).read(slice(0, 5, 2), slice(0, 16), slice(0, 16))
    np.testing.assert_array_equal(sample["inputs"][:, 0], rain)
    with pytest.raises(ValueError, match=r"ten\.nc: .*5 min is not a whole multiple of the archive's 10 min"):
        module(*paths, timestep_minutes=5).setup()


def test_windows_keep_clear_of_gaps(tmp_path):
    data = module(moving_rain(tmp_path / "a.nc", frames=20, skip=(9,)))
    data.setup()
    assert data.starts("test")[0].tolist() == [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14]


def test_a_file_that_disappears_under_the_loader_is_named(tmp_path):
    data = module(moving_rain(tmp_path / "a.nc"))
    dataset = data.dataset("test")
    (tmp_path / "a.nc").unlink()
    with pytest.raises(DataFormatError, match=r"a\.nc"):
        dataset[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_steps": 0}, r"data\.input_steps must be at least 1"),
        ({"stride": 0}, r"data\.windows\.stride"),
        ({"split": "random"}, "blocks, archives, paper, by_day or all"),
        ({"augment": "noise"}, "none, flips or flips_rotations"),
        ({"crop": [16, 0]}, r"data\.crop"),
        ({"crop": [16, 8], "augment": "flips_rotations"}, "square"),
        ({"importance_floor": 0.0}, "importance_floor"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        module("a.nc", **change)


def test_missing_folders_and_twins_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowcast prepare"):
        module(tmp_path / "none.nc").setup()
    with pytest.raises(FileNotFoundError, match="no archive"):
        module(tmp_path).setup()
    moving_rain(tmp_path / "a.nc")
    (tmp_path / "sub").mkdir()
    moving_rain(tmp_path / "sub" / "a.nc")
    with pytest.raises(ValueError, match="same name"):
        module(tmp_path / "a.nc", tmp_path / "sub" / "a.nc").setup()


def test_a_window_longer_than_the_archive_is_explained(tmp_path):
    with pytest.raises(ValueError, match=r"no test window of 42 frames[\s\S]*a: 40 frames, 0 windows") as error:
        module(moving_rain(tmp_path / "a.nc"), input_steps=40).dataset("test")
    assert "no part of them that is test holds that many frames in a row" in str(error.value)  # there is no gap
