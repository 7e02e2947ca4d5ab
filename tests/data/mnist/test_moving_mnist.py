"""The data module of moving digits."""

import json

import numpy as np
import pytest
import torch

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.mnist.digits import MovingDigits
from tests.data.digits import write_images
from tests.data.modules import moving_mnist


def module(folder, **changes):
    if not (folder / "mnist").exists():
        write_images(folder / "mnist")
    settings = {
        "mnist": str(folder / "mnist"),
        "folder": str(folder / "sequences"),
        "digits": [0, 20],
        "digits_per_sequence": 2,
        "test_digits": [0, 20],
        "test_digits_per_sequence": 2,
        "speed": [3.0, 5.0],
        "train_sequences": 6,
        "val_sequences": 3,
        "test_sequences": 4,
        "online": False,
        "train_file": None,
        "val_file": None,
        "test_file": None,
        "input_steps": 10,
        "forecast_steps": 10,
        "batch_size": 4,
        "workers": 0,
        "seed": 5,
    }
    return moving_mnist(**(settings | changes))


def test_samples_are_brightness_with_everything_observed(tmp_path):
    sample = module(tmp_path).dataset("train")[0]
    assert sample["inputs"].shape == (10, 1, 64, 64)
    assert sample["targets"].shape == (10, 1, 64, 64)
    assert sample["mask"].all()
    assert sample["inputs"].dtype == torch.float32
    assert 0.9 < sample["inputs"].max() <= 1
    assert sample["inputs"].min() == 0


def test_inputs_and_targets_are_one_sequence_of_the_generator(tmp_path):
    data = module(tmp_path)
    images = write_images(tmp_path / "again")
    made = MovingDigits((0, 20), 2, (3.0, 5.0)).generate(images, 6, 20, np.random.default_rng((5, 0)))
    sample = data.dataset("train")[4]
    joined = torch.cat([sample["inputs"], sample["targets"]])[:, 0] * 255
    np.testing.assert_array_equal(joined.round().numpy(), made[4])


def test_sizes_batches_and_the_smaller_last_batch(tmp_path):
    data = module(tmp_path)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [6, 3, 4]
    assert [len(batch["inputs"]) for batch in data.train_dataloader()] == [4, 2]


def test_training_is_shuffled_anew_every_epoch(tmp_path):
    data = module(tmp_path, batch_size=6)
    loader = data.train_dataloader()
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        (batch,) = list(loader)
        orders.append(batch["inputs"].sum(dim=(1, 2, 3, 4)).tolist())
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("sizes", [(4, 4, 4), (6, 3, 4)])  # of one size, the same random numbers give the same digits
def test_no_sequence_is_in_two_splits(tmp_path, sizes):
    names = ("train", "val", "test")
    data = module(tmp_path, **{f"{name}_sequences": size for name, size in zip(names, sizes, strict=True)})
    data.setup()
    distinct = {sequence.tobytes() for name in names for sequence in data.sequences[name]}
    assert len(distinct) == sum(sizes)


def test_files_are_made_once(tmp_path):
    module(tmp_path).setup()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "sequences").iterdir()}
    assert len(files) == 3
    module(tmp_path).setup()
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "sequences").iterdir()}
    module(tmp_path, seed=6).setup()
    assert len(list((tmp_path / "sequences").iterdir())) == 6


def test_three_unseen_digits_in_the_test_leave_training_as_it_was(tmp_path):
    usual = module(tmp_path)
    other = module(tmp_path, test_digits=[20, 40], test_digits_per_sequence=3)
    for split, same in (("train", True), ("val", True), ("test", False)):
        assert torch.equal(usual.dataset(split)[0]["inputs"], other.dataset(split)[0]["inputs"]) is same
    lit = [float((d.dataset("test")[0]["inputs"][0] > 0).sum()) for d in (usual, other)]
    assert lit[1] != lit[0]


def test_online_training_never_repeats_and_does_not_depend_on_who_asks(tmp_path):
    data = module(tmp_path, online=True)
    dataset = data.dataset("train")
    assert len(dataset) == 6
    assert not torch.equal(dataset[0]["inputs"], dataset[6]["inputs"])  # the first of epochs 0 and 1
    again = module(tmp_path, online=True).dataset("train")
    assert torch.equal(dataset[13]["inputs"], again[13]["inputs"])
    fixed = module(tmp_path).dataset("train")
    assert torch.equal(fixed[0]["inputs"], fixed[6]["inputs"])
    assert len(list((tmp_path / "sequences").iterdir())) == 3  # training sequences of the offline module only


def test_sequences_come_from_files_where_named(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (20, 5, 64, 64)).astype(np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", stored)
    data = module(tmp_path, test_file=str(tmp_path / "mnist_test_seq.npy"))
    assert len(data.dataset("test")) == 5
    np.testing.assert_array_equal((data.dataset("test")[2]["inputs"][:, 0] * 255).round().numpy(), stored[:10, 2])
    assert data.provenance()["sequences"]["test"]["made"].endswith("mnist_test_seq.npy")


@pytest.mark.parametrize("online", [False, True])
def test_frames_of_all_splits_have_one_size(tmp_path, online):
    for side in (32, 64):
        np.save(tmp_path / f"{side}.npy", np.zeros((20, 5, side, side), dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"one size, got 32x32 in test \(data\.files\.test=.*32\.npy\), 64x64 in train"
    ):
        module(tmp_path, online=online, test_file=str(tmp_path / "32.npy")).setup()
    files = {f"{split}_file": str(tmp_path / "32.npy") for split in ("train", "val", "test")}
    assert module(tmp_path, **files).dataset("train")[0]["inputs"].shape == (10, 1, 32, 32)
    module(tmp_path, online=online, test_file=str(tmp_path / "64.npy")).setup()


def test_damaged_kept_sequences_are_named(tmp_path):
    module(tmp_path).setup()
    path = next((tmp_path / "sequences").glob("val_*.npy"))
    content = path.read_bytes()
    for damaged in (content[:-100], content[:50], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(DataFormatError, match=rf"{path.name}: is damaged; delete it, and it is made again"):
            module(tmp_path).setup()
    np.save(path, np.zeros((3, 20, 8, 8), dtype=np.uint8))
    with pytest.raises(DataFormatError, match=rf"{path.name}: holds \(3, 20, 8, 8\) of uint8; delete it"):
        module(tmp_path).setup()


def test_provenance_and_split_name_what_was_used(tmp_path):
    data = module(tmp_path)
    data.write_split(tmp_path / "split.json")
    facts = json.loads((tmp_path / "split.json").read_text())
    assert facts["train"]["count"] == 6
    assert facts["train"]["sha256_of_first_64"] != facts["val"]["sha256_of_first_64"]
    assert module(tmp_path, online=True).provenance()["sequences"]["train"]["made"] == "anew in every epoch"
    assert data.lead_times("test") == tuple(range(1, 11))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digits": [1]}, "data.digits.images must be a pair"),
        (
            {"digits": 5},
            r"data.digits.images must be a pair of numbers, \[first, end\], got 5; write 'data.digits.images=",
        ),
        ({"test_digits": "ab"}, "data.digits.images must be a pair"),
        ({"speed": [3.0, None]}, "data.speed must be a pair"),
        ({"speed": [1.0, 2.0, 3.0]}, "data.speed must be a pair"),
        ({"test_sequences": 0}, "at least 1, got 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"online": True, "train_file": "x.npz"}, "contradicts data.files.train"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        module(tmp_path, **changes)
