"""Stored configs name classes by the place where they were: every one of them is known where it is now."""

import importlib

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nowcast.config.build import build
from nowcast.config.checks.signatures import signature
from nowcast.config.grouped import GROUPS, NESTED
from nowcast.config.moved import TARGETS, as_now, calibration_now
from nowcast.config.program import CONFIGS
from nowcast.config.trusted import trusted
from tests.programs import ended


@pytest.mark.parametrize(("old", "new"), TARGETS.items())
def test_every_class_is_where_it_is_said_to_be(old, new):
    module, _, name = new.rpartition(".")
    assert getattr(importlib.import_module(module), name).__module__ == module
    assert old not in TARGETS.values()


def test_targets_are_found_wherever_they_stand():
    old, new = "nowcast.losses.CrossEntropy", "nowcast.training.losses.cells.CrossEntropy"
    stored = {"loss": {"_target_": old, "reduction": "cell"}, "several": [{"_target_": old}, 1, None], "name": old}
    assert as_now(stored) == {
        "loss": {"_target_": new, "reduction": "cell"},
        "several": [{"_target_": new}, 1, None],
        "name": old,
    }


def test_settings_of_data_are_in_groups_now():
    radar = {"_target_": "nowcast.data.datamodule.RadarDataModule", "crop": 16, "split": "archives", "stride": 2}
    now = {
        "_target_": "nowcast.data.datamodule.RadarDataModule",
        "crop": 16,
        "index": None,  # which there was not
        "mask": None,
        "split": {
            "_target_": "nowcast.data.windows.settings.SplitSettings",
            "method": "archives",
            "train_archives": [],
        },
        "windows": {"_target_": "nowcast.data.windows.settings.WindowSettings", "stride": 2},
    }
    assert as_now({"data": radar})["data"] == as_now(as_now({"data": radar}))["data"] == now
    digits = {"_target_": "nowcast.data.moving_mnist.MovingMnist", "digits": [0, 5], "test_digits": "${.digits}"}
    group = {"_target_": "nowcast.data.mnist.settings.DigitSettings"}
    assert as_now(digits) == {
        "_target_": "nowcast.data.mnist.moving_mnist.MovingMnist",
        "digits": group | {"images": [0, 5]},
        "test_digits": group | {"images": "${..digits.images}"},  # as in the config of a study
    }


def test_a_study_searches_settings_where_they_are_now():
    def study(key):
        space = {"lr": {"key": "optimizer.optimizer.lr"}, "data": {"key": key}, "none": None}
        data = {"_target_": "nowcast.data.datamodule.RadarDataModule", "index": None, "mask": None}
        return {"data": data, "tune": {"space": space}}

    assert as_now(study("data.stride")) == study("data.windows.stride")
    assert as_now(study("data.crop")) == study("data.crop")


def test_data_of_others_may_call_settings_as_ours_were():
    stored = {"data": {"_target_": "theirs.Data", "split": "all", "stride": 2}}
    assert as_now(stored) == stored


@pytest.mark.parametrize("target", NESTED)
def test_every_setting_is_where_it_is_said_to_be(target):
    for name, place in NESTED[target].items():
        group, _, setting = place.partition(".")
        assert setting in signature(GROUPS[target][group]).annotations, name
        assert group in signature(target).annotations
    for group, made in GROUPS[target].items():
        asked = {place for place in NESTED[target].values() if place.startswith(f"{group}.")}
        assert asked == {f"{group}.{setting}" for setting in signature(made).annotations} - SINCE_GROUPS


SINCE_GROUPS = {
    "split.train_archives",
    "sampling.archive_weights",
    "sampling.rain_factor_sigma",
    "sampling.zoom",
    "sampling.crops_per_window",
    "sampling.season_weights",
}  # settings that no config of before can say


@pytest.mark.parametrize("name", ["radar", "moving_mnist", "hko", "synthetic"])
def test_what_an_earlier_config_said_is_what_the_config_says_now(name):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        now = OmegaConf.to_container(compose("train", [f"data={name}", "output=x"]).data, resolve=False)
    places = {place: old for old, place in NESTED[now["_target_"]].items()}
    before = {key: value for key, value in now.items() if key not in GROUPS[now["_target_"]]}
    for place, old in places.items():
        group, _, setting = place.partition(".")
        before[old] = now[group][setting]
    before |= (
        {"test_digits": "${.digits}", "test_digits_per_sequence": "${.digits_per_sequence}"}
        if "digits" in before
        else {}
    )
    assert as_now(before) == now


@pytest.mark.parametrize(
    ("data", "typed", "now"),
    [
        ("radar", "data.stride=3", "data.windows.stride=<value>"),
        ("radar", "+data.stride=3", "data.windows.stride=3"),
        ("radar", "data.split=all", "data.split.method=all"),
        ("radar", "data.samples_per_epoch=8", "data.sampling.samples_per_epoch=<value>"),
        ("moving_mnist", "data.train_sequences=8", "data.sequences.train=<value>"),
        ("moving_mnist", "data.digits=[0,5]", "data.digits.images=<value>"),
        ("moving_mnist", "data.test_file=a.npy", "data.files.test=<value>"),
    ],
)
def test_a_setting_of_data_that_is_in_a_group_now_says_so(data, typed, now):
    code, message = ended("train", f"data={data}", "output=x", *["data.archives=[a.nc]"] * (data == "radar"), typed)
    assert code == 2
    key = typed.lstrip("+").partition("=")[0]
    assert f"{key} is called {now.partition('=')[0]} now: type {now}" in message


def test_what_did_not_move_stays():
    stored = {"model": {"_target_": "nowcast.models.networks.convlstm.ConvLSTM", "hidden": [4, 4]}, "none": None}
    assert as_now(stored) == stored


def test_groups_of_a_training_are_called_otherwise_now():
    assert as_now({"metrics": {"paper": None}, "baselines": {}}) == {"frame_scores": {"paper": None}, "baselines": {}}
    assert as_now({"tune": {"metrics": 1}}) == {"tune": {"metrics": 1}}


@pytest.mark.parametrize(
    ("typed", "now"),
    [
        ("metrics=paper", "frame_scores=paper"),
        ("~metrics.paper", "~frame_scores.paper"),
        ("metrics.paper.threshold=1", "frame_scores.paper.threshold=1"),
        ("+metrics@metrics.b=paper", "+frame_scores@metrics.b=paper"),
    ],
)
def test_an_override_with_an_old_key_says_the_new_one(typed, now):
    code, message = ended("evaluate", "model=persistence", "data.archives=[a.nc]", typed)
    assert code == 2
    assert f"metrics is called frame_scores now: type {now}" in message


def test_settings_that_are_gone_are_left_out_of_what_is_stored_and_refused_where_they_are_typed():
    assert as_now({"cuda_graphs": False, "seed": 1, "baselines": {}}) == {"seed": 1, "baselines": {}}
    code, message = ended("train", "cuda_graphs=true")
    assert (code, "cuda_graphs is no setting any more: it had never run on a CUDA device" in message) == (2, True)


def test_the_experiment_that_is_the_default_now_says_so():
    for program in ("train", "tune", "check"):
        code, message = ended(program, "experiment=lagrangian")
        assert (code, "experiment=lagrangian is the default now: leave it out" in message) == (2, True)


def test_sums_of_probabilities_of_before_get_the_settings_of_now():
    """So that an old run and a new one have the same family, and are compared by it."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        now = OmegaConf.to_container(compose("evaluate", ["output=x"]).scores.probability, resolve=True)
    for place in ("nowcast.scores.ensemble", "nowcast.verification.scores.ensemble"):
        stored = {"_target_": f"{place}.Probabilities", "thresholds": [0.5, 2.0, 5.0, 10.0], "levels": 20}
        assert as_now(stored) == now


@pytest.mark.parametrize(
    ("table", "thresholds", "kind"),
    [
        ((2, 5), [], "frequency.FrequencyCalibration"),
        ((2, 3), [0.5, 2.0, 5.0], "probability.LevelCalibration"),
        ((2, 3, 5), [0.5, 2.0, 5.0], "probability.ReliabilityCalibration"),
    ],
)
@pytest.mark.parametrize("lead_times", [2, [5.0, 10.0]])
def test_a_calibration_that_says_how_it_was_fitted_is_known_by_its_table(table, thresholds, kind, lead_times):
    state = {"table": torch.rand(table)}
    identity = {"config": {"head": {"thresholds": thresholds}}, "data": {"timesteps_seconds": [300]}}
    now = calibration_now({"method": {"_target_": "…"}, "lead_times": lead_times, "state": state}, identity)
    calibration = build(trusted(now["applied"], "test"))
    assert type(calibration).__module__ + "." + type(calibration).__name__ == f"nowcast.forecasting.calibration.{kind}"
    assert calibration.lead_times == (5.0, 10.0)
    calibration.load_state_dict(now["state"], strict=True)
    assert calibration_now(now, identity) == now
    assert calibration.node() == now["applied"]
    if "LevelCalibration" in kind:
        torch.testing.assert_close(calibration.table[:, 0], state["table"], rtol=0, atol=0)
        assert calibration.decisions == ("bias",)
        without = {"applied": {k: v for k, v in now["applied"].items() if k != "decisions"}, "state": state}
        assert calibration_now(without, identity)["applied"] == now["applied"]
