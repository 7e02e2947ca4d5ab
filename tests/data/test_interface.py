"""A data module of somebody else: what it must offer is the interface, and then it is scored, drawn and predicted."""

import json
from dataclasses import asdict

import lightning
import netCDF4
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from nowcast.data.datamodule import RadarDataModule
from nowcast.data.interface import DataModule, Series, as_data_module
from nowcast.data.mnist.moving_mnist import MovingMnist
from tests.conftest import thinned
from tests.data.archives import START, grid, moving_rain
from tests.extension import declare
from tests.programs import TINY, rows, run

SIDE, INPUTS, STEPS = 16, 3, 4
OURS = [text for text in TINY if not text.startswith("data.")]


class Squares(Dataset):
    """Wet squares that move one cell per frame, every second one at another place."""

    def __init__(self, split):
        self.begin = {"train": 0, "val": 100, "test": 200}[split]

    def __len__(self):
        return 6

    def __getitem__(self, index):
        frames = torch.zeros(INPUTS + STEPS, 1, SIDE, SIDE)
        for k in range(len(frames)):
            frames[k, :, 4:12, k : k + 6] = 1.0 + index
        targets = frames[INPUTS:]
        time = START + np.timedelta64(60 * (self.begin + index) + 60 * 24 * index, "m")
        return {
            "inputs": frames[:INPUTS],
            "targets": targets,
            "mask": torch.ones_like(targets, dtype=torch.bool),
            "init_time": torch.tensor(int(time.astype(np.int64))),
            "archive": torch.tensor(index % 2),
        }


class Foreign(lightning.LightningDataModule):
    """Shares nothing with RadarDataModule but the interface."""

    lead_unit, quantity, caveat = "minutes", "rain_rate", ""

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size, self.input_steps, self.forecast_steps = batch_size, INPUTS, STEPS

    def setup(self, stage=None):
        pass

    @property
    def series(self):
        times = START + np.arange(0, 60 * 24 * 30, 10) * np.timedelta64(1, "m")
        return [Series(name, times, 600, grid((SIDE, SIDE), 2000.0), 2.0) for name in ("here", "there")]

    def lead_times(self, split):
        return tuple(10.0 * (k + 1) for k in range(STEPS))

    def shapes(self, split):
        return ((SIDE, SIDE),)

    def common_shape(self, split):
        return SIDE, SIDE

    def examples(self, split, count):
        return [5, 4][:count]

    def origins(self, split):
        samples = [Squares(split)[index] for index in range(6)]
        return tuple(np.array([int(sample[key]) for sample in samples]) for key in ("archive", "init_time"))

    def dataset(self, split):
        return Squares(split)

    def train_dataloader(self):
        return self.ordered_loader("train")

    def val_dataloader(self):
        return self.ordered_loader("val")

    def test_dataloader(self):
        return self.ordered_loader("test")

    def ordered_loader(self, split):
        return DataLoader(Squares(split), batch_size=self.batch_size)

    def provenance(self):
        facts = {"archives": {"here": "1", "there": "2"}, "timesteps_seconds": [600], "cell_km": 2.0}
        return facts | {"input_steps": INPUTS, "forecast_steps": STEPS}

    def describe(self):
        return []

    def write_split(self, path):
        path.write_text(json.dumps({}))


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    (folder / "data").mkdir()
    (folder / "data" / "foreign.yaml").write_text("_target_: tests.data.test_interface.Foreign\nbatch_size: 4\n")
    return f"--config-dir={folder}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, configs):
    folder = tmp_path_factory.mktemp("foreign") / "run"
    watch = ["callbacks.watch.every_n_epochs=2", "scores=basic", "picture=true"]
    assert run("train", configs, "data=foreign", *OURS, *watch, f"output={folder}") == (0, "")
    return folder


def test_it_is_scored_like_radar(trained):
    scores = rows(trained / "evaluation" / "scores.csv")
    assert {row["model"] for row in scores} > {"persistence", "extrapolation", "convlstm_calibrated"}
    assert {float(row["lead_time_minutes"]) for row in scores} == {10.0, 20.0, 30.0, 40.0}
    # The square is 6 cells wide and moves one a frame: after k frames 6 - k columns are hit, 6 + k are said or seen
    csi = [float(row["csi"]) for row in scores if row["model"] == "persistence" and float(row["threshold"]) == 0.5]
    assert csi == pytest.approx([(6 - k) / (6 + k) for k in range(1, 5)])


def test_it_is_grouped_mapped_and_drawn(trained):
    strata = rows(trained / "evaluation" / "strata.csv")
    assert {"here", "there"} <= {row["group"] for row in strata}
    with netCDF4.Dataset(trained / "evaluation" / "statistics.nc") as file:
        assert any("map" in name for name in file.variables)
    for name in ("forecast.png", "forecast.gif", "report.html"):
        assert (trained / "evaluation" / name).stat().st_size > 0
    assert (trained / "watch" / "case_2_epoch_001.png").exists()


def test_it_is_evaluated_with_a_baseline_alone(configs, tmp_path):
    typed = ["data=foreign", "model=persistence", "scores=basic", "split=val", f"output={tmp_path / 'scores'}"]
    assert run("evaluate", configs, *typed) == (0, "")
    assert {row["model"] for row in rows(tmp_path / "scores" / "scores.csv")} == {"persistence"}


@pytest.mark.parametrize("more", thinned([[], ["data=foreign"]], fast=[0]))
def test_its_checkpoint_is_evaluated(trained, configs, monkeypatch, tmp_path, more):
    """It has no setting of time step or cell size that could be made like that of training."""
    declare(tmp_path, monkeypatch, "[nowcast.data]\nforeign = tests.data.test_interface:Foreign\n")
    typed = [f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}", "scores=basic", "html=false", *more]
    assert run("evaluate", configs, *typed, f"output={tmp_path / 'scores'}") == (0, "")
    assert rows(tmp_path / "scores" / "scores.csv") == rows(trained / "evaluation" / "scores.csv")


def test_its_checkpoint_predicts(trained, tmp_path):
    archive = moving_rain(tmp_path / "a.nc", frames=4, shape=(SIDE, SIDE), step=10)
    output = tmp_path / "nowcast.nc"
    with netCDF4.Dataset(archive, "a") as file:  # cells of 2 km
        for axis in ("x", "y"):
            file[axis][:] = file[axis][:] * 2
    typed = [f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}", f"input={archive}", f"output={output}"]
    assert run("predict", *typed) == (0, "")
    with netCDF4.Dataset(output) as file:
        assert len(file["rain_rate"]) == STEPS


def test_what_lacks_a_member_is_refused_by_name(configs, monkeypatch, tmp_path):
    monkeypatch.delattr(Foreign, "examples")
    code, message = run("train", configs, "data=foreign", *OURS, f"output={tmp_path / 'run'}")
    assert code == 1
    assert "tests.data.test_interface.Foreign, which lacks examples" in message


@pytest.mark.parametrize("kind", [RadarDataModule, MovingMnist, Foreign])
def test_ours_offer_all_of_it_too(kind):
    made = kind.__new__(kind)
    made.__dict__ |= {"input_steps": 1, "forecast_steps": 1}
    assert as_data_module(made) is made


def test_the_interface_asks_for_no_more_than_this():
    with pytest.raises(ValueError, match="lacks") as caught:
        as_data_module(object())
    for name in ("input_steps", "quantity", "series", "lead_times", "provenance"):
        assert name in str(caught.value)
    assert asdict(Foreign(1).series[0])["step_seconds"] == 600
    assert "examples" in vars(DataModule)
