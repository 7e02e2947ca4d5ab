"""The paper's experiments as configs: the counts of every row, and the settings."""

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from nowcast.config.build import build, plain
from nowcast.config.differences import flat
from nowcast.config.program import CONFIGS
from nowcast.studies.check import count_parameters
from tests.programs import run

TABLE_1 = {
    "mnist_fc_lstm": 142_667_776,
    "mnist_convlstm_1x256": 13_524_496,
    "mnist_convlstm_2x128": 10_042_896,
    "mnist_convlstm_3layers": 7_585_296,
    "mnist_convlstm_9x9_2layers": 11_550_224,
    "mnist_convlstm_9x9_3layers": 8_830_480,
    "mnist_three_digits": 7_585_296,
    "mnist_online": 7_585_296,
}


TABLE_2 = {
    "paper_radar": 896_260,
    "paper_radar_open": 896_260,
    "paper_radar_synthetic": 896_260,
    "paper_radar_fc_lstm": 196_066_000,
}
PRINTED = {
    "mnist": {
        "mnist_fc_lstm": 4832.49,
        "mnist_convlstm_1x256": 3887.94,
        "mnist_convlstm_2x128": 3733.56,
        "mnist_convlstm_3layers": 3670.85,
        "mnist_convlstm_9x9_2layers": 4782.84,
        "mnist_convlstm_9x9_3layers": 4231.50,
        "mnist_three_digits": 6379.42,
    },
    "radar": {  # rainfall-MSE, CSI, FAR, POD, correlation
        "convlstm": (1.420, 0.577, 0.195, 0.660, 0.908),
        "rover1": (1.712, 0.516, 0.308, 0.636, 0.843),
        "rover2": (1.684, 0.522, 0.301, 0.642, 0.850),
        "rover3": (1.685, 0.522, 0.301, 0.642, 0.849),
        "fclstm": (1.865, 0.286, 0.335, 0.351, 0.774),
    },
}


def composed(program, *overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(program, list(overrides))


@pytest.mark.parametrize("experiment", [*TABLE_1, *TABLE_2])
def test_every_row_is_trained_as_in_the_paper(experiment):
    config = composed("train", f"experiment={experiment}", "output=x")
    trainer = config.trainer
    assert (trainer.max_epochs, trainer.max_steps, trainer.max_time) == (200, -1, None)
    assert (trainer.gradient_clip_val, trainer.accumulate_grad_batches, trainer.precision) == (None, 1, "32-true")
    optimizer = plain(config.optimizer)
    assert optimizer["schedule"] is None
    settings = {key: value for key, value in optimizer["optimizer"].items() if not key.startswith("_")}
    assert settings == {"lr": 1e-3, "decay": 0.9, "eps": 1e-6}
    assert optimizer["optimizer"]["_target_"].endswith("PaperRMSProp")
    assert config.loss._target_.endswith("CrossEntropy")
    assert config.head._target_.endswith("GreyHead")
    assert "lagrangian_probability" not in {name for name, node in config.baselines.items() if node}
    assert build(config.loss).reduction == "sequence"
    # "Early stopping" of the authors is the best epoch of all 200.
    monitor = config.callbacks.checkpoint
    assert (monitor.monitor, monitor.mode, monitor.save_top_k) == ("val/loss", "min", 1)
    assert (config.callbacks.early_stopping, config.callbacks.ema) == (None, None)
    assert (config.seed, config.data.seed, config.calibration) == (1000, 1000, None)
    if config.model._target_.endswith("ConvLSTM"):
        assert (config.model.peephole, config.model.output_peephole) == ("channel", "current")
    else:
        assert config.model.peephole == "diagonal"


def test_what_the_rows_share_is_no_experiment_by_itself():
    with pytest.raises(ConfigCompositionException, match=r"specify 'model'[\s\S]*convlstm[\s\S]*fc_lstm"):
        composed("train", "experiment=mnist_base", "output=x")
    assert run("train", "experiment=mnist_base", "output=x")[0] != 0


@pytest.mark.parametrize(("experiment", "count"), TABLE_1.items())
def test_rows_of_table_1(experiment, count):
    config = composed("train", f"experiment={experiment}", "output=x")
    assert count_parameters(config) == count
    data = plain(config.data)
    assert [data["sequences"][split] for split in ("train", "val", "test")] == [10000, 2000, 3000]
    assert (data["input_steps"], data["forecast_steps"], data["batch_size"]) == (10, 10, 16)
    assert data["digits"]["per_sequence"] == 2
    assert config.scaling._target_.endswith("Brightness")
    assert list(config.frame_scores) == ["frames"]
    if config.model._target_.endswith("ConvLSTM"):
        assert config.model.patch == 4


@pytest.mark.parametrize(("experiment", "count"), TABLE_2.items())
def test_rows_of_table_2(experiment, count):
    config = composed("train", f"experiment={experiment}", "output=x")
    assert count_parameters(config) == count
    data = plain(config.data)
    expected = {
        "input_steps": 5, "forecast_steps": 15, "windows.stride": 1, "crop": None, "eval_crop": None,
        "sampling.random_crops": False, "sampling.augment": "none", "sampling.min_rain_fraction": 0,
        "sampling.min_valid_fraction": 0, "sampling.importance_floor": None, "sampling.samples_per_epoch": None,
        "windows.cell_km": None, "split.method": "paper", "split.block_minutes": 40 * 6, "split.gap_minutes": 0,
        "split.val_fraction": 1 / 6, "split.test_fraction": 1 / 6, "batch_size": 8,
    }  # fmt: skip
    found = flat(data)
    assert {key: found[key] for key in expected} == expected
    scale = {"zr_a": 118.239, "zr_b": 1.5241, "min_dbz": -10.0, "max_dbz": 60.0}
    pipeline = {"crop": 330, "disk_radius": 10, "size": 100} | scale
    assert {key: data["archives"][key] for key in pipeline} == pipeline
    assert {key: config.scaling[key] for key in scale} == scale
    paper = {key: value for key, value in plain(config.frame_scores.paper).items() if not key.startswith("_")}
    assert paper == {"threshold": 0.5, "epsilon": 1e-9} | scale
    assert {"persistence", "rover1", "rover2", "rover3"} <= {k for k, v in config.baselines.items() if v is not None}
    if config.model._target_.endswith("ConvLSTM"):
        kernels = (list(config.model.input_kernels), list(config.model.state_kernels))
        assert (config.model.patch, list(config.model.hidden), kernels) == (2, [64, 64], ([3, 3], [3, 3]))
    else:
        assert (list(config.model.frame_shape), list(config.model.hidden)) == ([100, 100], [2000, 2000])


OPENSTL = {  # learning rate; MSE, MAE, SSIM, PSNR of 200 epochs
    "openstl_convlstm": (5e-4, (29.80, 90.64, 0.9288, 22.10)),
    "openstl_predrnn_v2": (5e-4, (24.13, 73.73, 0.9453, None)),
    "openstl_simvp_gsta": (1e-3, (26.69, 77.19, 0.9402, 22.78)),
}


def test_the_printed_scores_of_openstl():
    table = OmegaConf.load(CONFIGS / "printed" / "openstl.yaml")
    names = [score.score for score in table.scores]
    assert names == ["mse", "mae", "ssim", "psnr"]
    printed = {row.folder: tuple(row.printed.get(name) for name in names) for row in table.rows}
    assert printed == {name: scores for name, (_, scores) in OPENSTL.items()}


@pytest.mark.parametrize("experiment", OPENSTL)
def test_rows_of_openstl_are_trained_as_there(experiment):
    config = composed("train", f"experiment={experiment}", "output=x")
    data, optimizer = plain(config.data), plain(config.optimizer)
    assert (data["input_steps"], data["forecast_steps"], data["batch_size"], data["online"]) == (10, 10, 16, True)
    assert (data["sequences"]["train"], data["digits"]) == (10_000, data["digits"] | {"images": [0, 60_000]})
    assert data["speed"] == pytest.approx([0.1 * 36, 0.1 * 36], abs=2e-6)
    assert data["files"]["test"].endswith("mnist_test_seq.npy")
    assert (config.trainer.max_epochs, config.loss._target_.endswith("MeanSquaredError")) == (200, True)
    rate = OPENSTL[experiment][0]
    assert (optimizer["optimizer"]["lr"], optimizer["schedule"]["max_lr"]) == (rate, rate)
    parameter = torch.nn.Parameter(torch.zeros(1))
    built = build(config.optimizer)
    steps = built["optimizer"]([parameter])
    schedule = built["schedule"](optimizer=steps, total_steps=100)
    rates = []
    for _ in range(100):
        rates.append(steps.param_groups[0]["lr"])
        steps.step()
        schedule.step()
    assert (rates[0], max(rates), rates.index(max(rates))) == pytest.approx((rate / 25, rate, 29))
    assert rates[-1] < 1e-3 * rate
    # Encoder, forecaster, head: gates × (channels in × 25 + bias); the forecaster's lowest layer has no input.
    layers = 3 * 512 * (256 * 25 + 1)
    by_hand = 2 * layers + 512 * (144 * 25 + 1) + 512 * (128 * 25 + 1) + 16 * (4 * 128 + 1)
    counted = {"openstl_predrnn_v2": 23_855_104, "openstl_simvp_gsta": 46_769_665}
    assert count_parameters(config) == ({"openstl_convlstm": by_hand} | counted)[experiment]


def test_the_days_of_table_2():
    for experiment in ("paper_radar", "paper_radar_fc_lstm"):
        archives = plain(composed("train", f"experiment={experiment}", "output=x").data)["archives"]
        source = archives["source"]
        assert (source["years"], source["day_count"], source["day_list"]) == ([2011, 2013], 97, None)
        assert (source["masks"], archives["clutter"]) == ("ignore", "kmeans")


def test_the_printed_scores():
    tables = {name: OmegaConf.load(CONFIGS / "printed" / f"{name}.yaml") for name in PRINTED}
    mnist = {row.folder: row.printed.cross_entropy for row in tables["mnist"].rows}
    assert mnist == PRINTED["mnist"]
    names = ("rainfall_mse", "csi", "far", "pod", "correlation")
    assert [score.score for score in tables["radar"].scores] == list(names)
    radar = {row.model: tuple(row.printed[n] for n in names) for row in tables["radar"].rows if "printed" in row}
    assert radar == PRINTED["radar"]
    networks = {row.folder for table in tables.values() for row in table.rows if row.get("network")}
    assert networks == {*PRINTED["mnist"], "paper_radar", "paper_radar_fc_lstm"}


@pytest.mark.parametrize("experiment", ["mnist_fc_lstm", "paper_radar_fc_lstm", "paper_radar"])
def test_check_reports_the_count_even_without_data(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.data.mnist.files.IMAGES_URL", "http://127.0.0.1:9/")
    places = [f"data.mnist={tmp_path}", f"data.folder={tmp_path}"] if "mnist" in experiment else [
        f"data.archives.source.folder={tmp_path}"]  # fmt: skip
    code, message = run("check", f"experiment={experiment}", *places, f"output={tmp_path / 'check.json'}")
    assert json.loads((tmp_path / "check.json").read_text())["parameters"] == (TABLE_1 | TABLE_2)[experiment]
    assert code == 1
    assert "no MNIST in" in message or "expected radarPNG" in message


def test_what_the_special_rows_change():
    main = plain(composed("train", "experiment=mnist_convlstm_3layers", "output=x").data)
    assert (main["digits"], main["speed"]) == (main["test_digits"], [3.0, 5.0])
    assert main["digits"]["images"] == [0, 500]
    other = plain(composed("train", "experiment=mnist_three_digits", "output=x").data)
    assert other["digits"] == main["digits"]
    assert (other["test_digits"]["images"], other["test_digits"]["per_sequence"]) == ([500, 1000], 3)
    online = plain(composed("train", "experiment=mnist_online", "output=x").data)
    assert (online["online"], online["digits"]["images"], online["speed"]) == (True, [0, 60000], [0.0, 5.0])
