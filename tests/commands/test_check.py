"""`nowcast check`: what a training step costs, which side is slow, and what fits."""

import json
import time

import lightning
import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.data.masks.file import read_mask
from nowcast.forecasting import checkpoint
from nowcast.studies.benchmarks import training
from nowcast.studies.benchmarks.training import TrainingStep, measure_training
from nowcast.studies.check import advice
from tests.data.digits import write_images
from tests.programs import TINY, run

TRAINER = {"accelerator": "cpu", "precision": "32-true", "gradient_clip_val": 1.0, "accumulate_grad_batches": 1}
VALUES = 50_000  # of a sequence, 200 kB


class Task(lightning.LightningModule):
    """One weight; the step makes one array as large as its batch and keeps it for the backward pass."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.optimizer_factory = torch.optim.Adam
        self.seconds, self.sizes, self.dtypes = seconds, [], []

    def training_step(self, batch, index):
        self.sizes.append(len(batch["inputs"]))
        time.sleep(self.seconds)
        product = torch.nn.functional.linear(batch["inputs"].reshape(-1, 1), self.weight[:, None])
        self.dtypes.append(product.dtype)
        return product.float().square().mean()


def loader(size, seconds=0.0, batches=3):
    for _ in range(batches):
        time.sleep(seconds)
        yield {"inputs": torch.rand(size, VALUES)}


def settings(**change):
    return TRAINER | change


def test_the_slower_side_is_the_bottleneck():
    slow_loader = measure_training(Task(), loader(2, seconds=0.2), settings())
    assert slow_loader["bottleneck"] == "loader"
    assert slow_loader["sequences_per_second"] == pytest.approx(2 / slow_loader["loader_seconds"])
    assert slow_loader["loader_seconds"] >= 0.2
    slow_model = measure_training(Task(seconds=0.2), loader(2), settings())
    assert slow_model["bottleneck"] == "model"
    assert slow_model["sequences_per_second"] == pytest.approx(2 / slow_model["step_seconds"])


def test_memory_counts_what_a_step_holds():
    """The product, its float32 form (the same) and their gradients: from two to five arrays of the batch at once."""
    found = measure_training(Task(), loader(8), settings())
    arrays = found["peak_memory_mib"] * 2**20 / (8 * VALUES * 4)
    assert 2 <= arrays <= 5.1


def test_memory_of_the_optimiser_is_counted():
    step = TrainingStep(Task(), settings())
    assert step.optimizer_bytes() == 0
    step.run({"inputs": torch.rand(1, 4)})
    assert step.optimizer_bytes() == 2 * 4 + 4  # Adam: two moments and a counter, all float32
    assert step.parameter_bytes() == 4


@pytest.mark.parametrize(
    ("free_mib", "accumulated", "micro", "times"),
    [(1000, 1, 8, 1), (1000, 4, 32, 1), (4.6, 1, 4, 2), (2.6, 1, 2, 4), (0.1, 1, None, None)],
)
def test_the_largest_micro_batch_that_fits(monkeypatch, free_mib, accumulated, micro, times):
    """A sequence takes about 0.95 MiB in a step; the effective batch is 8 · accumulated."""
    monkeypatch.setattr(training, "free_memory", lambda device: int(free_mib * 2**20))
    task = Task()
    found = measure_training(task, loader(8), settings(accumulate_grad_batches=accumulated))
    assert (found["micro_batch"], found["accumulate_grad_batches"]) == (micro, times)
    if micro is None or micro < 8:  # what does not fit is not tried
        assert max(task.sizes) <= 2
        assert found["step_seconds"] is found["sequences_per_second"] is found["bottleneck"] is None
    else:
        assert max(task.sizes) == 8


def test_the_precision_of_the_trainer_is_used():
    for precision, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16), ("bf16-true", torch.bfloat16)):
        task = Task()
        measure_training(task, loader(1), settings(precision=precision))
        assert set(task.dtypes) == {dtype}


def test_one_batch_is_enough():
    assert measure_training(Task(), loader(3, batches=1), settings())["batch_size"] == 3


def test_advice_can_be_typed():
    assert "data.batch_size=4 trainer.accumulate_grad_batches=2" in advice(
        {"micro_batch": 4, "accumulate_grad_batches": 2}
    )
    assert "model.recompute=true" in advice({"micro_batch": None, "accumulate_grad_batches": None})


def test_the_command_tries_the_configured_run(tmp_path, capsys):
    output = tmp_path / "check.json"
    data = f"data.archives.folder={tmp_path / 'data'}"
    assert run("check", *TINY, data, "trainer.accumulate_grad_batches=2", f"output={output}") == (0, "")
    found = json.loads(output.read_text())
    assert found["parameters"] > 0
    assert found["peak_memory_mib"] > 0
    assert found["sequences_per_second"] > 0
    assert found["bottleneck"] in ("model", "loader")
    assert found["batch_size"] == 4
    assert found["micro_batch"] * found["accumulate_grad_batches"] == 8
    assert "is the bottleneck" in " ".join(capsys.readouterr().out.split())


ARCHIVES = ["data.split.method=archives", "data.split.val_archives=[val_*]"]


@pytest.mark.thorough
def test_without_test_windows_training_is_looked_at_all_the_same(tmp_path, capsys):
    output, settings = tmp_path / "check.json", [*TINY, *ARCHIVES, "data.split.test_archives=[]"]
    settings += [f"data.archives.folder={tmp_path / 'data'}", "data.archives.test_events=0", "data.split.gap_minutes=0"]
    assert run("check", *settings, f"output={output}") == (0, "")
    found = json.loads(output.read_text())
    assert (found["samples"]["test"], found["batch_size"]) == (0, 4)
    assert "warning: no test window of 7 frames" in " ".join(capsys.readouterr().out.split())
    code, text = run("train", *settings, f"output={tmp_path / 'scored'}")
    assert (code, "no test window" in text) == (1, True)
    assert run("train", *settings, f"output={tmp_path / 'run'}", "evaluate=false", "trainer.max_epochs=1") == (0, "")


def test_a_split_of_everything_is_none_to_train_on(tmp_path):
    code, text = run("check", *TINY, f"data.archives.folder={tmp_path / 'data'}", "data.split.method=all")
    assert (code, "data.split.method=all is for evaluation; train with" in text) == (1, True)


@pytest.mark.parametrize("split", ["train", "val"])
def test_without_windows_that_training_needs_it_stops(tmp_path, split):
    settings = [
        *TINY,
        f"data.archives.folder={tmp_path / 'data'}",
        "data.split.method=archives",
        "data.split.gap_minutes=0",
    ]
    named = {"train": "data.split.val_archives=['*']", "val": "data.split.test_archives=['val_*']"}[split]
    code, text = run("check", *settings, named)
    assert code == 1
    assert text.startswith(f"nowcast check: error: no {split} window of 7 frames")


def test_check_counts_parameters_and_windows(trained, tmp_path):
    data = f"data.archives.folder={trained.parent / 'data'}"
    assert run("check", *TINY, data, f"output={tmp_path / 'c.json'}") == (0, "")
    findings = json.loads((tmp_path / "c.json").read_text())
    weights = checkpoint.read(trained / "checkpoints" / "best.ckpt")["state_dict"]
    assert findings["parameters"] == sum(v.numel() for k, v in weights.items() if k.startswith("net."))
    assert next(row["name"] for row in findings["archives"]) == "train_000"
    assert findings["samples"]["train"] > 0


def test_statistics_of_archives_are_a_picture_and_json(trained, tmp_path, capsys):
    data, output = f"data.archives.folder={trained.parent / 'data'}", tmp_path / "c.json"
    assert run("check", *TINY, data, f"output={output}", f"statistics={tmp_path / 'stats'}") == (0, "")
    findings = json.loads(output.read_text())
    assert {path.name for path in (tmp_path / "stats").iterdir()} == {
        f"{row['name']}{kind}" for row in findings["archives"] for kind in (".json", ".png", "_mask.nc")
    }
    for row, told in zip(findings["archives"], findings["statistics"], strict=True):
        assert told == json.loads((tmp_path / "stats" / f"{row['name']}.json").read_text())
        (path,) = (trained.parent / "data").glob(f"*/{row['name']}.nc")
        rain = Archive(path).read(slice(None), slice(None), slice(None))
        assert told["rain"] == pytest.approx((rain >= 0.1).sum() / np.isfinite(rain).sum())
        assert told["no_data"] == pytest.approx(np.isnan(rain).mean(), abs=1e-12)
        wet, there = (rain >= 0.1).sum(axis=0), np.isfinite(rain).sum(axis=0)
        grid, hidden = read_mask(tmp_path / "stats" / f"{row['name']}_mask.nc")
        assert np.array_equal(hidden, (wet > 0.2 * there) | (there < 0.1 * len(rain)))
        assert grid.same_as(Archive(path).grid)
    assert "that may be rain" in " ".join(capsys.readouterr().out.split())


def test_statistics_are_of_radar(tmp_path):
    digits = ["data=moving_mnist", f"data.mnist={tmp_path / 'mnist'}", f"data.folder={tmp_path / 'sequences'}"]
    write_images(tmp_path / "mnist")
    counts = [f"data.sequences.{split}=3" for split in ("train", "val", "test")]
    asked = [*digits, *counts, "model=convlstm", "head=grey", "loss=mse", f"statistics={tmp_path / 'stats'}"]
    code, text = run("check", *asked, "data.digits.images=[0,20]", "data.test_digits.images=[0,20]")
    assert code != 0
    assert "statistics=<folder> is of radar archives" in text
    assert not (tmp_path / "stats").exists()


def test_check_counts_parameters_even_without_the_data(tmp_path):
    code, message = run(
        "check",
        "data=radar",
        "data.archives=[no.nc]",
        "model=convlstm",
        "head=grey",
        "loss=mse",
        f"output={tmp_path / 'c.json'}",
    )
    assert (code, "no.nc" in message) == (1, True)
    assert json.loads((tmp_path / "c.json").read_text()) == {"parameters": 896260}


def test_check_says_what_a_checkpoint_is(trained, capsys):
    assert run("check", f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}") == (0, "")
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "convlstm_calibrated of convlstm: ",
        "takes: 3 frames, every 5 min; cells of 2 km",
        "trained to forecast: 4 steps, up to 20 min",
        "trained on: train (3), val, test CSI at 0.5 mm/h on ",
    ):
        assert words in said
    code, message = run("check", "checkpoint=nowhere.ckpt")
    assert (code, "no checkpoint at nowhere.ckpt" in message) == (1, True)
