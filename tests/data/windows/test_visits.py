"""Several crops of a window that is read: each is drawn as it would be by itself, and nothing depends on who reads."""

import numpy as np
import pytest
import torch

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.windows.sampling import EPOCHS
from nowcast.data.windows.visits import VisitLoader, VisitSampler
from tests.data.archives import moving_rain
from tests.data.modules import module


def windows_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def batches_of(sampler):
    return [batch for group in sampler for batch in group]


def positions(sampler):
    return np.concatenate(batches_of(sampler)) % len(sampler.windows)


@pytest.mark.parametrize("seed", range(100))
def test_without_weights_no_sample_comes_twice(seed):
    draw = np.random.default_rng(seed)
    windows = windows_of(draw.integers(1, 10, draw.integers(1, 13)))
    crops, batch_size, samples = draw.integers(2, 6), draw.integers(1, 5), draw.integers(1, len(windows) + 1)
    sampler = VisitSampler(windows, samples, None, seed, crops, batch_size)
    found = positions(sampler)
    assert len(found) == len(set(found.tolist())) == samples
    assert sampler.batches == len(batches_of(sampler)) == -(-samples // batch_size)
    assert len(sampler) == len(list(sampler))


def test_as_few_windows_are_visited_as_can_be():
    """Windows of 8, 8 and 4 samples, 4 a visit: five visits of one window each, in whatever order."""
    windows = windows_of([8, 8, 4])
    sampler = VisitSampler(windows, None, None, 3, 4, 1)
    assert [len({windows[index % 20] for (index,) in group}) for group in sampler] == [1] * 5
    assert sorted(positions(sampler)) == list(range(20))


def test_each_crop_has_the_chance_that_it_has_by_itself():
    rng = np.random.default_rng(0)
    windows, weights = windows_of([5, 1, 3, 7]), rng.uniform(0, 1, 16)
    weights[[2, 8]] = 0
    sampler = VisitSampler(windows, 60_000, weights, 0, 4, 5)
    counts = np.bincount(positions(sampler), minlength=16)
    expected = 60_000 * weights / weights.sum()
    assert counts[[2, 8]].tolist() == [0, 0]
    # Crops of a visit are of one window: the variance is at most that of 15,000 visits of four times the same crop.
    deviation = np.sqrt(4 * np.maximum(expected, 1))
    assert (np.abs(counts - expected) < 4 * deviation).all()
    first = np.array([batch[0] % 16 for group in sampler for batch in group[:1]])  # and so has the first of each visit
    share = np.bincount(first, minlength=16) / len(first)
    assert (np.abs(share - weights / weights.sum()) < 4 * np.sqrt(0.25 / len(first))).all()


def test_a_visit_takes_samples_in_proportion_to_their_chances():
    """Chances 1/2, 1/4, 1/8, 1/8 of four samples, 4 crops: two, one, and one of the last two; never one thrice."""
    sampler = VisitSampler(windows_of([4]), 400, np.array([4.0, 2, 1, 1]), 0, 4, 1)
    for group in sampler:
        counts = np.bincount([index % 4 for (index,) in group], minlength=4)
        assert (counts[0], counts[1], counts[2] + counts[3]) == (2, 1, 1)


@pytest.mark.parametrize("samples", [48, 50, 59])
def test_crops_of_a_visit_go_into_different_batches(samples):
    """Four crops of a visit, three visits at once: batches of a group hold the same windows in the same order."""
    windows = windows_of([6] * 6)
    sampler = VisitSampler(windows, samples, np.ones(36), 1, 4, 3)
    for group in sampler:
        held = [[windows[index % 36] for index in batch] for batch in group]
        assert all(batch == held[0][: len(batch)] for batch in held)
    assert [len(batch) for batch in batches_of(sampler)] == [3] * (samples // 3) + [samples % 3] * (samples % 3 > 0)


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 38.0)])
@pytest.mark.parametrize("samples", [None, 30, 37])
def test_going_on_in_the_middle_of_an_epoch_gives_what_is_left(weights, samples):
    windows = windows_of([5, 9, 2, 1, 8, 12])
    whole = VisitSampler(windows, samples, weights, 5, 3, 4)
    whole.set_epoch(2)
    expected = batches_of(whole)
    for done in range(len(expected) + 1):
        rest = VisitSampler(windows, samples, weights, 5, 3, 4, done=lambda done=done: done * 4)
        rest.set_epoch(2)
        assert batches_of(rest) == expected[done:]
        assert [len(group) for group in rest][1:] == [len(group) for group in whole][done // 3 + 1 :]


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 38.0)])
def test_processes_share_the_batches_of_one(weights):
    windows = windows_of([5, 9, 2, 1, 8, 12])
    together = batches_of(VisitSampler(windows, 36, weights, 0, 3, 6))
    ranks = [VisitSampler(windows, 36, weights, 0, 3, 2, rank, 3) for rank in range(3)]
    for batch, parts in zip(together, zip(*map(batches_of, ranks), strict=True), strict=True):
        assert sorted(batch) == sorted(index for part in parts for index in part)
    if weights is not None:  # each window that is visited is read by one of them
        for rank in ranks:
            for group in rank:
                assert len({tuple(windows[index % 37] for index in batch) for batch in group}) == 1


def test_epochs_differ_and_a_crop_that_comes_again_is_another():
    sampler = VisitSampler(windows_of([3, 3]), 40, np.ones(6), 0, 4, 2)
    first = positions(sampler)
    indices = np.concatenate(batches_of(sampler))
    assert len(set(indices.tolist())) == 40
    assert set((indices // 6 % EPOCHS).tolist()) == {0}
    sampler.set_epoch(1)
    assert not np.array_equal(positions(sampler), first)
    assert len(set(np.concatenate(batches_of(sampler))) | set(indices)) == 80


# -- loaders -------------------------------------------------------------------------------------------------

OPTIONS = {
    "split": "blocks", "random_crops": True, "augment": "flips_rotations", "crops_per_window": 3, "batch_size": 4,
    "importance_floor": 0.1, "samples_per_epoch": 30,
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return moving_rain(tmp_path_factory.mktemp("rain") / "a.nc", frames=60)


def loaded(data):
    loader = data.train_dataloader()
    result = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        result += [data.on_after_batch_transfer(batch, 0) for batch in loader]
    return result


@pytest.mark.parametrize("zoom", [1.0, 1.5])  # stored values, and rain rates
def test_samples_do_not_depend_on_the_number_of_workers(path, zoom):
    alone, two = (loaded(module(path, workers=workers, zoom=zoom, **OPTIONS)) for workers in (0, 2))
    assert len(alone) == len(two) == 2 * 8
    for one, other in zip(alone, two, strict=True):
        assert one.keys() == other.keys()
        for key, values in one.items():
            assert torch.equal(values.nan_to_num(-1), other[key].nan_to_num(-1)), key


def test_the_loader_gives_the_samples_of_the_dataset_in_the_order_of_the_sampler(path):
    data = module(path, **OPTIONS)
    loader, dataset = data.train_dataloader(), data.dataset("train")
    assert isinstance(loader, VisitLoader)
    assert len(loader) == 8
    expected = batches_of(loader.sampler)
    for batch, indices in zip(loader, expected, strict=True):
        sample = data.on_after_batch_transfer(batch, 0)
        for k, index in enumerate(indices):
            for key, values in dataset[index].items():
                assert torch.equal(sample[key][k].nan_to_num(-1), values.nan_to_num(-1)), key


def test_windows_of_samples_are_those_of_their_frames(path, tmp_path):
    data = module(path, moving_rain(tmp_path / "b.nc", frames=30), **OPTIONS)
    dataset = data.dataset("train")
    same = (dataset.samples[:, None, :2] == dataset.samples[None, :, :2]).all(axis=2)
    assert np.array_equal(same, dataset.windows[:, None] == dataset.windows[None])
    assert (np.diff(dataset.windows) >= 0).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_any_more_is_named(tmp_path, workers):
    path = moving_rain(tmp_path / "a.nc", frames=60)
    loader = module(path, workers=workers, **OPTIONS).train_dataloader()
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataFormatError, match=r"a\.nc"):
        list(loader)


def test_what_cannot_be_is_refused(path):
    with pytest.raises(ValueError, match="crops_per_window must be at least 1, got 0"):
        module(path, crops_per_window=0)
    with pytest.raises(ValueError, match=r"crops_per_window=2 needs tiles: set data\.crop=<cells>"):
        module(path, crops_per_window=2, crop=None)
