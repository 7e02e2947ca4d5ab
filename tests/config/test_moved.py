"""Stored configs name classes by the place where they were: every one of them is known where it is now."""

import importlib

import pytest

from nowcast.config.moved import TARGETS, as_now


@pytest.mark.parametrize(("old", "new"), TARGETS.items())
def test_every_class_is_where_it_is_said_to_be(old, new):
    module, _, name = new.rpartition(".")
    assert getattr(importlib.import_module(module), name).__module__ == module
    assert old not in TARGETS.values()
    with pytest.raises(ImportError):
        importlib.import_module(old.rpartition(".")[0] + "." + old.rpartition(".")[2])


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
