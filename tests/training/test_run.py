"""What a run finds out before it trains, and on what it scores afterwards."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nowcast.config.build import build, from_plain
from nowcast.data.interface import lead_times_of
from nowcast.forecasting import checkpoint
from nowcast.forecasting.calibration.fitting import fit_calibration
from nowcast.forecasting.calibration.frequency import FrequencyCalibration
from nowcast.forecasting.calibration.frequency_fit import CalibrationFit
from nowcast.forecasting.calibration.method import Frequency
from nowcast.training.run import scoring_device
from tests.conftest import thinned
from tests.data.archives import moving_rain
from tests.programs import rows, run

SMALL = [
    "experiment=convlstm", "data=radar", "data.input_steps=3", "data.forecast_steps=2", "data.crop=16",
    "data.windows.stride=2", "data.workers=0", "data.batch_size=4", "data.sampling.min_rain_fraction=0",
    "data.sampling.samples_per_epoch=8", "model.hidden=[4,4]", "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false", "callbacks.progress=null", "callbacks.watch=null", "scores=basic",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _few_windows_are_scored_beside_simple_forecasts():
    """For the checkpoint, which no test here looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nowcast.verification.validation.MOST_WINDOWS", 4)
        yield


def archives(folder, **steps):
    """One archive of moving rain per name, with a time step in minutes."""
    named = enumerate(steps.items())
    return [moving_rain(folder / f"{name}.nc", frames=20, step=step, seed=n) for n, (name, step) in named]


def on(paths, *, test, val):
    names = f"data.split.test_archives=[{','.join(test)}]", f"data.split.val_archives=[{','.join(val)}]"
    given = ",".join(map(str, paths))
    return [
        *SMALL,
        f"data.archives=[{given}]",
        "data.split.method=archives",
        "data.windows.allow_mixed_timesteps=true",
        *names,
    ]


@pytest.fixture(scope="module")
def of_six_minutes(tmp_path_factory):
    """A folder with the run that was validated, and calibrated, every six minutes and tested every five."""
    folder = tmp_path_factory.mktemp("six")
    settings = on(archives(folder, a=5, b=5, c=6), test=["a"], val=["c"])
    assert run("train", *settings, "picture=false", f"output={folder / 'run'}") == (0, "")
    return folder


@pytest.mark.thorough
def test_scores_carry_the_lead_times_of_the_split_that_is_scored(of_six_minutes, tmp_path):
    best = of_six_minutes / "run" / "checkpoints" / "best.ckpt"
    typed = [f"checkpoint={best}", "scores=basic", "html=false"]
    for split, leads in (("test", {5.0, 10.0}), ("val", {6.0, 12.0})):
        folder = tmp_path / split
        assert run("evaluate", *typed, f"split={split}", f"output={folder}") == (0, "")
        assert {float(row["lead_time_minutes"]) for row in rows(folder / "scores.csv")} == leads


@pytest.mark.thorough
def test_mixed_test_steps_are_refused_before_training_and_only_where_they_are_scored(tmp_path):
    settings = on(archives(tmp_path, a=5, b=5, c=6, d=5), test=["a", "c"], val=["d"])
    code, message = run("train", *settings, f"output={tmp_path / 'scored'}")
    assert (code, "5 min in a; 6 min in c" in message) == (1, True)
    assert not (tmp_path / "scored" / "config.yaml").exists()
    assert run("train", *settings, "evaluate=false", f"output={tmp_path / 'unscored'}") == (0, "")
    typed = [f"checkpoint={tmp_path / 'unscored' / 'checkpoints' / 'best.ckpt'}", "scores=basic", "html=false"]
    best = checkpoint.load(tmp_path / "unscored" / "checkpoints" / "best.ckpt")
    assert best.calibrated() is not None  # it is not scored, but ready to forecast
    apart = [text for text in message.replace(",", " ").split() if text.startswith("data.archives=[")]
    assert len(apart) == 2
    for number, (archive, leads) in enumerate(zip(apart, ({5.0, 10.0}, {6.0, 12.0}), strict=True)):
        folder = tmp_path / str(number)
        assert run("evaluate", *typed, archive, "data.split.method=archives", f"output={folder}") == (0, "")
        assert {float(row["lead_time_minutes"]) for row in rows(folder / "scores.csv")} == leads


def test_a_baseline_that_refuses_the_test_grids_does_so_before_training(tmp_path):
    paths = archives(tmp_path, a=5, b=5)
    paths.append(moving_rain(tmp_path / "large.nc", frames=8, shape=(1100, 1030)))
    settings = [*on(paths, test=["large"], val=["b"]), "data.eval_crop=null", "model@baselines.rover1=rover1"]
    code, message = run("train", *settings, f"output={tmp_path / 'run'}")
    assert (code, "coarsest grid (35, 33)" in message) == (1, True)
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize(
    "metrics", thinned([["frame_scores=paper", "frame_scores.paper=null"], ["frame_scores=pooled"]], fast=[0])
)
def test_a_variant_of_scores_can_be_left_out(tmp_path, metrics):
    typed = ["data=radar", f"data.archives=[{archives(tmp_path, a=5)[0]}]", "data.split.method=all", "scores=basic"]
    typed += ["model=persistence", "data.crop=16", "data.workers=0", "html=false", *metrics]
    assert run("evaluate", *typed, f"output={tmp_path / 'scores'}") == (0, "")
    assert not (tmp_path / "scores" / "paper.csv").exists()


def test_the_calibration_goes_by_minutes_where_validation_mixes_time_steps(tmp_path):
    settings = on(archives(tmp_path, a=5, b=5, c=6, d=5), test=["a"], val=["c", "d"])
    assert run("train", *settings, "picture=false", f"output={tmp_path / 'run'}") == (0, "")
    assert "was fitted" not in (tmp_path / "run" / "train.log").read_text()  # all lead times of the test were fitted
    loaded = checkpoint.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert loaded.calibration.lead_times == (5.0, 6.0, 10.0, 12.0)
    config = from_plain(loaded.config)
    for archive, leads in (("c", (6.0, 12.0)), ("d", (5.0, 10.0))):  # each by itself, with a plain loop
        config.data.split.val_archives = [archive]
        apart = CalibrationFit(2, 1024)
        for batch in build(config.data).val_dataloader():
            with torch.inference_mode():
                grey = loaded.forecaster.said(batch["inputs"], 2)
            apart.update(grey, loaded.forecaster.scaling.to_grey(batch["targets"]), batch["mask"])
        assert torch.equal(apart.fit().table, loaded.calibration.at(leads).table)
        assert not torch.equal(apart.fit().table, FrequencyCalibration(2, 1024).table)


def test_a_calibration_of_six_minutes_is_mapped_to_tests_of_five(of_six_minutes, tmp_path, capsys):
    said = (of_six_minutes / "run" / "train.log").read_text()
    assert "lead times of 6 to 12: 5 is earlier than all, and calibrated as the first" in said
    best = of_six_minutes / "run" / "checkpoints" / "best.ckpt"
    loaded = checkpoint.load(best)
    calibration = loaded.with_calibration(loaded.calibration.at([5.0, 10.0]))
    table = loaded.calibration.table
    torch.testing.assert_close(calibration.calibration.table, torch.stack([table[0], table[0] / 3 + table[1] * 2 / 3]))
    scores = rows(of_six_minutes / "run" / "evaluation" / "errors.csv")
    mae = [float(row["mae"]) for row in scores if row["model"] == "convlstm_calibrated"]
    total, count = torch.zeros(2, 2, dtype=torch.float64)
    for batch in build(from_plain(loaded.config).data).test_dataloader():
        with torch.inference_mode():
            error = (calibration(batch["inputs"], 2).single() - batch["targets"]).abs().double()
        total += torch.where(batch["mask"], error, 0.0).sum(dim=(0, 2, 3, 4))
        count += batch["mask"].sum(dim=(0, 2, 3, 4))
    assert mae == pytest.approx((total / count).tolist(), rel=1e-6)
    output = tmp_path / "nowcast.nc"
    typed = [f"checkpoint={best}", f"input={of_six_minutes / 'c.nc'}", "forecast_steps=3", f"output={output}"]
    assert run("predict", *typed) == (0, "")
    assert "lead times of 6 to 12: 18 is later than all" in capsys.readouterr().err


def test_a_calibration_from_before_lead_times_were_stored(trained, tmp_path):
    best, leads = trained / "checkpoints" / "best.ckpt", [5.0, 10.0, 15.0, 20.0]
    content = checkpoint.read(best)
    assert content["calibration"]["applied"]["lead_times"] == leads
    content["calibration"] = {"levels": 1024, "lead_times": 4, "state": content["calibration"]["state"]}
    for steps, known in (([300], tuple(leads)), ([300, 360], None)):
        content["nowcast"]["data"]["timesteps_seconds"] = steps
        checkpoint.save(content, tmp_path / "old.ckpt")
        old = checkpoint.load(tmp_path / "old.ckpt")
        assert old.calibration.lead_times == known
        assert torch.equal(old.calibration.at(leads).table, checkpoint.load(best).calibration.table)


@pytest.mark.thorough
def test_weights_of_one_scaling_with_the_config_of_another_are_refused(tmp_path):
    paths = archives(tmp_path, a=5, b=5, c=5)
    settings = [*on(paths, test=["a"], val=["b"]), "evaluate=false", "optimizer=rmsprop_paper"]
    assert run("train", *settings, f"output={tmp_path / 'run'}") == (0, "")
    content = checkpoint.read(tmp_path / "run" / "checkpoints" / "last.ckpt")
    content["nowcast"]["config"]["scaling"]["min_dbz"] = 0.0
    other = tmp_path / "other.ckpt"
    checkpoint.save(content, other)
    for program, typed in (
        ("evaluate", [f"output={tmp_path / 'scores'}"]),
        ("predict", [f"input={paths[0]}", f"output={tmp_path / 'nowcast.nc'}"]),
    ):
        code, message = run(program, f"checkpoint={other}", *typed)
        assert code == 1
        assert "trained with another scaling" in message
        assert "scaling.min_dbz: -10 → 0" in message
    # Its config says what the run has, its weights do not: nothing but the weights themselves can tell
    settings += ["scaling.min_dbz=0", f"resume={other}", "trainer.max_epochs=2", f"output={tmp_path / 'longer'}"]
    code, message = run("train", *settings)
    assert code == 1
    assert "scaling.min_dbz: -10 → 0" in message


def csi_of_validation(folder, config, threshold, calibrated):
    """Mean over the observed lead times of CSI on validation, of a checkpoint, by a plain loop."""
    loaded = checkpoint.load(folder / "checkpoints" / "last.ckpt")
    data, parts = build(from_plain(config).data), {}
    batches = list(data.val_dataloader())
    forecaster = loaded.forecaster
    if calibrated:
        forecaster = loaded.with_calibration(
            fit_calibration(forecaster, data, Frequency(1024, [0.1, 0.3]), torch.device("cpu"), lambda all, *_: all)
        )
    for batch in batches:
        leads = lead_times_of(data, int(batch["archive"][0]))
        with torch.inference_mode():
            rain = forecaster.at(leads)(batch["inputs"], 2).single()
        said, seen = rain >= threshold, batch["targets"] >= threshold
        for step, lead in enumerate(leads):
            count = parts.setdefault(lead, torch.zeros(3))
            for k, field in enumerate((said & seen, said, seen)):
                count[k] += (field & batch["mask"])[:, step].sum()
    return np.mean([float(hits / (said + seen - hits)) for hits, said, seen in parts.values() if seen > 0])


@pytest.mark.parametrize(
    ("calibration", "threshold"),
    [
        ("frequency", 2.0),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in (("frequency", 0.5), ("none", 0.5))),
    ],
)
def test_the_best_epoch_is_chosen_by_the_csi_of_what_is_used(tmp_path, calibration, threshold):
    paths = archives(tmp_path, a=5, b=5, c=6, d=5)
    settings = [*on(paths, test=["a"], val=["c", "d"]), "evaluate=false", f"verification.main_threshold={threshold}"]
    folder = tmp_path / "run"
    assert run("train", *settings, f"calibration={calibration}", f"output={folder}") == (0, "")
    config = checkpoint.load(folder / "checkpoints" / "best.ckpt").config
    assert config["callbacks"]["checkpoint"]["monitor"] == "val/csi"
    (logged,) = [float(row["val/csi"]) for row in rows(folder / "metrics.csv") if row["val/csi"]]
    expected = csi_of_validation(folder, config, threshold, calibration == "frequency")
    assert logged == pytest.approx(expected, abs=0.02 if calibration == "frequency" else 1e-6)
    if calibration == "frequency":
        assert logged > 0.05  # where the raw network, after one epoch, forecasts no event at all


@pytest.mark.thorough
def test_undefined_scores_do_not_stop_a_training_at_once(tmp_path):
    """No validation window has such rain, so that its CSI is undefined in every epoch."""
    settings = on(archives(tmp_path, a=5, b=5, c=5), test=["a"], val=["c"])
    settings += ["callbacks=early_stopping", "callbacks.watch=null", "callbacks.progress=null", "evaluate=false"]
    settings += ["verification.thresholds=[90]", "verification.main_threshold=90", "trainer.max_epochs=4"]
    assert run("train", *settings, "callbacks.early_stopping.patience=2", f"output={tmp_path / 'run'}") == (0, "")
    validated = [row["val/csi"] for row in rows(tmp_path / "run" / "metrics.csv") if row["val/csi"]]
    assert validated == ["nan", "nan"]


@pytest.mark.parametrize(
    ("trained_on", "scored_on"), [("cuda:1", "cuda:1"), ("cuda", "cuda"), ("cpu", "cpu"), ("mps", "cpu")]
)
def test_it_is_scored_where_it_was_trained(trained_on, scored_on):
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(trained_on)))
    assert scoring_device(trainer) == torch.device(scored_on)


@pytest.mark.parametrize("typed", ["trainer=gpu", "trainer.accelerator=cuda"])
def test_a_device_that_is_not_there_is_refused_in_words(tmp_path, monkeypatch, typed):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, message = run("train", typed, f"output={tmp_path / 'run'}")
    assert (code, f"{typed}, but torch sees no CUDA device" in message) == (1, True)
