"""The data module: windows, tiles, splits, averaging, sampling, and the same samples for any number of workers."""

import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.archive.grid import area_average, averaging_factor, cell_km
from nowcast.data.interface import lead_times_of
from nowcast.data.windows.dataset import RadarDataset, Region
from nowcast.data.windows.index import NoWindowError
from nowcast.data.windows.sampling import EPOCHS, EpochSampler, SameGridBatches, repeats
from nowcast.data.windows.stored import StoredWindows, to_rain_rates
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.modules import radar

SETTINGS = {
    "timestep_minutes": None,
    "allow_mixed_timesteps": False,
    "cell_km": None,
    "input_steps": 3,
    "forecast_steps": 2,
    "stride": 1,
    "crop": 16,
    "eval_crop": 16,
    "random_crops": False,
    "augment": "none",
    "min_rain_fraction": 0.0,
    "min_valid_fraction": 0.0,
    "importance_floor": None,
    "samples_per_epoch": None,
    "split": "all",
    "val_archives": [],
    "test_archives": [],
    "block_minutes": 40.0,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "gap_minutes": 0.0,
    "batch_size": 4,
    "workers": 0,
    "seed": 0,
}


def module(*paths, **changes):
    return radar([str(path) for path in paths], **(SETTINGS | changes))


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


def test_splits_by_archive(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc") for n in ("a", "b_val", "c_test")]
    data = module(*paths, split="archives", val_archives=["*_val"], test_archives=["c_test"])
    used = [set(data.dataset(split).samples[:, 0].tolist()) for split in ("train", "val", "test")]
    assert used == [{0}, {1}, {2}]


def test_validation_blocks_where_no_validation_archive_is_named(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", frames=80) for n in ("a", "b", "c_test")]
    data = module(*paths, split="archives", test_archives=["c_test"])
    used = [set(data.dataset(split).samples[:, 0].tolist()) for split in ("train", "val", "test")]
    assert used == [{0, 1}, {0, 1}, {2}]


def test_blocks_share_no_frame(tmp_path):
    data = module(moving_rain(tmp_path / "a.nc", frames=100), split="blocks")
    frames = []
    for split in ("train", "val", "test"):
        starts = set(data.dataset(split).samples[:, 1].tolist())
        frames.append({start + k for start in starts for k in range(5)})
    assert all(frames)
    assert not frames[0] & frames[1] | frames[0] & frames[2] | frames[1] & frames[2]


def instants(data, split):
    """Times of all frames in the windows of a split, over all archives, in minutes."""
    found = set()
    for archive, start in data.dataset(split).samples[:, :2].tolist():
        times = data.regions[archive].archive.times.astype("datetime64[m]").astype(int)
        found |= set(times[start : start + 5].tolist())
    return found


@pytest.mark.parametrize("how", ["blocks", "archives"])
def test_no_radar_trains_on_the_time_that_another_one_tests(tmp_path, how):
    """The second begins 35 minutes later, the third where the second ends; the fourth a day later is free."""
    begins = {"a": 0, "b": 35, "c": 435, "d": 1440}
    paths = [moving_rain(tmp_path / f"{name}.nc", frames=80, start=start) for name, start in begins.items()]
    data = module(*paths, split=how, shared_blocks=True, block_minutes=80.0, gap_minutes=10.0)
    splits = [instants(data, split) for split in (("train", "val", "test") if how == "blocks" else ("train", "val"))]
    for number, one in enumerate(splits):
        for other in splits[:number]:
            assert min(abs(a - b) for a in one for b in other) >= 10
    apart = module(*paths, split=how, block_minutes=80.0, gap_minutes=10.0)
    assert instants(apart, "train") & instants(apart, "val")


def test_radars_of_one_day_are_of_one_split_where_whole_days_are_drawn(tmp_path):
    paths = [
        moving_rain(tmp_path / f"day{day}_{radar}.nc", frames=20, start=1440 * day + 30 * (radar == "b"))
        for day in range(8)
        for radar in "ab"
    ]
    changes = {"split": "by_day", "gap_minutes": 0.0, "val_fraction": 0.25, "test_fraction": 0.25}
    of_frame = [split[0] for split in set_up(module(*paths, **changes, shared_blocks=True)).split_of_frame]
    assert of_frame[::2] == of_frame[1::2]
    assert sorted(of_frame[::2]) == [0, 0, 0, 0, 1, 1, 2, 2]
    of_frame = [split[0] for split in set_up(module(*paths, **changes)).split_of_frame]
    assert of_frame[::2] != of_frame[1::2]


def set_up(data):
    data.setup()
    return data


def test_training_on_everything_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.split\.method=all is for evaluation"):
        module(moving_rain(tmp_path / "a.nc")).dataset("train")


def test_training_leaves_out_dry_and_empty_tiles(tmp_path):
    dry = [frame(5 * k, np.zeros((32, 64))) for k in range(20)]
    values = np.full((32, 64), np.nan)
    values[:, :32] = 1.0
    half = [frame(5 * k, values) for k in range(20)]
    paths = [write(tmp_path / "dry.nc", dry), write(tmp_path / "half.nc", half)]
    data = module(*paths, split="blocks", crop=32, min_rain_fraction=0.1, min_valid_fraction=0.5)
    samples = data.dataset("train").samples
    assert set(samples[:, 0]) == {1}
    assert set(samples[:, 3]) == {0}
    assert set(data.dataset("test").samples[:, 0]) == {0, 1}  # never filtered by rain


def test_importance_draws_rain_more_often(tmp_path):
    wet = [frame(5 * k, np.full((32, 32), 2.0)) for k in range(30)]
    dry = [frame(5 * k, np.zeros((32, 32))) for k in range(30)]
    paths = [write(tmp_path / "wet.nc", wet), write(tmp_path / "dry.nc", dry)]
    data = module(*paths, split="blocks", importance_floor=0.25, samples_per_epoch=2000)
    loader = data.train_dataloader()
    archives = data.dataset("train").samples[[index % len(loader.dataset) for index in loader.sampler], 0]
    assert (archives == 0).mean() == pytest.approx(1.25 / 1.5, abs=0.03)


def batches(data):
    loader = data.train_dataloader()
    result = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        result += [data.on_after_batch_transfer(batch, 0)["inputs"] for batch in loader]
    return torch.cat(result)


def test_samples_do_not_depend_on_the_number_of_workers(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=60)
    options = {"split": "blocks", "random_crops": True, "augment": "flips_rotations", "batch_size": 5}
    alone, two = (batches(module(path, workers=workers, **options)) for workers in (0, 2))
    assert torch.equal(alone.nan_to_num(-1), two.nan_to_num(-1))
    other = batches(module(path, seed=1, **options))
    assert alone.shape != other.shape or not torch.equal(alone.nan_to_num(-1), other.nan_to_num(-1))


def test_an_epoch_is_a_fresh_permutation():
    sampler = EpochSampler(10, None, None, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == list(range(10))
    assert sorted(second) == list(range(10, 20))
    assert [index - 10 for index in second] != first


def test_augmentation_turns_inputs_targets_and_mask_alike(tmp_path):
    values = np.arange(64.0).reshape(8, 8)
    values[0, 0] = np.nan
    frames = [frame(5 * k, values) for k in range(5)]
    archive = Archive(write(tmp_path / "a.nc", frames))
    dataset = RadarDataset(
        [Region(archive, (1, 1), 1)], [np.array([0])], input_steps=3, forecast_steps=2, crop=(8, 8), jitter=False,
        augment="flips_rotations", min_rain_fraction=0, min_valid_fraction=0, seed=0,
    )  # fmt: skip
    seen = set()
    for epoch in range(40):
        sample = dataset[epoch]
        assert torch.equal(sample["inputs"][0].nan_to_num(-1), sample["targets"][1].nan_to_num(-1))
        assert torch.equal(sample["mask"][0], ~sample["targets"][0].isnan())
        seen.add(tuple(sample["inputs"][0].nan_to_num(-1).flatten().tolist()))
    assert len(seen) == 8  # all flips and quarter turns of a square


def test_random_crops_stay_inside_the_grid(tmp_path):
    data = module(moving_rain(tmp_path / "a.nc", frames=40, shape=(40, 35)), split="blocks", random_crops=True)
    dataset = data.dataset("train")
    assert all(not dataset[index]["inputs"].isnan().any() for index in range(0, 5 * len(dataset), 3))


def test_batches_do_not_mix_archives():
    batches = list(SameGridBatches(np.array([0, 0, 0, 1, 1]), 2))
    assert batches == [[0, 1], [2], [3, 4]]


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


def test_provenance_and_split_are_plain(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=60)
    data = module(path, split="blocks")
    assert data.provenance()["archives"] == {"a": Archive(path).fingerprint}
    assert data.provenance()["timesteps_seconds"] == [300]
    assert data.provenance()["cell_km"] == 1.0
    data.write_split(tmp_path / "split.json")
    assert '"test"' in (tmp_path / "split.json").read_text()
    row = data.describe()[0]
    assert (row["frames"], row["gaps"], row["grid"]) == (60, 0, [32, 40])


def mixed(folder):
    """Two archives of 5 minutes and one of 6: the last is for validation, the first for the test."""
    paths = [moving_rain(folder / f"{n}.nc", step=s) for n, s in (("a_test", 5), ("b", 5), ("c_val", 6))]
    names = {"split": "archives", "val_archives": ["c_val"], "test_archives": ["a_test"]}
    return paths, module(*paths, allow_mixed_timesteps=True, **names)


def test_lead_times_are_those_of_the_split(tmp_path):
    _, data = mixed(tmp_path)
    assert data.lead_times("test") == (5.0, 10.0)
    assert data.lead_times("train") == (5.0, 10.0)
    assert data.lead_times("val") == (6.0, 12.0)
    assert [lead_times_of(data, archive) for archive in range(3)] == [(5.0, 10.0), (5.0, 10.0), (6.0, 12.0)]


def test_a_split_of_different_lead_times_is_refused_with_what_does_work(tmp_path):
    paths, _ = mixed(tmp_path)
    settings = {"allow_mixed_timesteps": True, "split": "blocks", "val_fraction": 0.3}
    data = module(*paths, **settings)
    with pytest.raises(
        ValueError, match=r"val windows .* 5 min in a_test, b; 6 min in c_val.*data\.split\.method=blocks"
    ) as error:
        data.lead_times("val")
    typed = [text.split("]")[0].split(",") for text in str(error.value).split("data.archives=[")[1:]]
    assert typed == [[str(paths[0]), str(paths[1])], [str(paths[2])]]
    together = {row["name"]: row["windows"]["val"] for row in data.describe()}
    for group, expected in zip(typed, ((5.0, 10.0), (6.0, 12.0)), strict=True):
        apart = module(*group, **settings)
        assert apart.lead_times("val") == expected
        assert all(row["windows"]["val"] == together[row["name"]] for row in apart.describe())


@pytest.mark.parametrize("split", ["val", "test"])
def test_whole_days_are_scored_apart_as_they_are(tmp_path, split):
    """Drawn anew among fewer archives, others would be those of the split."""
    paths = [moving_rain(tmp_path / f"{n}.nc", step=s) for n, s in zip("abcdefghij", (5, 6) * 5, strict=True)]
    settings = {"allow_mixed_timesteps": True, "split": "by_day", "block_minutes": 400.0}
    data = module(*paths, **settings | {"val_fraction": 0.4, "test_fraction": 0.4})
    with pytest.raises(ValueError, match=rf"{split} windows have different time steps") as error:
        data.lead_times(split)
    assert ("both with data.split.method=all split=test (" in str(error.value)) == (split == "val")
    typed = [text.split("]")[0].split(",") for text in str(error.value).split("data.archives=[")[1:]]
    together = {row["name"] for row in data.describe() if row["windows"][split]}
    scored = [{r["name"] for r in module(*group).describe() if r["windows"]["test"]} for group in typed]
    assert set.union(*scored) == together


def test_a_split_without_windows_is_empty_whatever_its_archives_time_steps(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", step=s) for n, s in (("a", 5), ("b", 6))]
    data = module(*paths, allow_mixed_timesteps=True, split="blocks", val_fraction=0.0)
    for ask in (data.lead_times, data.shapes, data.common_shape):
        with pytest.raises(NoWindowError, match="no val window of 5 frames"):
            ask("val")


def test_windows_without_data_have_no_part_in_what_a_split_is(tmp_path):
    empty = [frame(6 * k, np.full((24, 40), np.nan), grid=grid((24, 40))) for k in range(20)]
    paths = [moving_rain(tmp_path / "a.nc"), write(tmp_path / "b.nc", empty)]
    data = module(*paths, allow_mixed_timesteps=True, eval_crop=None)
    data.setup()
    assert len(data.starts("test")[1]) > 0
    assert data.lead_times("test") == (5.0, 10.0)
    assert data.common_shape("test") == (32, 40)


def test_shapes_and_place_are_those_of_the_split(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", shape=s) for n, s in (("a_test", (32, 40)), ("b", (24, 40)))]
    data = module(*paths, split="archives", test_archives=["a_test"], eval_crop=None)
    assert data.shapes("test") == ((32, 40),)
    assert data.shapes("train") == ((16, 16),)
    assert data.shapes("val") == ((24, 40),)
    assert data.common_shape("test") == (32, 40)  # the other archive has no part in it
    assert data.common_shape("train") is None  # tiles are at different places
    assert module(*paths, eval_crop=None).common_shape("test") is None


def test_the_origins_of_the_samples_are_known_without_reading_them(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", step=5, start=7.0 * k, skip=(9,)) for k, n in enumerate("ab")]
    data = module(*paths, eval_crop=16, timestep_minutes=10)
    archives, times = data.origins("test")
    samples = [data.dataset("test")[index] for index in range(len(archives))]
    assert [int(sample["archive"]) for sample in samples] == archives.tolist()
    assert [int(sample["init_time"]) for sample in samples] == times.tolist()


def test_how_often_a_position_was_drawn_before():
    assert repeats(np.array([5, 3, 5, 5, 3, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    assert repeats(np.array([], dtype=np.int64)).tolist() == []
    draws = np.random.default_rng(0).integers(0, 7, 200)
    assert repeats(draws).tolist() == [draws[:k].tolist().count(value) for k, value in enumerate(draws.tolist())]


def test_no_two_draws_of_a_training_are_alike():
    """With weights a window is drawn several times in an epoch, and its tile is to move and turn each time."""
    weights = np.array([5.0, 1.0, 1.0, 3.0])
    seen = []
    for epoch in range(6):
        sampler = EpochSampler(4, 40, weights, seed=3)
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        parts = []
        for rank in (0, 1):
            part = EpochSampler(4, 40, weights, seed=3, rank=rank, ranks=2)
            part.set_epoch(epoch)
            parts.append(list(part))
        assert [index for pair in zip(*parts, strict=True) for index in pair] == drawn
        resumed = EpochSampler(4, 40, weights, seed=3, done=lambda: 13)
        resumed.set_epoch(epoch)
        assert list(resumed) == drawn[13:]
        positions = np.array(drawn) % 4
        assert (np.bincount(positions, minlength=4) > 1).all()
        assert set(np.array(drawn) // 4 % EPOCHS) == {epoch}
        seen += drawn
    assert len(set(seen)) == len(seen)


def test_a_window_that_is_drawn_often_is_another_picture_each_time(tmp_path):
    settings = {"crop": 16, "eval_crop": 16, "random_crops": True, "augment": "flips_rotations", "split": "blocks"}
    data = module(
        moving_rain(tmp_path / "a.nc", shape=(64, 80)), importance_floor=0.01, samples_per_epoch=300, **settings
    )
    dataset = data.dataset("train")
    weights = dataset.rain_fraction + 0.01
    draws = list(EpochSampler(len(dataset), 300, weights, data.seed))
    cuts = [dataset.cut(index) for index in draws]
    places = {(cut.start, *cut.corner, *cut.draw.integers(0, (2, 2, 4)).tolist()) for cut in cuts}
    windows = {index % len(dataset) for index in draws}
    assert len(windows) < 220
    assert len(places) > 290  # of so few windows
    stored = StoredWindows(dataset)
    for index in draws[:20]:  # the device makes the same of them
        one = {key: value[None] for key, value in stored[index].items()}
        for key, value in to_rain_rates(one, stored.tables, 3).items():
            assert torch.equal(value[0], dataset[index][key]), key
