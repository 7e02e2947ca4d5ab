"""Each of several models keeps its name, and what is typed for the data of a checkpoint counts."""

import shlex
import shutil

import pytest
import torch
import yaml

from nowcast.forecasting.named_models import as_typed, free_name
from tests.data.digits import write_images
from tests.programs import TINY, rows, run

BEST = "finished/checkpoints/best.ckpt"
SHORT = ["html=false", "scores=basic", "uncertainty.resamples=20"]


def models(folder):
    return list(dict.fromkeys(row["model"] for row in rows(folder / "scores.csv")))


@pytest.mark.parametrize("name", ["persistence", "extrapolation"])
def test_a_checkpoint_called_as_a_baseline_is_refused_with_what_to_type(before, name):
    code, message = run("evaluate", f"checkpoint={{{name}: {BEST}}}", "output=out", *SHORT)
    assert code == 1
    assert f"two models are called '{name}'" in message
    typed = shlex.split(message.split("Type ")[1])
    assert run("evaluate", *typed, "output=out", *SHORT) == (0, "")
    assert models(before / "out") == [f"{name}_2", f"{name}_2_calibrated", "persistence", "extrapolation"]


def test_a_checkpoint_called_as_another_one_calibrated(before):
    code, message = run("evaluate", f"checkpoint={{a: {BEST}, a_calibrated: {BEST}}}", "output=out", *SHORT)
    assert (code, "two models are called 'a_calibrated'" in message) == (1, True)
    assert run("evaluate", *shlex.split(message.split("Type ")[1]), "output=out", *SHORT) == (0, "")
    assert len(models(before / "out")) == 2 * 2 + 2


def test_runs_of_one_name_in_a_list_all_stay(before):
    """The third was numbered as the first is called."""
    for number, name in enumerate(["storm_2", "storm", "storm"]):
        content = torch.load(before / BEST, weights_only=True)
        content["nowcast"]["config"]["name"] = name
        torch.save(content, before / f"{number}.ckpt")
    assert run("evaluate", "checkpoint=[0.ckpt,1.ckpt,2.ckpt]", "output=out", *SHORT) == (0, "")
    networks = [name for name in models(before / "out") if "_calibrated" not in name]
    assert networks == ["storm_2", "storm", "storm_3", "persistence", "extrapolation"]


def test_free_names():
    assert free_name("a", {}) == "a"
    assert free_name("a", {"a": 0, "a_2": 0}) == "a_3"
    assert free_name("a", {"a_calibrated": 0}) == "a_2"
    assert shlex.split(as_typed("checkpoint", {"a": "/with blank/b.ckpt"})) == ['checkpoint={a: "/with blank/b.ckpt"}']


def test_a_baseline_called_as_the_network_is_refused_before_training(tmp_path):
    arguments = [*TINY, f"output={tmp_path / 'run'}", "+model@baselines.convlstm=persistence"]
    code, message = run("train", *arguments)
    assert (code, "baselines.convlstm is called as the network" in message) == (1, True)
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.thorough
def test_a_data_group_beside_a_checkpoint_counts(before):
    """Its settings, with the steps, cells and seed of training; without it all are those of training."""
    archive = next((before / "data").glob("*/test_000.nc"))
    settings = {}
    for folder, more in {
        "as_trained": [],
        "of_group": ["data=radar"],
        "typed": ["data=radar", "data.windows.stride=3"],
    }.items():
        chosen = [f"checkpoint={BEST}", f"data.archives=[{archive}]", "data.eval_crop=null", *more]
        assert run("evaluate", *chosen, f"output={folder}", *SHORT) == (0, "")
        settings[folder] = yaml.safe_load((before / folder / "settings.yaml").read_text())["data"]
    trained = yaml.safe_load((before / "finished" / "config.yaml").read_text())["data"]
    assert (settings["as_trained"]["windows"]["stride"], settings["as_trained"]["batch_size"]) == (
        trained["stride"], trained["batch_size"]
    )  # fmt: skip
    assert (settings["of_group"]["windows"]["stride"], settings["of_group"]["batch_size"]) == (1, 8)
    assert settings["typed"]["windows"]["stride"] == 3
    for one in settings.values():
        assert [one[key] for key in ("input_steps", "forecast_steps", "seed")] == [3, 4, trained["seed"]]
        assert one["split"]["method"] == "all"
    shutil.rmtree(before / "as_trained")
    assert "data.archives= is missing" in run("evaluate", f"checkpoint={BEST}", "data=radar", *SHORT)[1]


def test_a_network_of_rain_is_not_scored_on_pictures(before, tmp_path):
    write_images(tmp_path / "mnist")
    folders = [f"data.mnist={tmp_path / 'mnist'}", f"data.folder={tmp_path / 'digits'}", "data.sequences.test=4"]
    code, message = run("evaluate", f"checkpoint={BEST}", "data=moving_mnist", *folders, "output=out", *SHORT)
    assert code == 1
    assert "convlstm was trained on rain_rate (scaling of its config), and the data is brightness" in message
