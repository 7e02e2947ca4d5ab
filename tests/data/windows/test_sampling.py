"""What is drawn for training: rain more often, each time another picture, the same for any number of workers."""

import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.region import Region
from nowcast.data.windows.sampling import EPOCHS, EpochSampler, SameGridBatches, repeats
from nowcast.data.windows.settings import SEASONS, SamplingSettings
from nowcast.data.windows.stored import StoredWindows, to_rain_rates
from tests.data.archives import frame, moving_rain, write
from tests.data.modules import module

MONTHS = np.array([5, 5, 5], dtype=np.int8)


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


def test_archives_are_drawn_by_their_weights_however_long_they_are(tmp_path):
    lengths = {"knmi": 60, "fmi": 12, "train_showers_000": 24, "dry": 30}
    paths = [
        write(tmp_path / f"{name}.nc", [frame(5 * k, np.full((32, 32), 2.0)) for k in range(frames)])
        for name, frames in lengths.items()
    ]
    weights = {"*": 1.0, "train_*": 0.5, "dry": 0.0}
    data = module(*paths, split="blocks", block_minutes=25.0, samples_per_epoch=4000, archive_weights=weights)
    loader = data.train_dataloader()
    drawn = data.dataset("train").samples[[index % len(loader.dataset) for index in loader.sampler], 0]
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0.4, 0.4, 0.2, 0.0], abs=0.03)


def test_weights_of_archives_go_with_those_of_windows():
    settings = sampling(importance_floor=0.5, archive_weights={"*": 1.0, "b": 3.0})
    chances = settings.chances(np.array([0, 0, 1]), ["a", "b", "without windows"], np.array([0.0, 0.5, 0.2]), MONTHS)
    np.testing.assert_allclose(chances, [1 / 3, 2 / 3, 3.0])
    assert sampling(importance_floor=None).chances(np.array([0]), ["a"], np.array([0.1]), MONTHS[:1]) is None


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"*": -1.0}, "archive_weights must be 0 or more"),
        ({"other*": 1.0}, r"nothing that there is a weight above 0; training has windows of a, b"),
    ],
)
def test_weights_that_draw_nothing_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        sampling(archive_weights=weights).chances(np.array([0, 1]), ["a", "b"], np.zeros(2), MONTHS[:2])


def test_seasons_are_drawn_by_their_weights_and_archives_by_theirs_within_each():
    """Worked by hand: winter 1 of 4 (archive a alone has it), summer 3 of 4, of which b has 2 of 3."""
    archives, months = np.array([0, 0, 1, 1, 0]), np.array([12, 2, 6, 8, 7], dtype=np.int8)
    rain = np.array([0.0, 0.5, 0.1, 0.3, 0.2])
    seasons = {"DJF": 1, "MAM": 5, "JJA": 3, "SON": 0}  # there is no spring: its weight is nothing
    chosen = {"importance_floor": 0.5, "season_weights": seasons}
    both = sampling(**chosen, archive_weights={"a": 1.0, "b": 2.0}).chances(archives, ["a", "b"], rain, months)
    np.testing.assert_allclose(both / both.sum(), [1 / 12, 2 / 12, 0.5 * 0.6 / 1.4, 0.5 * 0.8 / 1.4, 0.25])
    alone = sampling(**chosen).chances(archives, ["a", "b"], rain, months)
    np.testing.assert_allclose(alone / alone.sum(), [1 / 12, 2 / 12, *(0.75 * np.array([0.6, 0.8, 0.7]) / 2.1)])
    without_b = sampling(**chosen, archive_weights={"a": 1.0}).chances(archives, ["a", "b"], rain, months)
    np.testing.assert_allclose(without_b / without_b.sum(), [1 / 12, 2 / 12, 0, 0, 0.75])


def test_a_season_whose_archives_all_weigh_nothing_is_not_drawn():
    weights = {"season_weights": dict.fromkeys(SEASONS, 1), "archive_weights": {"a": 1.0}}
    found = sampling(**weights).chances(np.array([0, 1]), ["a", "b"], np.zeros(2), np.array([1, 6], dtype=np.int8))
    np.testing.assert_array_equal(found, [1, 0])
    only_there = weights | {"season_weights": dict.fromkeys(SEASONS, 0) | {"JJA": 1}}
    with pytest.raises(ValueError, match=r"season_weights=.* gives nothing .* has windows of DJF$"):
        sampling(**only_there).chances(np.array([0, 1]), ["a", "b"], np.zeros(2), np.array([1, 6], dtype=np.int8))


@pytest.mark.parametrize(
    "weights",
    [
        {"JJA": 2}, {"jja": 1, "djf": 1, "mam": 1, "son": 1}, dict.fromkeys(SEASONS, -1), dict.fromkeys(SEASONS, "1"),
        dict.fromkeys(SEASONS, float("nan")), dict.fromkeys(SEASONS, float("inf")), {}, [1, 1, 1, 1], "summer",
        dict.fromkeys(SEASONS), dict.fromkeys(SEASONS, True) | {"X": 1},
    ],
)  # fmt: skip
def test_seasons_that_are_not_weighed_are_refused(weights):
    with pytest.raises(ValueError, match=r"data\.sampling\.season_weights must (be numbers|give each)"):
        sampling(season_weights=weights)


def sampling(**changes):
    settings = {
        "random_crops": False, "augment": "none", "min_rain_fraction": 0.0, "min_valid_fraction": 0.0,
        "importance_floor": None, "samples_per_epoch": None,
    }  # fmt: skip
    return SamplingSettings(**(settings | changes))


def test_rain_is_multiplied_alike_in_a_window_and_differently_in_each_draw(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=40)
    options = {"split": "blocks", "batch_size": 1}
    plain = module(path, **options).dataset("train")
    data = module(path, rain_factor_sigma=0.4, **options)
    changed, again = data.dataset("train"), module(path, rain_factor_sigma=0.4, **options).dataset("train")
    factors = []
    for index in range(len(plain)):
        one, other = plain[index], changed[index]
        assert torch.equal(other["inputs"].nan_to_num(-1), again[index]["inputs"].nan_to_num(-1))
        assert torch.equal(one["mask"], other["mask"])
        ratio = torch.cat([other[key][one[key] > 0] / one[key][one[key] > 0] for key in ("inputs", "targets")])
        assert ratio.max() - ratio.min() < 1e-5
        factors.append(float(ratio.mean()))
    assert 0.2 < np.std(np.log(factors)) < 0.7
    first = next(iter(data.train_dataloader()))  # what is stored cannot be multiplied
    assert "inputs" in first
    assert torch.equal(data.dataset("test")[0]["inputs"], module(path, **options).dataset("test")[0]["inputs"])


def test_zoomed_rain_is_that_of_more_or_fewer_cells(tmp_path):
    """Native cells of 1 km, nominal cells of 3 of them, zoom 1.5: means over squares of 2, 3 or 4."""
    draw = np.random.default_rng(0)
    rain = [draw.gamma(0.5, 2.0, (48, 60)).astype(np.float32) for _ in range(20)]
    path = write(tmp_path / "a.nc", [frame(5 * k, values) for k, values in enumerate(rain)])
    native = Archive(path).read(slice(0, 20), slice(0, 48), slice(0, 60))
    options = {"split": "blocks", "crop": 8, "eval_crop": 8, "cell_km": 3.0, "random_crops": True, "batch_size": 1}
    data = module(path, zoom=1.5, **options).dataset("train")
    sides = []
    for index in range(60):
        sample, cut = data[index], data.cut(index)
        side = cut.region.factor[0]
        (y, x), k = cut.corner, cut.start
        square = native[k, y * side : (y + 8) * side, x * side : (x + 8) * side]
        expected = square.reshape(8, side, 8, side).mean(axis=(1, 3))
        np.testing.assert_allclose(sample["inputs"][0, 0].numpy(), expected, rtol=1e-5)
        assert sample["cell_km"].tolist() == [3, 3]  # it is seen as if it had the cells of all others
        sides.append(side)
    assert set(sides) == {2, 3, 4}
    again = module(path, zoom=1.5, **options).dataset("train")
    assert all(torch.equal(data[k]["inputs"], again[k]["inputs"]) for k in range(5))
    assert {data.cut(k).region.factor for k in range(60)} == {(2, 2), (3, 3), (4, 4)}
    test = module(path, zoom=1.5, **options).dataset("test")
    assert {test.cut(k).region.factor for k in range(len(test))} == {(3, 3)}


def test_tiles_at_the_edge_stay_on_the_grid_when_zoomed(tmp_path):
    path = write(tmp_path / "a.nc", [frame(5 * k, np.ones((48, 60))) for k in range(40)])
    options = {"split": "blocks", "crop": 12, "cell_km": 3.0, "random_crops": True, "batch_size": 1}
    data = module(path, zoom=1.5, **options).dataset("train")
    for index in range(100):
        sample = data[index]
        assert sample["inputs"].shape[-2:] == (12, 12)
        assert sample["inputs"].isfinite().all()


@pytest.mark.parametrize(("zoom", "crop", "words"), [(0.5, 8, "at least 1, got 0.5"), (1.5, None, "set data.crop=")])
def test_zoom_needs_tiles_and_a_number_of_at_least_1(tmp_path, zoom, crop, words):
    with pytest.raises(ValueError, match=words):
        module(moving_rain(tmp_path / "a.nc"), zoom=zoom, crop=crop, split="blocks")
