"""What can be looked at while training, and that it disturbs nothing."""

import math
import re
from contextlib import nullcontext
from types import SimpleNamespace

import lightning
import pytest
import torch
from PIL import Image

from nowcast.forecasting import checkpoint
from nowcast.forecasting.heads import GreyHead
from nowcast.report.csv_files import read_records
from nowcast.scaling import GreyScale
from nowcast.training.callbacks import watch
from nowcast.training.callbacks.watch import Speed, TrainingBar, Watch, append, best_table
from nowcast.training.task import NowcastTask
from tests.data.archives import moving_rain
from tests.data.modules import module
from tests.pictures import assert_has_colours_of_rain
from tests.programs import TINY, run

SETTINGS = [*TINY, "evaluate=false", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs that drew after every epoch, and never."""
    folder = tmp_path_factory.mktemp("watch")
    for name, extra in (("drawn", "callbacks.watch.every_n_epochs=1"), ("plain", "callbacks.watch=null")):
        done = run("train", *SETTINGS, f"data.archives.folder={folder / 'data'}", f"output={folder / name}", extra)
        assert done == (0, "")
    return folder


def test_a_run_leaves_pictures_and_numbers(folder):
    place = folder / "drawn" / "watch"
    assert sorted(path.name for path in place.iterdir()) == [
        "case_1_epoch_000.gif", "case_1_epoch_000.png", "case_1_epoch_001.gif", "case_1_epoch_001.png",
        "csi.csv", "epochs.csv", "spectra.csv",
    ]  # fmt: skip
    with Image.open(place / "case_1_epoch_001.gif") as picture:
        assert picture.n_frames == 3 + 4
    epochs = read_records(place / "epochs.csv")
    assert [row["epoch"] for row in epochs] == ["0", "1"]
    assert all(float(row["samples_per_second"]) > 0 for row in epochs)
    assert all(float(row["memory_mb"]) > 50 for row in epochs)
    assert all(float(row["watch_seconds"]) > 0 for row in epochs)
    spectra = read_records(place / "spectra.csv")
    assert {row["lead_minutes"] for row in spectra} == {"5.0", "10.0", "15.0", "20.0"}
    assert any(float(row["spectral_ratio"]) > 0 for row in spectra)


def test_its_scores_are_those_of_validation(folder):
    logged = [row for row in read_records(folder / "drawn" / "metrics.csv") if row["val/csi_0p5mmh"]]
    rows = read_records(folder / "drawn" / "watch" / "csi.csv")
    for epoch in (0, 1):
        csi = [float(row["csi"]) for row in rows if row["epoch"] == str(epoch) and row["threshold"] == "0.5"]
        assert len(csi) == 4
        defined = [value for value in csi if not math.isnan(value)]
        expected = float(logged[epoch]["val/csi_0p5mmh"])
        mean = sum(defined) / len(defined) if defined else math.nan
        assert mean == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_training_is_the_same_without_it(folder):
    drawn, plain = (checkpoint.read(folder / name / "checkpoints" / "last.ckpt") for name in ("drawn", "plain"))
    assert all((drawn["state_dict"][key] == value).all() for key, value in plain["state_dict"].items())
    assert read_records(folder / "drawn" / "metrics.csv") == read_records(folder / "plain" / "metrics.csv")


def test_the_epochs_of_an_interruption_stand_once(tmp_path):
    for epoch in (0, 1, 2, 1):
        append(tmp_path / "a.csv", [{"epoch": epoch, "csi": 0.1 * epoch}], epoch)
    append(tmp_path / "a.csv", [{"epoch": 2, "csi": 0.5, "new": 1}], 2)
    assert [(row["epoch"], row["csi"], row["new"]) for row in read_records(tmp_path / "a.csv")] == [
        ("0", "0.0", ""), ("1", "0.1", ""), ("2", "0.5", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("every", "validated_every", "due"),
    [(1, 1, [0, 1, 2, 3, 4, 5]), (3, 1, [2, 5]), (4, 3, [5]), (2, 3, [2, 5]), (0, 1, [])],
)
def test_when_it_draws(tmp_path, every, validated_every, due):
    one = Watch(str(tmp_path), every, 1, [2, 4], "val/loss", 5, False)
    validated = [epoch for epoch in range(6) if (epoch + 1) % validated_every == 0]
    assert [epoch for epoch in validated if one.is_due(epoch, validated_every)] == due


def test_the_time_left_is_that_of_the_batches_left(monkeypatch):
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    speed, trainer = Speed(), SimpleNamespace(estimated_stepping_batches=10, accumulate_grad_batches=2, global_step=4)
    assert math.isnan(speed.left(trainer))
    speed.add(8)
    speed.add(8)
    assert speed.samples_per_second == 4.0
    assert speed.left(trainer) == (20 - 8) * 2.0
    trainer.estimated_stepping_batches = math.inf
    assert math.isnan(speed.left(trainer))


class OneWeight(lightning.LightningModule):
    """The smallest thing that trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, index):
        return (self.weight * batch["inputs"]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")  # Lightning's own
@pytest.mark.parametrize(
    ("length", "text"), [({"max_epochs": 2}, "Epoch 2/2 "), ({"max_epochs": -1, "max_steps": 1}, "Epoch 1 ")]
)
def test_the_bar_counts_epochs_from_one(capsys, length, text):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(callbacks=[TrainingBar()], **quiet, **length)
    trainer.fit(OneWeight(), torch.utils.data.DataLoader([{"inputs": torch.ones(1)}]))
    shown = capsys.readouterr().out
    assert text in shown
    assert "Epoch 0" not in shown
    assert re.search(rf"^{text.strip()}: [\d.e+]+ samples/s", shown, re.MULTILINE)  # no terminal: a line per epoch


def test_the_best_epochs_come_first_and_undefined_ones_last():
    rows = [
        {"epoch": "0", "val/csi": "0.2", "val/loss": "3", "samples_per_second": "1"},
        {"epoch": "1", "val/csi": "nan", "val/loss": "1", "samples_per_second": "1"},
        {"epoch": "2", "val/csi": "0.4", "val/loss": "2", "samples_per_second": "1"},
    ]
    assert list(best_table(rows, "val/csi", 3).columns[0].cells) == ["3", "1", "2"]
    assert list(best_table(rows, "val/loss", 2).columns[0].cells) == ["2", "3"]


def test_negative_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"callbacks\.watch\.cases must be at least 0, got -1"):
        Watch(str(tmp_path), 1, -1, [2, 4], "val/loss", 5, False)


def test_loggers_of_both_kinds_get_the_picture(tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (5, 4), "#ff0000").save(picture)
    images, boards = [], []

    def log_image(key, paths, step):
        images.append((key, paths, step))

    def add_image(tag, pixels, step, dataformats):
        boards.append((tag, pixels.shape, pixels[0, 0].tolist(), step, dataformats))

    loggers = [
        SimpleNamespace(log_image=log_image),  # as W&B's
        SimpleNamespace(experiment=SimpleNamespace(add_image=add_image)),  # as TensorBoard's
        SimpleNamespace(experiment=object()),  # as the one of metrics.csv
    ]
    watch.show(SimpleNamespace(loggers=loggers, global_step=7), "case_1", picture)
    assert images == [("watch/case_1", [str(picture)], 7)]
    assert boards == [("watch/case_1", (4, 5, 3), [255, 0, 0], 7, "HWC")]


@pytest.mark.thorough
def test_tensorboard_gets_numbers_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    extra = [f"data.archives.folder={tmp_path / 'data'}", f"output={tmp_path / 'run'}", "trainer.max_epochs=1"]
    assert run("train", *SETTINGS, *extra, "callbacks.watch.every_n_epochs=1", "logger=tensorboard") == (0, "")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"val/loss", "val/csi_0p5mmh", "watch/samples_per_second"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["watch/case_1"]
    (picture,) = events.Images("watch/case_1")
    (tmp_path / "picture.png").write_bytes(picture.encoded_image_string)
    with Image.open(tmp_path / "picture.png") as theirs, Image.open(next(tmp_path.glob("run/watch/*.png"))) as ours:
        assert theirs.convert("RGB").tobytes() == ours.convert("RGB").tobytes()


def test_tensorboard_that_is_not_installed_is_said(tmp_path, monkeypatch):
    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(f"lightning.fabric.loggers.tensorboard.{name}", False)
    extra = [f"data.archives.folder={tmp_path / 'data'}", f"output={tmp_path / 'run'}"]
    code, message = run("train", *SETTINGS, *extra, "logger=tensorboard")
    assert code == 1
    assert "pip install -c constraints.txt -e '.[tensorboard]'" in message


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.7, "0:01:00"), (3599.6, "1:00:00"), (61.2, "0:01:01"), (math.nan, "?")]
)
def test_the_time_left_never_shows_sixty_seconds(monkeypatch, seconds, shown):
    monkeypatch.setattr("lightning.pytorch.callbacks.RichProgressBar.get_metrics", lambda *_: {"v_num": 1})
    monkeypatch.setattr(Speed, "left", lambda *_: seconds)
    assert TrainingBar().get_metrics(None, None)["left"] == shown


class Reduces(torch.nn.Module):
    """Like a network whose weights are cut over two processes: its forward pass needs both."""

    def forward(self, grey, steps):
        torch.distributed.all_reduce(grey)
        return grey[:, :1].expand(-1, steps, -1, -1, -1)


def draw_in_process(rank, folder, archive):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    data = module(archive, split="blocks", eval_crop=None)
    precision = SimpleNamespace(forward_context=nullcontext)
    trainer = SimpleNamespace(
        datamodule=data, is_global_zero=rank == 0, current_epoch=0, precision_plugin=precision, loggers=[],
        sanity_checking=False, check_val_every_n_epoch=1,
    )  # fmt: skip
    scaling = GreyScale(118.239, 1.5241, -10, 60)
    task = NowcastTask(Reduces(), GreyHead(), scaling, torch.nn.L1Loss(), None, None, [], None, None, None, 2, {})
    Watch(str(folder / f"watch_{rank}"), 1, 1, [2, 4, 8], "val/loss", 0, False).on_validation_epoch_end(trainer, task)
    torch.distributed.destroy_process_group()


@pytest.mark.slow  # processes that train take seconds to begin
def test_a_network_that_lies_in_two_processes_is_drawn_by_one_and_run_by_both(tmp_path):
    archive = moving_rain(tmp_path / "a.nc", shape=(16, 16))
    running = torch.multiprocessing.start_processes(
        draw_in_process, (tmp_path, archive), nprocs=2, join=False, start_method="spawn"
    )
    while not running.join(timeout=60):
        pass
    assert (tmp_path / "watch_0" / "case_1_epoch_000.png").exists()
    assert (tmp_path / "watch_0" / "spectra.csv").exists()
    assert not (tmp_path / "watch_1").exists()


@pytest.mark.thorough
def test_its_pictures_have_the_colours_that_are_asked_for(folder):
    extra = ["callbacks.watch.every_n_epochs=2", "colour_blind_safe=true"]
    done = run("train", *SETTINGS, f"data.archives.folder={folder / 'data'}", f"output={folder / 'safe'}", *extra)
    assert done == (0, "")
    for one, safe in (("drawn", False), ("safe", True)):
        assert_has_colours_of_rain(folder / one / "watch" / "case_1_epoch_001.png", safe)
