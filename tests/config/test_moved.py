"""Stored configs name classes by the place where they were: every one of them is known where it is now."""

import importlib

import pytest

from nowcast.config.moved import TARGETS, as_now
from tests.programs import ended


@pytest.mark.parametrize(("old", "new"), TARGETS.items())
def test_every_class_is_where_it_is_said_to_be(old, new):
    module, _, name = new.rpartition(".")
    assert getattr(importlib.import_module(module), name).__module__ == module
    assert old not in TARGETS.values()


def test_targets_are_found_wherever_they_stand():
    old, new = "nowcast.losses.CrossEntropy", "nowcast.training.losses.CrossEntropy"
    stored = {"loss": {"_target_": old, "reduction": "cell"}, "several": [{"_target_": old}, 1, None], "name": old}
    assert as_now(stored) == {
        "loss": {"_target_": new, "reduction": "cell"},
        "several": [{"_target_": new}, 1, None],
        "name": old,
    }


def test_what_did_not_move_stays():
    stored = {"model": {"_target_": "nowcast.models.convlstm.ConvLSTM", "hidden": [4, 4]}, "none": None}
    assert as_now(stored) == stored


def test_groups_of_a_training_are_called_otherwise_now():
    assert as_now({"metrics": {"paper": None}, "baselines": {}}) == {"frame_scores": {"paper": None}, "baselines": {}}
    assert as_now({"tune": {"metrics": 1}}) == {"tune": {"metrics": 1}}


@pytest.mark.parametrize(
    ("typed", "now"),
    [
        ("metrics=paper", "frame_scores=paper"),
        ("~metrics.paper", "frame_scores.paper="),
        ("metrics.paper.threshold=1", "frame_scores.paper.threshold=1"),
        ("+metrics@metrics.b=paper", "frame_scores@metrics.b=paper"),
    ],
)
def test_an_override_with_an_old_key_says_the_new_one(typed, now):
    code, message = ended("evaluate", "model=persistence", "data.archives=[a.nc]", typed)
    assert code == 2
    assert f"metrics is called frame_scores now: type {now}" in message
