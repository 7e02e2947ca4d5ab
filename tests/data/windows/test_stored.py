"""Windows handed on as they are stored give the samples of RadarDataset, bit for bit."""

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from nowcast.data.archive.archive import FILL, Archive
from nowcast.data.archive.frame import Packing
from nowcast.data.windows.dataset import RadarDataset
from nowcast.data.windows.region import Region
from nowcast.data.windows.stored import StoredWindows, to_rain_rates
from tests.data.archives import frame, moving_rain, write
from tests.data.modules import module

TRAINING = {"split": "blocks", "random_crops": True, "block_minutes": 20.0, "gap_minutes": 0.0}


def through(data):
    """Batches as the trainer gets them."""
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def rates(data):
    """The same as rain rates from the start."""
    dataset, sampler = data.dataset("train"), data.train_dataloader().sampler
    size = data.batch_size
    indices = list(sampler)
    return [default_collate([dataset[i] for i in indices[k : k + size]]) for k in range(0, len(indices), size)]


def with_gaps(path, shape=(24, 30), step=0.1):
    """Every kind of value: no data, no rain, the smallest rain and a lot of it."""
    draw = np.random.default_rng(0)
    kinds = np.array([np.nan, 0.0, 0.1, 7.3, 120.0])
    return write(path, [frame(5 * k, kinds[draw.integers(0, 5, shape)], packing=Packing(step, 0.0)) for k in range(24)])


@pytest.mark.parametrize(
    ("augment", "crop", "workers"),
    [
        ("none", 16, 0),
        ("flips", 16, 0),
        ("flips_rotations", 16, 0),
        ("flips", 24, 0),
        pytest.param("flips_rotations", 16, 2, marks=pytest.mark.slow),  # processes that load take seconds to begin
    ],
)  # 24 is more than one of the grids has
def test_batches_are_those_of_rain_rates(tmp_path, augment, crop, workers):
    paths = with_gaps(tmp_path / "a.nc"), with_gaps(tmp_path / "b.nc", (20, 33), 0.01)
    data = module(*paths, **TRAINING, augment=augment, crop=crop, workers=workers)
    batch = next(iter(data.train_dataloader()))
    assert batch["stored"].dtype == torch.int16
    assert data._tables.shape[0] == 2
    ours, expected = through(data), rates(data)
    assert len(ours) == len(expected) > 1
    for one, other in zip(ours, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name].dtype == value.dtype
            torch.testing.assert_close(one[name], value, rtol=0, atol=0, equal_nan=True, msg=name)
    assert any(batch["inputs"].isnan().any() for batch in expected)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_every_stored_number_means_what_its_own_archive_says(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tables = torch.stack([torch.arange(65536.0), torch.arange(65536.0) / 100])
    tables[:, FILL] = torch.nan
    stored = torch.from_numpy(np.array([0, 1, 32767, 32768, 65534, FILL], dtype=np.uint16).view(np.int16))
    batch = {
        "stored": stored.view(1, 6, 1, 1, 1).repeat(2, 1, 1, 1, 1),
        "table": torch.tensor([0, 1]),
        "init_time": torch.zeros(2, dtype=torch.int64),
        "archive": torch.tensor([0, 7]),
        "step_minutes": torch.tensor([5.0, 6.0]),
        "cell_km": torch.ones(2, 2),
    }
    sample = to_rain_rates(batch | {"stored": batch["stored"].to(device)}, tables.to(device), 2)
    values = torch.cat([sample["inputs"], sample["targets"]], 1).view(2, 6).cpu()
    expected = torch.tensor([0, 1, 32767, 32768, 65534, torch.nan])
    torch.testing.assert_close(values, torch.stack([expected, expected / 100]), equal_nan=True)
    assert sample["mask"].view(2, 4).tolist() == [[True, True, True, False]] * 2


def windows(region, **changes):
    settings = {"crop": (16, 16), "jitter": True, "augment": "none", "min_rain_fraction": 0, "min_valid_fraction": 0}
    starts = [np.arange(3)]
    return RadarDataset([region], starts, input_steps=3, forecast_steps=2, seed=0, **(settings | changes))


def test_averaged_shared_and_unpacked_cells_are_read_as_rain_rates(tmp_path):
    archive = Archive(moving_rain(tmp_path / "a.nc", shape=(24, 32)))
    assert StoredWindows.are_possible(windows(Region(archive, (1, 1), 1)))
    assert not StoredWindows.are_possible(windows(Region(archive, (2, 2), 1), crop=(8, 8)))
    assert not StoredWindows.are_possible(windows(Region(archive, (1, 1), 1), jitter=False))  # 24 rows, tiles of 16
    assert StoredWindows.are_possible(windows(Region(archive, (1, 1), 1), jitter=False, crop=(12, 16)))
    floats = write(tmp_path / "floats.nc", [frame(5 * k, np.ones((24, 32)), packing=None) for k in range(9)])
    assert not StoredWindows.are_possible(windows(Region(Archive(floats), (1, 1), 1)))
    data = module(archive.path, **(TRAINING | {"random_crops": False}))
    assert "inputs" in next(iter(data.train_dataloader()))


def test_archives_that_mean_the_same_share_a_table(tmp_path):
    paths = [moving_rain(tmp_path / f"{name}.nc", shape=(16, 16)) for name in "abc"]
    data = module(*paths, **TRAINING)
    assert data.train_dataloader().dataset.dataset.tables.shape == (1, 65536)


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16)])
def test_rain_rates_have_the_precision_of_the_trainer(tmp_path, precision, dtype):
    data = module(moving_rain(tmp_path / "a.nc", shape=(24, 30)), **TRAINING)
    data.trainer = lightning.Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["inputs"].dtype == batch["targets"].dtype == dtype
    assert (batch["mask"].dtype, batch["init_time"].dtype) == (torch.bool, torch.int64)


def test_both_ways_of_looking_up_are_the_same(monkeypatch, tmp_path):
    """That of other devices, on a CPU."""
    data = module(with_gaps(tmp_path / "a.nc"), with_gaps(tmp_path / "b.nc", step=0.01), **TRAINING)
    batch = next(iter(data.train_dataloader()))
    ours = to_rain_rates(batch, data._tables, 3)
    meta = {name: value.to("meta") for name, value in batch.items()}
    assert to_rain_rates(meta, data._tables.to("meta"), 3)["inputs"].shape == ours["inputs"].shape
    position = (batch["stored"].int() & FILL) + (FILL + 1) * batch["table"].int().view(-1, 1, 1, 1, 1)
    theirs = data._tables.flatten()[position.long()]
    torch.testing.assert_close(ours["inputs"], theirs[:, :3], rtol=0, atol=0, equal_nan=True)
