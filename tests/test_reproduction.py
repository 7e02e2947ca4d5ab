"""The paper's experiments as configs: counts of every row, settings, and tiny runs from end to end."""

import csv

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from nowcast.check import count_parameters
from nowcast.config import CONFIGS, build, plain
from tests.data.digits import write_images
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


def composed(program, *overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(program, list(overrides))


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("experiment", "count"), TABLE_1.items())
def test_rows_of_table_1(experiment, count):
    config = composed("train", f"experiment={experiment}", "output=x")
    assert count_parameters(config) == count
    data = plain(config.data)
    assert (data["train_sequences"], data["val_sequences"], data["test_sequences"]) == (10000, 2000, 3000)
    assert (data["input_steps"], data["forecast_steps"], data["batch_size"]) == (10, 10, 16)
    assert data["digits_per_sequence"] == 2
    assert (config.trainer.max_epochs, config.trainer.gradient_clip_val) == (200, None)
    optimizer = plain(config.optimizer)
    assert optimizer["schedule"] is None
    settings = {key: value for key, value in optimizer["optimizer"].items() if not key.startswith("_")}
    assert settings == {"lr": 1e-3, "decay": 0.9, "eps": 1e-6}
    assert optimizer["optimizer"]["_target_"].endswith("PaperRMSProp")
    assert build(config.loss).reduction == "sequence"
    monitor = config.callbacks.checkpoint
    assert (monitor.monitor, monitor.mode, monitor.save_top_k) == ("val/loss", "min", 1)
    if "convlstm" in experiment:
        assert config.model.patch == 4


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
