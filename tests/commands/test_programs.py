"""The commands from end to end on tiny data, and what they say when something is wrong."""

import csv
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from PIL import Image

from nowcast.config.build import build
from nowcast.config.program import CONFIGS
from nowcast.forecasting import checkpoint
from nowcast.training.trainer import close_loggers
from tests.data.archives import frame, moving_rain, write
from tests.data.formats import fakes
from tests.programs import TINY, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run: its directory."""
    folder = tmp_path_factory.mktemp("run")
    code, message = run(
        "train", *TINY, f"output={folder / 'run'}", f"data.archives.folder={folder / 'data'}", "hydra.job.chdir=false"
    )
    assert (code, message) == (0, "")
    return folder / "run"


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


# -- train ---------------------------------------------------------------------------------------------------


def test_a_run_leaves_everything_that_it_promises(trained):
    for name in (
        "config.yaml", "provenance.json", "split.json", "metrics.csv", "train.log", "checkpoints/best.ckpt",
        "checkpoints/last.ckpt", "evaluation/scores.csv", "evaluation/scores.nc", "evaluation/errors.csv",
        "evaluation/csi.svg", "evaluation/forecast.png", "evaluation/forecast.gif",
    ):  # fmt: skip
        assert (trained / name).stat().st_size > 0, name
    facts = json.loads((trained / "provenance.json").read_text())
    assert facts["seed"] == 0
    network = checkpoint.load(trained / "checkpoints" / "best.ckpt").forecaster
    assert facts["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert len(facts["data"]["archives"]) == 5
    assert yaml.safe_load((trained / "config.yaml").read_text())["model"]["hidden"] == [4, 4]
    split = json.loads((trained / "split.json").read_text())
    assert split["train_000"]["test"] == []
    assert len(split["test_000"]["test"]) > 0


def test_raw_and_calibrated_and_baselines_stand_in_one_table(trained):
    table = rows(trained / "evaluation" / "scores.csv")
    names = {row["model"] for row in table}
    assert names == {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}
    cells = {
        row["model"]: sum(int(row[key]) for key in ("hits", "misses", "false_alarms", "correct_negatives"))
        for row in table
    }
    assert len(set(cells.values())) == 1  # the same windows and mask for all
    assert {float(row["lead_time_minutes"]) for row in table} == {5.0, 10.0, 15.0, 20.0}


def test_validation_scores_are_logged(trained):
    logged = [row for row in rows(trained / "metrics.csv") if row["val/csi_0p5mmh"]]
    assert len(logged) == 2


def test_a_checkpoint_is_complete_and_harmless(trained):
    path = trained / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    assert content["nowcast"]["config"]["model"]["hidden"] == [4, 4]
    loaded = checkpoint.load(path)
    assert loaded.data["timesteps_seconds"] == [300]
    assert loaded.calibrated() is not None
    rain = torch.rand(1, 3, 1, 20, 24) * 5
    rain[..., :3] = torch.nan
    forecast = loaded.forecaster(rain, 6).single()
    assert forecast.shape == (1, 6, 1, 20, 24)
    assert forecast.isfinite().all()
    assert not torch.equal(forecast, loaded.calibrated()(rain, 6).single())


def test_a_run_is_never_overwritten(trained):
    code, message = run("train", *TINY, f"output={trained}", f"data.archives.folder={trained.parent / 'data'}")
    assert code == 1
    assert "runs are never overwritten" in message


def test_training_is_reproducible(trained, tmp_path):
    shutil.copytree(trained.parent / "data", tmp_path / "data")
    run("train", *TINY, f"output={tmp_path / 'again'}", f"data.archives.folder={tmp_path / 'data'}", "picture=false")
    first, again = (checkpoint.read(folder / "checkpoints" / "last.ckpt") for folder in (trained, tmp_path / "again"))
    for name, value in first["state_dict"].items():
        assert torch.equal(value, again["state_dict"][name]), name


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer=gpu"], ["trainer=gpu", "trainer=cpu"]),
        (["calibration=maybe"], ["calibration", "maybe", "frequency", "reliability"]),
        (["cuda_graphs=true"], ["cuda_graphs=true", "one CUDA device", "trainer.accelerator=cpu"]),
        (["verification.main_threshold=3"], ["main_threshold=3", "thresholds"]),
        (["callbacks.checkpoint.monitor=val/acc"], ["val/acc", "val/csi_0p5mmh"]),
        (["data=radar", "data.archives=[no/such.nc]"], ["no/such.nc", "nowcast prepare"]),
        (["model.peephole=pixel"], ["model.peephole", "channel, location or none", "pixel"]),
        (["data.windows.stride=0"], ["data.windows.stride must be at least 1, got 0"]),
        (["optimizer.optimizer.lr=-1", "data.archives.folder={data}"], ["optimizer.optimizer.lr", "at least 0", "-1"]),
        (["data=radar"], ["archives"]),
        (["baseline"], ["nothing to train", "nowcast evaluate"]),
        (["data.input_steps=1", "data.archives.folder={data}"], ["at least 2 input frames"]),
        (["data.archives.test_events=0", "data.archives.folder={data}"], ["no test window"]),
    ],
)
def test_wrong_settings_are_one_clear_message(tmp_path, trained, overrides, words):
    if overrides[0] == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    overrides = [text.format(data=trained.parent / "data") for text in overrides]
    tiny = [] if "data=radar" in overrides else TINY
    if overrides == ["baseline"]:
        tiny = [text for text in TINY if not text.startswith("model")]
        overrides = ["model=persistence", f"data.archives.folder={trained.parent / 'data'}"]
    code, message = run("train", *tiny, *overrides, f"output={tmp_path / 'run'}")
    assert code == 1
    for word in words:
        assert word.lower() in message.lower()
    assert "Traceback" not in message


# -- every option has an effect ------------------------------------------------------------------------------


def composed(*overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("trainer.precision=bf16-mixed", lambda t: t.precision, "bf16-mixed"),
        ("trainer.gradient_clip_val=3.0", lambda t: t.gradient_clip_val, 3.0),
        ("trainer.accumulate_grad_batches=4", lambda t: t.accumulate_grad_batches, 4),
        ("trainer.max_epochs=7", lambda t: t.max_epochs, 7),
        ("trainer.max_steps=9", lambda t: t.max_steps, 9),
        ("trainer.limit_train_batches=5", lambda t: t.limit_train_batches, 5),
        ("trainer.limit_val_batches=5", lambda t: t.limit_val_batches, 5),
        ("trainer.check_val_every_n_epoch=3", lambda t: t.check_val_every_n_epoch, 3),
        ("trainer.num_sanity_val_steps=2", lambda t: t.num_sanity_val_steps, 2),
        ("trainer.log_every_n_steps=3", lambda t: t.log_every_n_steps, 3),
        ("trainer.enable_progress_bar=false", lambda t: t.progress_bar_callback is None, True),
        ("callbacks=early_stopping", lambda t: t.early_stopping_callback.patience, 10),
        ("callbacks=ema", lambda t: [type(c).__name__ for c in t.callbacks].count("EMAWeightAveraging"), 1),
        ("callbacks.checkpoint.mode=min", lambda t: t.checkpoint_callback.mode, "min"),
        (
            "callbacks.learning_rate=null",
            lambda t: [type(c).__name__ for c in t.callbacks].count("LearningRateMonitor"),
            0,
        ),
    ],
)
def test_trainer_options_change_the_trainer(tmp_path, override, read, value):
    from nowcast.training.trainer import make_trainer, quieten

    quieten()
    config = composed(override, f"output={tmp_path}")
    if override.startswith("trainer.enable_progress_bar"):
        config.callbacks.progress = None
    assert read(make_trainer(config, tmp_path)) == value
    assert composed(f"output={tmp_path}") != config


@pytest.mark.parametrize(
    ("overrides", "allowed"),
    [
        (["trainer=gpu"], True),
        (["trainer=ddp"], False),
        (["trainer=gpu", "trainer.devices=2"], False),
        (["trainer=gpu", "trainer.devices=auto"], False),
        (["trainer=gpu", "trainer.devices=[1]"], True),
        (["trainer=gpu", "+trainer.num_nodes=2"], False),
        (["trainer.accelerator=auto"], False),
    ],
)
def test_graphs_are_for_one_device(monkeypatch, overrides, allowed):
    from nowcast.training.validate import validate

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = composed("cuda_graphs=true", *overrides)
    with nullcontext() if allowed else pytest.raises(ValueError, match="cuda_graphs=true is for training on one"):
        validate(config)


def test_fully_sharded_training_can_be_built():
    config = composed("trainer=fsdp", "trainer.num_nodes=2")
    strategy = build(config.trainer.strategy)
    assert (type(strategy).__name__, strategy._state_dict_type) == ("FSDPStrategy", "full")
    assert config.trainer.gradient_clip_val is None


def test_weights_and_biases_stays_offline_unless_told_otherwise(tmp_path, monkeypatch):
    from nowcast.training.trainer import make_trainer, quieten

    quieten()
    for mode in (None, "online"):
        monkeypatch.delenv("WANDB_MODE", raising=False)
        if mode is not None:
            monkeypatch.setenv("WANDB_MODE", mode)
        trainer = make_trainer(composed("logger=wandb", f"output={tmp_path}"), tmp_path)
        loggers = {type(logger).__name__: logger for logger in trainer.loggers}
        assert set(loggers) == {"MetricsLogger", "PatientWandbLogger"}
        assert loggers["PatientWandbLogger"]._wandb_init["mode"] == (mode or "offline")


def test_every_logger_that_can_be_ended_is_ended():
    ended = []
    ours = SimpleNamespace(finish=lambda exit_code: ended.append(("ours", exit_code)))
    other = SimpleNamespace(experiment=SimpleNamespace(finish=lambda exit_code: ended.append(("other", exit_code))))
    loggers = [ours, other, SimpleNamespace(experiment=object()), SimpleNamespace()]
    close_loggers(SimpleNamespace(loggers=loggers, state=SimpleNamespace(finished=False)))
    assert ended == [("ours", 1), ("other", 1)]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "mae", "balanced"])
@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop_paper"])
def test_every_loss_and_optimiser_trains(loss, optimizer):
    config = composed(f"loss={loss}", f"optimizer={optimizer}", "model.hidden=[2,2]")
    net, criterion, parts = build(config.model), build(config.loss), build(config.optimizer)
    optimiser = parts["optimizer"](net.parameters())
    target = torch.rand(1, 2, 1, 8, 8)
    before = [parameter.clone() for parameter in net.parameters()]
    criterion(net(torch.rand(1, 3, 1, 8, 8), 2), target, torch.ones_like(target, dtype=torch.bool)).backward()
    optimiser.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_the_average_of_the_weights_is_what_is_validated_and_kept(trained, tmp_path):
    data = f"data.archives.folder={trained.parent / 'data'}"
    run("train", *TINY, data, "callbacks=ema", "callbacks.progress=null", "picture=false", f"output={tmp_path / 'ema'}")
    plain, averaged = (checkpoint.read(folder / "checkpoints" / "last.ckpt") for folder in (trained, tmp_path / "ema"))
    names = [name for name in plain["state_dict"] if name.startswith("net.")]
    assert any(not torch.equal(plain["state_dict"][name], averaged["state_dict"][name]) for name in names)
    checkpoint.load(tmp_path / "ema" / "checkpoints" / "best.ckpt")


@pytest.mark.parametrize(
    ("typed", "named"),
    [(["data.strid=3"], "data.strid"), (["experiment=mnist_base", "--help"], "model= is missing; allowed: convlstm, ")],
)
def test_a_config_that_cannot_be_composed_ends_in_words(typed, named):
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", *typed], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert named in result.stderr
    assert "Traceback" not in result.stderr


# -- evaluate ------------------------------------------------------------------------------------------------


def archive_arguments(path, *more):
    return [
        "data=radar", f"data.archives=[{path}]", "data.split.method=all", "data.crop=null", "data.input_steps=3",
        "data.forecast_steps=4", "data.workers=0", *more,
    ]  # fmt: skip


def test_persistence_on_an_archive_is_what_a_loop_over_its_frames_gives(tmp_path):
    path = moving_rain(tmp_path / "k.nc", frames=30, skip=(11,))
    arguments = archive_arguments(path, "data.windows.stride=4", f"output={tmp_path / 'out'}")
    assert run("evaluate", "model=persistence", *arguments) == (0, "")
    from nowcast.data.archive.archive import Archive

    archive = Archive(path)
    rain = archive.read(slice(None), slice(None), slice(None))
    counts = np.zeros((4, 4), dtype=int)
    for start in range(0, len(rain) - 6, 4):
        if (np.diff(archive.times[start : start + 7]).astype(int) != 300).any():
            continue
        wet = rain[start + 2] >= 0.5
        for lead in range(4):
            seen = rain[start + 3 + lead] >= 0.5
            counts[lead] += [(wet & seen).sum(), (~wet & seen).sum(), (wet & ~seen).sum(), (~wet & ~seen).sum()]
    ours = [row for row in rows(tmp_path / "out" / "scores.csv") if float(row["threshold"]) == 0.5]
    assert [row["model"] for row in ours] == ["persistence"] * 4
    for lead, row in enumerate(ours):
        names = ("hits", "misses", "false_alarms", "correct_negatives")
        assert [int(row[name]) for name in names] == counts[lead].tolist()
        assert float(row["csi"]) == pytest.approx(counts[lead][0] / counts[lead][:3].sum())
        assert float(row["lead_time_minutes"]) == 5.0 * (lead + 1)


def test_tiles_and_whole_grids_score_persistence_alike(tmp_path):
    path = moving_rain(tmp_path / "k.nc", frames=20)
    tables = []
    for crop in ("null", "16"):
        arguments = archive_arguments(path, f"output={tmp_path / crop}")
        arguments[arguments.index("data.crop=null")] = f"data.crop={crop}"
        assert run("evaluate", "model=persistence", *arguments) == (0, "")
        tables.append((tmp_path / crop / "scores.csv").read_text())
    assert tables[0] == tables[1]


def test_a_checkpoint_is_scored_on_the_archives_named(trained, tmp_path):
    path = tmp_path / "two_km.nc"
    from tests.data.archives import grid

    draw = np.random.default_rng(0)
    frames = [frame(5 * k, draw.random((24, 20)) * 3, grid=grid((24, 20), 2000.0)) for k in range(12)]
    write(path, frames)
    best = trained / "checkpoints" / "best.ckpt"
    code, message = run("evaluate", f"checkpoint={best}", f"data.archives=[{path}]", f"output={tmp_path / 'out'}")
    assert (code, message) == (0, "")
    table = rows(tmp_path / "out" / "scores.csv")
    assert {row["model"] for row in table} == {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}
    assert sum(int(table[0][k]) for k in ("hits", "misses", "false_alarms", "correct_negatives")) == 24 * 20 * 2


def test_missing_forecasts_count_as_no_rain_and_are_reported(tmp_path, caplog):
    path = moving_rain(tmp_path / "k.nc", frames=20)
    assert run("evaluate", "model=extrapolation", *archive_arguments(path, f"output={tmp_path / 'out'}")) == (0, "")
    errors = rows(tmp_path / "out" / "errors.csv")
    assert sum(int(row["missing_forecasts"]) for row in errors) > 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], ["nothing to score", "checkpoint=<file>"]),
        (["model=persistence", "checkpoint=x.ckpt"], ["not both"]),
        (["checkpoint=no/such.ckpt"], ["no checkpoint at no/such.ckpt"]),
        (["model=convlstm", "data.archives=[x.nc]"], ["is a network", "checkpoint=<file>"]),
        (["model=persistence", "data.archives=[x.nc]", "device=tpu"], ["device must be cpu or cuda, got 'tpu'"]),
    ],
)
def test_evaluate_refuses_with_a_reason(tmp_path, overrides, words):
    code, message = run("evaluate", *overrides, f"output={tmp_path / 'out'}")
    assert code == 1
    for word in words:
        assert word in message


def test_a_checkpoint_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(b"not a checkpoint")
    assert "not a readable checkpoint" in run("evaluate", f"checkpoint={path}", f"output={tmp_path / 'o'}")[1]
    torch.save({"weights": torch.ones(1)}, path)
    assert "not written by nowcast" in run("evaluate", f"checkpoint={path}", f"output={tmp_path / 'o'}")[1]


# -- predict -------------------------------------------------------------------------------------------------


def two_km(path, frames=6, skip=(), step=5, shape=(24, 20), cell=2000.0):
    from tests.data.archives import grid

    draw = np.random.default_rng(1)
    fields = []
    for k in range(frames):
        values = draw.random(shape) * 3
        values[:, :2] = np.nan
        if k not in skip:
            fields.append(frame(step * k, values, grid=grid(shape, cell)))
    return write(path, fields)


def test_a_forecast_is_a_cf_file(trained, tmp_path):
    path = two_km(tmp_path / "now.nc")
    output = tmp_path / "nowcast.nc"
    best = trained / "checkpoints" / "best.ckpt"
    assert run("predict", f"checkpoint={best}", f"input={path}", f"output={output}", "plot=true") == (0, "")
    with netCDF4.Dataset(output) as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.checkpoint_sha256
        rain = dataset["rain_rate"]
        assert (rain.units, rain.standard_name) == ("mm h-1", "lwe_precipitation_rate")
        assert rain.shape == (4, 24, 20)
        assert dataset[rain.grid_mapping].grid_mapping_name == "lambert_azimuthal_equal_area"
        values = rain[:].filled(np.nan)
        assert np.isnan(values[:, :, :2]).all()  # no forecast where the radar sees nothing
        assert np.isfinite(values[:, :, 2:]).all()
        assert (dataset["mask"][:, :2] == 0).all()
        assert (dataset["mask"][:, 2:] == 1).all()
        assert dataset["forecast_period"][:].tolist() == [300, 600, 900, 1200]
        start = int(dataset["forecast_reference_time"][...])
        assert (dataset["time"][:] - start).tolist() == [300, 600, 900, 1200]
        assert np.datetime64(start, "s") == np.datetime64("2024-05-01T00:25:00")
    with Image.open(output.with_suffix(".gif")) as picture:
        assert picture.n_frames == 3 + 4
    assert output.with_suffix(".png").exists()


def test_averaging_to_the_cells_of_the_network_is_said(trained, tmp_path, capsys):
    best = trained / "checkpoints" / "best.ckpt"
    said = []
    for cell in (1000.0, 2000.0):
        path = two_km(tmp_path / f"of_{cell:g}_m.nc", cell=cell)
        assert run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / f'{cell}.nc'}") == (0, "")
        said.append(capsys.readouterr().err)
    assert said == ["INFO of_1000_m: cells of 1 km are averaged to the network's 2 km\n", ""]


def test_a_last_frame_without_data_is_no_input(trained, tmp_path):
    from tests.data.archives import grid

    where = grid((24, 20), 2000.0)
    frames = [frame(5 * k, np.full((24, 20), np.nan if k == 3 else 1.0), grid=where) for k in range(4)]
    path = write(tmp_path / "now.nc", frames)
    best = trained / "checkpoints" / "best.ckpt"
    code, message = run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / 'o.nc'}")
    assert code == 1
    assert "2024-05-01T00:15:00 holds no data at all" in message


def test_colours_can_be_those_for_the_colour_blind(trained, tmp_path):
    path, best = two_km(tmp_path / "now.nc"), trained / "checkpoints" / "best.ckpt"
    pictures = []
    for safe in ("false", "true"):
        output = tmp_path / f"{safe}.nc"
        arguments = [f"checkpoint={best}", f"input={path}", f"output={output}", "plot=true"]
        assert run("predict", *arguments, f"colour_blind_safe={safe}") == (0, "")
        pictures.append(output.with_suffix(".png").read_bytes())
    assert pictures[0] != pictures[1]


def test_length_time_and_calibration_can_be_chosen(trained, tmp_path):
    path, best = two_km(tmp_path / "now.nc"), trained / "checkpoints" / "best.ckpt"
    values = {}
    for name, more in {
        "newest": [],
        "earlier": ["init_time=2024-05-01T00:15"],
        "longer": ["forecast_steps=9"],
        "raw": ["calibrated=false"],
    }.items():
        output = tmp_path / f"{name}.nc"
        assert run("predict", f"checkpoint={best}", f"input={path}", f"output={output}", *more) == (0, "")
        with netCDF4.Dataset(output) as dataset:
            values[name] = dataset["rain_rate"][:].filled(np.nan)
    assert values["longer"].shape[0] == 9
    np.testing.assert_array_equal(values["longer"][:4], values["newest"])
    for other in ("earlier", "raw"):
        assert not np.array_equal(values["newest"], values[other], equal_nan=True)


def test_provider_files_are_read_as_they_are(trained, tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(4):
        values = np.random.default_rng(k).random((1, 16, 16)).astype(np.float32)
        y, x = np.arange(16)[::-1] * 2000.0, np.arange(16) * 2000.0
        fakes.cf(tmp_path / "in" / f"{k}.nc", values, times=(5 * k,), y=y, x=x)
    best = trained / "checkpoints" / "best.ckpt"
    arguments = [f"checkpoint={best}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out.nc'}"]
    assert "add source=<format>" in run("predict", *arguments)[1]
    assert run("predict", *arguments, "source=netcdf") == (0, "")
    with netCDF4.Dataset(tmp_path / "out.nc") as dataset:
        assert dataset["rain_rate"].shape == (4, 16, 16)


@pytest.mark.parametrize(
    ("made", "more", "words"),
    [
        ({"step": 10}, [], ["time step 10 min", "trained on 5 min"]),
        ({"frames": 2}, [], ["2 frame(s)", "needs 3"]),
        ({"frames": 9, "skip": (7,)}, [], ["gap", "no frame at 2024-05-01T00:35:00", "init_time=2024-05-01T00:30:00"]),
        ({}, ["init_time=2030-01-01"], ["no frame at init_time=2030-01-01", "2024-05-01T00:25:00"]),
        ({}, ["init_time=noon"], ["init_time='noon' is not a time"]),
        ({"cell": 3000.0}, [], ["cells of 3 km cannot be averaged to cell_km=2"]),
        ({}, ["forecast_steps=0"], ["forecast_steps must be at least 1"]),
    ],
)
def test_inputs_that_do_not_fit_are_explained(trained, tmp_path, made, more, words):
    path = two_km(tmp_path / "now.nc", **made)
    best = trained / "checkpoints" / "best.ckpt"
    code, message = run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / 'o.nc'}", *more)
    assert code == 1
    for word in words:
        assert word in message
    assert not (tmp_path / "o.nc").exists()


def test_an_existing_forecast_is_kept(trained, tmp_path):
    (tmp_path / "o.nc").write_text("precious")
    best = trained / "checkpoints" / "best.ckpt"
    assert (
        "choose another output" in run("predict", f"checkpoint={best}", "input=x.nc", f"output={tmp_path / 'o.nc'}")[1]
    )
    assert (tmp_path / "o.nc").read_text() == "precious"


# -- prepare, check, dispatcher ------------------------------------------------------------------------------


def test_prepare_reads_a_folder_of_provider_files(tmp_path):
    (tmp_path / "in").mkdir()
    for k, end in enumerate(("00:00:00", "00:05:00", "00:10:00")):
        start = ("25-AUG-2010;23:55:00", "26-AUG-2010;00:00:00", "26-AUG-2010;00:05:00")[k]
        fakes.knmi(
            tmp_path / "in" / f"{k}.h5",
            np.full((4, 5), k),
            **{"overview/product_datetime_start": start, "overview/product_datetime_end": f"26-AUG-2010;{end}"},
        )
    output = tmp_path / "k.nc"
    assert run("prepare", "source=knmi", f"input={tmp_path / 'in'}", f"output={output}", "workers=0") == (0, "")
    with netCDF4.Dataset(output) as dataset:
        assert dataset.institution.startswith("Royal Netherlands")
        np.testing.assert_allclose(dataset["rain_amount"][:, 0, 0], [0, 0.01, 0.02])
    code, message = run("prepare", "source=knmi", f"input={tmp_path / 'in'}", f"output={output}", "workers=0")
    assert (code, "exists" in message) == (1, True)
    code, message = run("prepare", "source=knmi", f"input={tmp_path / 'no'}", f"output={tmp_path / 'x.nc'}")
    assert (code, "no such file" in message) == (1, True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:600]), ["b.nc", "not readable"]),
        (lambda p: p.write_text("<html>404</html>"), ["b.nc", "not readable"]),
        (lambda p: _again(p, np.zeros((1, 6, 5), dtype=np.float32)), ["b.nc", "(6, 5) differs from (4, 5)"]),
        (lambda p: _again(p, np.zeros((1, 4, 5), dtype=np.float32), {"units": "K"}), ["b.nc", "could be rain"]),
        (lambda p: _again(p, np.zeros((1, 4, 5), dtype=np.float32), {"units": "mm"}), ["b.nc", "period_seconds"]),
    ],
)
def test_bad_files_end_prepare_with_their_name_and_exit_code_1(tmp_path, spoil, words):
    (tmp_path / "in").mkdir()
    for name, minutes in (("a.nc", 0), ("b.nc", 5)):
        fakes.cf(tmp_path / "in" / name, np.ones((1, 4, 5), dtype=np.float32), times=(minutes,))
    spoil(tmp_path / "in" / "b.nc")
    output = tmp_path / "out.nc"
    code, message = run("prepare", "source=netcdf", f"input={tmp_path / 'in'}", f"output={output}", "workers=0")
    assert code == 1
    for word in words:
        assert word in message
    assert list(tmp_path.glob("out.nc*")) == []


def _again(path, values, attributes=None):
    path.unlink()
    fakes.cf(path, values, times=(5,), attributes=attributes or {})


def test_an_unknown_source_lists_the_known_ones(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.prepare", "source=nexrad", "input=a", "output=b"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 2
    for name in ("knmi", "odim", "radolan", "netcdf"):
        assert name in result.stderr


def test_check_counts_parameters_and_windows(trained, tmp_path):
    data = f"data.archives.folder={trained.parent / 'data'}"
    assert run("check", *TINY, data, f"output={tmp_path / 'c.json'}") == (0, "")
    findings = json.loads((tmp_path / "c.json").read_text())
    weights = checkpoint.read(trained / "checkpoints" / "best.ckpt")["state_dict"]
    assert findings["parameters"] == sum(v.numel() for k, v in weights.items() if k.startswith("net."))
    assert next(row["name"] for row in findings["archives"]) == "train_000"
    assert findings["samples"]["train"] > 0


def test_check_counts_parameters_even_without_the_data(tmp_path):
    code, message = run(
        "check", "data=radar", "data.archives=[no.nc]", "model=convlstm", f"output={tmp_path / 'c.json'}"
    )
    assert (code, "no.nc" in message) == (1, True)
    assert json.loads((tmp_path / "c.json").read_text()) == {"parameters": 896260}


EXPERIMENTS = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")} - {"mnist_base"}  # it has no model


@pytest.mark.parametrize("experiment", sorted(EXPERIMENTS))
def test_every_experiment_composes(experiment):
    config = composed(f"experiment={experiment}", "output=x")
    assert config.name == experiment
    assert build(config.model) is not None


def test_the_dispatcher_knows_its_commands():
    def call(*arguments):
        return subprocess.run([sys.executable, "-m", "nowcast", *arguments], capture_output=True, text=True, timeout=60)

    assert "predict the next hours of rain" in call("--help").stdout
    wrong = call("trian")
    assert wrong.returncode == 2
    assert "unknown command 'trian'" in wrong.stderr
    assert "data:" in call("train", "--cfg", "job").stdout
    assert Path(sys.executable).exists()
