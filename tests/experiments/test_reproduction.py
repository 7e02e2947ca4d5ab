"""The paper's experiments at tiny size, from the command to scores and report."""

import json

import numpy as np
import pytest

from nowcast.data.paper.filter import PaperFilter
from nowcast.data.paper.hko import HkoTree
from tests.data.digits import write_images
from tests.data.paper.hko_tree import write_day
from tests.programs import TINY, rows, run


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
    "data.sequences.train=6",
    "data.sequences.val=3",
    "data.sequences.test=3",
    "data.batch_size=3",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
]


@pytest.mark.parametrize(
    ("experiment", "size"),
    [
        ("mnist_fc_lstm", ["model.hidden=[8,8]"]),
        pytest.param("mnist_convlstm_2x128", ["model.hidden=[4,4]"], marks=pytest.mark.thorough),
    ],
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


@pytest.mark.thorough
def test_a_trained_network_is_scored_on_three_unseen_digits(digits):
    settings, folder = digits
    output = folder / "ood"
    train = ["experiment=mnist_convlstm_2x128", "model.hidden=[2,2]", *settings, *SMALL, "trainer.max_epochs=1"]
    assert run("train", *train, f"output={output}") == (0, "")
    unseen = ["+data.test_digits.images=[500,1000]", "+data.test_digits.per_sequence=3"]
    checkpoint = f"checkpoint={output / 'checkpoints' / 'best.ckpt'}"
    assert run("evaluate", checkpoint, *unseen, f"output={folder / 'ood_scores'}") == (0, "")
    usual = rows(output / "evaluation" / "frames.csv")[0]
    other = rows(folder / "ood_scores" / "frames.csv")[0]
    assert usual["mse"] != other["mse"]
    code, message = run("predict", checkpoint, f"input={__file__}", f"output={folder / 'no.nc'}")  # a file is there
    assert code == 1
    assert "MovingMnist, which says nothing of timesteps_seconds and cell_km: it forecasts no radar frames" in message


def test_pictures_are_not_trained_on_as_if_they_were_rain(digits, tmp_path):
    settings, folder = digits
    typed = ["experiment=mnist_convlstm_2x128", "model.hidden=[2,2]", *settings, *SMALL, f"output={folder / 'as_rain'}"]
    code, message = run("train", *typed, "scaling=paper")
    assert code == 1
    assert "scaling is one of rain_rate (GreyScale), and the data is brightness; add scaling=brightness" in message
    rain = [*TINY, f"data.archives.folder={tmp_path / 'echoes'}", f"output={tmp_path / 'run'}"]
    code, message = run("train", *rain, "scaling=brightness")
    assert code == 1
    assert "scaling is one of brightness (Brightness), and the data is rain_rate; add scaling=paper" in message


def test_persistence_alone_on_moving_digits(digits):
    settings, folder = digits
    code = run(
        "evaluate", "model=persistence", "data=moving_mnist", "frame_scores=frames", "verification.thresholds=[]",
        *settings,
        "data.sequences.test=3", "data.sequences.train=1", "data.sequences.val=1", f"output={folder / 'persistence'}",
    )  # fmt: skip
    assert code == (0, "")
    assert rows(folder / "persistence" / "frames.csv")[0]["model"] == "persistence"


def test_missing_mnist_ends_with_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.data.mnist.files.IMAGES_URL", "http://127.0.0.1:9/")
    places = [f"data.mnist={tmp_path / 'none'}", f"data.folder={tmp_path}", f"output={tmp_path / 'run'}"]
    code, message = run("train", "experiment=mnist_fc_lstm", *places)
    assert code == 1
    assert "no MNIST in" in message
    assert "data.mnist=<folder>" in message


@pytest.mark.thorough
def test_digits_become_a_report(digits):
    settings, folder = digits
    runs = folder / "reported"
    row = "mnist_convlstm_3layers"
    train = [f"experiment={row}", "model.hidden=[2,2,2]", *settings, *SMALL]
    assert run("train", *train, f"output={runs / row}") == (0, "")
    unseen = ["+data.test_digits.images=[500,1000]", "+data.test_digits.per_sequence=3"]
    checkpoint = f"checkpoint={runs / row / 'checkpoints' / 'best.ckpt'}"
    other = runs / "mnist_three_digits" / "evaluation"
    assert run("evaluate", checkpoint, *unseen, f"output={other}") == (0, "")
    assert run("paper_report", "printed=mnist", f"runs={runs}") == (0, "")
    text = (runs / "report_mnist" / "report.md").read_text()
    for path, name in ((runs / row / "evaluation", "5x5-64"), (other, "5x5-64, three unseen digits")):
        ours = next(r for r in rows(path / "frames.csv") if r["model"] == "convlstm")["cross_entropy"]
        assert f"-{name} (ours: hidden: [128, 64, 64] → [2, 2, 2]) | {float(ours):.2f} | " in text
    departures = text[text.index("`mnist_three_digits` (the paper's") :]
    assert "model.hidden: [128, 64, 64] → [2, 2, 2]" in departures
    assert "test_digits" not in departures  # they are those of the paper's out-of-domain row


@pytest.mark.thorough
def test_a_row_of_openstl_becomes_a_report(digits):
    settings, folder = digits
    runs, row = folder / "openstl", "openstl_convlstm"
    sequences = np.random.default_rng(0).integers(0, 256, (20, 3, 64, 64), dtype=np.uint8)
    np.save(folder / "mnist_test_seq.npy", sequences)
    train = [f"experiment={row}", "model.hidden=[2,2,2,2]", *settings, *SMALL, "data.digits.images=[0,1000]"]
    train += [f"data.files.test={folder / 'mnist_test_seq.npy'}"]
    assert run("train", *train, f"output={runs / row}") == (0, "")
    assert run("paper_report", "printed=openstl", f"runs={runs}") == (0, "")
    text = (runs / "report_openstl" / "report.md").read_text()
    ours = {
        each["model"]: each
        for each in rows(runs / row / "evaluation" / "frames.csv")
        if each["lead_time_frames"] == "overall"
    }["convlstm"]
    mse, ssim = float(ours["mse"]), float(ours["ssim"])
    assert f"| {mse:.2f} | 29.80 | {mse - 29.80:+.2f} | " in text
    assert f"| {ssim:.4f} | 0.9288 | {ssim - 0.9288:+.4f} | " in text
    assert "SimVP+gSTA-S (folder `openstl_simvp_gsta`)" in text  # not there yet


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
        pytest.param("paper_radar", ["model.hidden=[2,2]"], marks=pytest.mark.thorough),
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
