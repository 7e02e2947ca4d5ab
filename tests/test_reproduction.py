"""The paper's experiments as configs: counts of every row, settings, and tiny runs from end to end."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from nowcast.check import count_parameters
from nowcast.config import CONFIGS, build, plain
from nowcast.data.hko import HkoTree
from nowcast.data.paper_filter import PaperFilter
from tests.data.digits import write_images
from tests.data.hko_tree import write_day
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


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


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
    assert build(config.loss).reduction == "sequence"
    # "Early stopping" of the authors is the best epoch of all 200.
    monitor = config.callbacks.checkpoint
    assert (monitor.monitor, monitor.mode, monitor.save_top_k) == ("val/loss", "min", 1)
    assert (config.callbacks.early_stopping, config.callbacks.ema) == (None, None)
    assert (config.seed, config.data.seed, config.calibration) == (1000, 1000, "none")
    if config.model._target_.endswith("ConvLSTM"):
        assert (config.model.peephole, config.model.output_peephole) == ("channel", "current")
    else:
        assert config.model.peephole == "diagonal"


@pytest.mark.parametrize(("experiment", "count"), TABLE_1.items())
def test_rows_of_table_1(experiment, count):
    config = composed("train", f"experiment={experiment}", "output=x")
    assert count_parameters(config) == count
    data = plain(config.data)
    assert (data["train_sequences"], data["val_sequences"], data["test_sequences"]) == (10000, 2000, 3000)
    assert (data["input_steps"], data["forecast_steps"], data["batch_size"]) == (10, 10, 16)
    assert data["digits_per_sequence"] == 2
    assert config.scaling._target_.endswith("Brightness")
    assert list(config.metrics) == ["frames"]
    if config.model._target_.endswith("ConvLSTM"):
        assert config.model.patch == 4


@pytest.mark.parametrize(("experiment", "count"), TABLE_2.items())
def test_rows_of_table_2(experiment, count):
    config = composed("train", f"experiment={experiment}", "output=x")
    assert count_parameters(config) == count
    data = plain(config.data)
    expected = {
        "input_steps": 5, "forecast_steps": 15, "stride": 1, "crop": None, "eval_crop": None, "random_crops": False,
        "augment": "none", "min_rain_fraction": 0, "min_valid_fraction": 0, "importance_floor": None,
        "samples_per_epoch": None, "cell_km": None, "split": "paper", "block_minutes": 40 * 6, "gap_minutes": 0,
        "val_fraction": 1 / 6, "test_fraction": 1 / 6, "batch_size": 8,
    }  # fmt: skip
    assert {key: data[key] for key in expected} == expected
    scale = {"zr_a": 118.239, "zr_b": 1.5241, "min_dbz": -10.0, "max_dbz": 60.0}
    pipeline = {"crop": 330, "disk_radius": 10, "size": 100} | scale
    assert {key: data["archives"][key] for key in pipeline} == pipeline
    assert {key: config.scaling[key] for key in scale} == scale
    paper = {key: value for key, value in plain(config.metrics.paper).items() if not key.startswith("_")}
    assert paper == {"threshold": 0.5, "epsilon": 1e-9} | scale
    assert {"persistence", "rover1", "rover2", "rover3"} <= {k for k, v in config.baselines.items() if v is not None}
    if config.model._target_.endswith("ConvLSTM"):
        kernels = (list(config.model.input_kernels), list(config.model.state_kernels))
        assert (config.model.patch, list(config.model.hidden), kernels) == (2, [64, 64], ([3, 3], [3, 3]))
    else:
        assert (list(config.model.frame_shape), list(config.model.hidden)) == ([100, 100], [2000, 2000])


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
    counts = {row.folder: row.parameters for table in tables.values() for row in table.rows if "parameters" in row}
    assert counts == {name: count for name, count in (TABLE_1 | TABLE_2).items() if name in counts}
    assert set(counts) == {*PRINTED["mnist"], "paper_radar", "paper_radar_fc_lstm"}


@pytest.mark.parametrize("experiment", ["mnist_fc_lstm", "paper_radar_fc_lstm", "paper_radar"])
def test_check_reports_the_count_even_without_data(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.data.mnist_files.IMAGES_URL", "http://127.0.0.1:9/")
    places = [f"data.mnist={tmp_path}", f"data.folder={tmp_path}"] if "mnist" in experiment else [
        f"data.archives.source.folder={tmp_path}"]  # fmt: skip
    code, message = run("check", f"experiment={experiment}", *places, f"output={tmp_path / 'check.json'}")
    assert json.loads((tmp_path / "check.json").read_text())["parameters"] == (TABLE_1 | TABLE_2)[experiment]
    assert code == 1
    assert "no MNIST in" in message or "expected radarPNG" in message


def test_what_the_special_rows_change():
    main = plain(composed("train", "experiment=mnist_convlstm_3layers", "output=x").data)
    assert (main["digits"], main["test_digits"], main["speed"]) == ([0, 500], [0, 500], [3.0, 5.0])
    other = plain(composed("train", "experiment=mnist_three_digits", "output=x").data)
    assert (other["digits"], other["test_digits"], other["test_digits_per_sequence"]) == ([0, 500], [500, 1000], 3)
    online = plain(composed("train", "experiment=mnist_online", "output=x").data)
    assert (online["online"], online["digits"], online["speed"]) == (True, [0, 60000], [0.0, 5.0])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    write_images(folder / "mnist", 1000)
    return [
        f"data.mnist={folder / 'mnist'}",
        f"data.folder={folder / 'sequences'}",
        "data.workers=0",
    ], folder


SMALL = [
    "data.train_sequences=6",
    "data.val_sequences=3",
    "data.test_sequences=3",
    "data.batch_size=3",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
]


@pytest.mark.parametrize(
    ("experiment", "size"),
    [("mnist_fc_lstm", ["model.hidden=[8,8]"]), ("mnist_convlstm_2x128", ["model.hidden=[4,4]"])],
)
def test_moving_mnist_trains_scores_and_evaluates(digits, experiment, size):
    settings, folder = digits
    output = folder / experiment
    assert run("train", f"experiment={experiment}", *settings, *SMALL, *size, f"output={output}") == (0, "")
    overall = {
        row["model"]: row for row in rows(output / "evaluation" / "frames.csv") if row["lead_time_frames"] == "overall"
    }
    network = "fclstm" if "fc" in experiment else "convlstm"
    assert set(overall) == {network, "persistence"}
    assert 0 < float(overall[network]["cross_entropy"]) < 60000
    assert overall["persistence"]["cross_entropy"] == "nan"
    assert (output / "evaluation" / "forecast.png").stat().st_size > 1000
    assert not (output / "evaluation" / "scores.csv").exists()  # nothing here is rain
    losses = [float(row["val/loss"]) for row in rows(output / "metrics.csv") if row["val/loss"]]
    assert len(losses) == 2
    # Validation loss is the cross-entropy per sequence: scored on the validation split, the checkpoint has the best.
    best = output / "checkpoints" / "best.ckpt"
    again = folder / f"{experiment}_val"
    assert run("evaluate", f"checkpoint={best}", "split=val", f"output={again}") == (0, "")
    scored = next(row for row in rows(again / "frames.csv") if row["lead_time_frames"] == "overall")
    np.testing.assert_allclose(float(scored["cross_entropy"]), min(losses), rtol=1e-5)


def test_a_trained_network_is_scored_on_three_unseen_digits(digits):
    settings, folder = digits
    output = folder / "ood"
    train = ["experiment=mnist_convlstm_2x128", "model.hidden=[2,2]", *settings, *SMALL, "trainer.max_epochs=1"]
    assert run("train", *train, f"output={output}") == (0, "")
    unseen = ["data=moving_mnist", "data.test_digits=[500,1000]", "data.test_digits_per_sequence=3"]
    checkpoint = f"checkpoint={output / 'checkpoints' / 'best.ckpt'}"
    assert run("evaluate", checkpoint, *unseen, f"output={folder / 'ood_scores'}") == (0, "")
    usual = rows(output / "evaluation" / "frames.csv")[0]
    other = rows(folder / "ood_scores" / "frames.csv")[0]
    assert usual["mse"] != other["mse"]


def test_persistence_alone_on_moving_digits(digits):
    settings, folder = digits
    code = run(
        "evaluate", "model=persistence", "data=moving_mnist", "metrics=frames", "verification.thresholds=[]", *settings,
        "data.test_sequences=3", "data.train_sequences=1", "data.val_sequences=1", f"output={folder / 'persistence'}",
    )  # fmt: skip
    assert code == (0, "")
    assert rows(folder / "persistence" / "frames.csv")[0]["model"] == "persistence"


def test_missing_mnist_ends_with_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.data.mnist_files.IMAGES_URL", "http://127.0.0.1:9/")
    places = [f"data.mnist={tmp_path / 'none'}", f"data.folder={tmp_path}", f"output={tmp_path / 'run'}"]
    code, message = run("train", "experiment=mnist_fc_lstm", *places)
    assert code == 1
    assert "no MNIST in" in message
    assert "data.mnist=<folder>" in message


# One synthetic day of 240 small frames, every ninth window.
SMALL_DAY = [
    "data.archives.source.archives.train_events=1",
    "data.archives.source.archives.rain.shape=[32,32]",
    "data.archives.crop=32",
    "data.archives.disk_radius=2",
    "data.archives.size=16",
    "data.stride=9",
    "data.workers=0",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
]


def small_day(folder):
    return [
        *SMALL_DAY,
        f"data.archives.folder={folder / 'paper'}",
        f"data.archives.source.archives.folder={folder / 'echoes'}",
    ]


def test_radar_runs_become_a_report(tmp_path, capsys):
    train = ["experiment=paper_radar_synthetic", "model.hidden=[4,4]", *small_day(tmp_path)]
    assert run("train", *train, f"output={tmp_path / 'paper_radar'}") == (0, "")
    assert "test and training windows share days" in capsys.readouterr().out.replace("\n", " ")
    assert run("paper_report", "printed=radar", f"runs={tmp_path}", "quick=true") == (0, "")
    folder = tmp_path / "report_radar"
    text = (folder / "report.md").read_text()
    overall = {
        row["model"]: row
        for row in rows(tmp_path / "paper_radar" / "evaluation" / "paper.csv")
        if row["lead_time_minutes"] == "overall"
    }
    assert set(overall) == {"convlstm", "persistence", "extrapolation", "rover1", "rover2", "rover3"}
    ours = float(overall["rover2"]["csi"])
    line = next(line for line in text.splitlines() if line.startswith("| ROVER2 |"))
    assert f"| {ours:.3f} | 0.522 | {ours - 0.522:+.3f} |" in line
    assert "runs behind this page are reduced" in text
    assert "test and training windows share days" in text
    assert "`model.hidden: [64, 64] → [4, 4]`" in text
    assert "- FC-LSTM-2000-2000 (folder `paper_radar_fc_lstm`): not begun" in text
    assert "SyntheticArchives" in text
    for name in ("lead_times.png", "epochs.png", "forecast_1.png"):
        with Image.open(folder / name) as picture:
            assert picture.convert("L").getextrema() != (255, 255)
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 3


def test_digits_become_a_report(digits):
    settings, folder = digits
    runs = folder / "reported"
    row = "mnist_convlstm_3layers"
    train = [f"experiment={row}", "model.hidden=[2,2,2]", *settings, *SMALL]
    assert run("train", *train, f"output={runs / row}") == (0, "")
    unseen = ["data=moving_mnist", "data.test_digits=[500,1000]", "data.test_digits_per_sequence=3"]
    checkpoint = f"checkpoint={runs / row / 'checkpoints' / 'best.ckpt'}"
    other = runs / "mnist_three_digits" / "evaluation"
    assert run("evaluate", checkpoint, *unseen, f"output={other}") == (0, "")
    assert run("paper_report", "printed=mnist", f"runs={runs}") == (0, "")
    text = (runs / "report_mnist" / "report.md").read_text()
    for path, name in ((runs / row / "evaluation", "5x5-64"), (other, "5x5-64, three unseen digits")):
        ours = next(r for r in rows(path / "frames.csv") if r["model"] == "convlstm")["cross_entropy"]
        assert f"-{name} | {float(ours):.2f} | " in text
    departures = text[text.index("`mnist_three_digits` (the paper's") :]
    assert "model.hidden: [128, 64, 64] → [2, 2, 2]" in departures
    assert "test_digits" not in departures  # they are those of the paper's out-of-domain row


def test_a_report_without_runs_says_what_makes_them(tmp_path):
    code, message = run("paper_report", "printed=mnist", f"runs={tmp_path}")
    assert code == 1
    assert "mnist_fc_lstm" in message
    assert "scripts/reproduce_paper.sh" in message
    assert not list(tmp_path.iterdir())


SCRIPT = Path(__file__).parents[1] / "scripts" / "reproduce_paper.sh"


def reproduce(*arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_command_reproduces_the_radar_experiment_and_goes_on_where_it_stopped(tmp_path):
    command = ["radar", "--quick", "--output", str(tmp_path / "out"), "--", *small_day(tmp_path)]
    first = reproduce(*command)
    assert first.returncode == 0, first.stderr
    report = tmp_path / "out" / "report_radar" / "report.md"
    text = report.read_text()
    assert "Not there yet" not in text
    (tmp_path / "out" / "paper_radar_fc_lstm").rename(tmp_path / "elsewhere")
    assert reproduce(*command).returncode == 0
    again = report.read_text()
    assert [line for line in text.splitlines() if line.startswith("| ")][:8] == [
        line for line in again.splitlines() if line.startswith("| ")
    ][:8]
    assert reproduce(*command).stdout.count("finished already") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--data", "x"], "--data belongs to one experiment"), (["radar", "--data", "/nowhere"], "no such folder"),
     (["rain"], "unknown argument rain"), (["mnist", "--data"], "--data needs a folder")],
)  # fmt: skip
def test_the_script_refuses_what_it_does_not_understand(arguments, said):
    ended = reproduce(*arguments)
    assert ended.returncode != 0
    assert said in ended.stderr


def test_a_folder_without_radar_is_explained(tmp_path):
    ended = reproduce("radar", "--data", str(tmp_path), "--output", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert "expected radarPNG/2011/05/03/RAD110503000000.png" in ended.stderr
    assert "Hong Kong Observatory" in ended.stderr


# -- the radar experiment ----------------------------------------------------------------------------------


RADAR = [
    "data.archives.source.day_count=1",
    "data.archives.crop=32",
    "data.archives.disk_radius=2",
    "data.archives.size=16",
    "data.workers=0",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
    "picture=false",
]


def persistence_by_hand(tree, starts):
    """Scores of table 2 for the last seen frame, from the pictures: each of 15 lead times, then their mean."""
    source = HkoTree(str(tree), (2011, 2013), 1, None, "ignore")
    grey = np.stack([PaperFilter(32, 2, 16)(frame) for frame in source.days()[0].frames()]).astype(float)
    rate = 10 ** ((70 * grey - 10 - 10 * np.log10(118.239)) / 15.241)
    values = np.empty((len(starts), 15, 5))
    for window, start in enumerate(starts):
        p, r = grey[start + 4], rate[start + 4]
        for lead, now in enumerate(range(start + 5, start + 20)):
            hits = ((r > 0.5) & (rate[now] > 0.5)).sum()
            misses = ((r <= 0.5) & (rate[now] > 0.5)).sum()
            false_alarms = ((r > 0.5) & (rate[now] <= 0.5)).sum()
            values[window, lead] = (
                ((r - rate[now]) ** 2).mean(),
                (hits + 1e-9) / (hits + misses + false_alarms + 1e-9),
                false_alarms / (hits + false_alarms + 1e-9),
                (hits + 1e-9) / (hits + misses + 1e-9),
                (p * grey[now]).sum() / (np.sqrt((p**2).sum() * (grey[now] ** 2).sum()) + 1e-9),
            )
    by_lead_time = values.mean(axis=0)
    return np.vstack([by_lead_time.mean(axis=0), by_lead_time])


@pytest.mark.parametrize(
    ("experiment", "size"),
    [
        ("paper_radar", ["model.hidden=[2,2]"]),
        pytest.param(
            "paper_radar_fc_lstm", ["model.hidden=[4,4]", "model.frame_shape=[16,16]"], marks=pytest.mark.slow
        ),
    ],
)
def test_the_radar_experiment_on_a_small_tree(tmp_path, capsys, experiment, size):
    write_day(tmp_path / "HKO-7", "2011-05-03", 0.9, side=40, distinct=12)
    places = [f"data.archives.source.folder={tmp_path / 'HKO-7'}", f"data.archives.folder={tmp_path / 'made'}"]
    output = tmp_path / "run"
    assert run("train", f"experiment={experiment}", *RADAR, *size, *places, f"output={output}") == (0, "")
    network = "fclstm" if "fc" in experiment else "convlstm"
    models = {network, "persistence", "extrapolation", "rover1", "rover2", "rover3"}
    paper = rows(output / "evaluation" / "paper.csv")
    assert {row["model"] for row in paper} == models
    leads = [row["lead_time_minutes"] for row in paper if row["model"] == "rover2"]
    assert leads == ["overall", *(str(6.0 * (k + 1)) for k in range(15))]
    pooled = {row["model"] for row in rows(output / "evaluation" / "scores.csv")}
    assert pooled == models  # both countings stand side by side
    assert "share days" in capsys.readouterr().out
    windows = json.loads((output / "split.json").read_text())["hko_20110503"]
    assert {split: len(windows[split]) for split in ("train", "val", "test")} == {"train": 84, "val": 21, "test": 21}
    minutes = np.array(windows["test"], dtype="datetime64[m]") - np.datetime64("2011-05-03T00:00", "m")
    expected = persistence_by_hand(tmp_path / "HKO-7", minutes.astype(int) // 6)
    names = ("rainfall_mse", "csi", "far", "pod", "correlation")
    ours = [[float(row[name]) for name in names] for row in paper if row["model"] == "persistence"]
    np.testing.assert_allclose(ours, expected, rtol=2e-3)
    assert np.ptp(expected[:, 1]) > 0.01  # scores that differ by lead time


def test_a_missing_tree_ends_with_one_message(tmp_path):
    places = [f"data.archives.source.folder={tmp_path / 'none'}", f"data.archives.folder={tmp_path}"]
    code, message = run("train", "experiment=paper_radar", *places, f"output={tmp_path / 'run'}")
    assert code == 1
    for words in ("radarPNG", "RAD110503000000.png", "on request", "data.archives.source.folder"):
        assert words in message
