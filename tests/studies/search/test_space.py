"""Search spaces: what they accept, how they become overrides, their grids and their conditions."""

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import FloatDistribution, IntDistribution

from nowcast.config.command_line.overrides import override_text
from nowcast.studies.search.space import SearchSpace

LR = {"key": "optimizer.optimizer.lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True}
CONDITIONAL = {
    "optimizer": {"key": "optimizer", "type": "categorical", "choices": ["adamw", "rmsprop_paper"]},
    "lr": LR,
    "weight_decay": {
        "key": "wd",
        "type": "float",
        "low": 0.0,
        "high": 0.5,
        "step": 0.25,
        "when": {"optimizer": "adamw"},
    },
    "hidden": {"key": "model.hidden", "type": "categorical", "choices": [[8, 8], [16, 16]]},
}


def space_of(*names, **more):
    return SearchSpace({name: CONDITIONAL[name] for name in names} | more)


@pytest.mark.parametrize(
    "value",
    [1, -2.5, 1e-05, True, None, "adamw", "a b", "it's", "true", "x=y,z", "back\\slash'", "", "7", [32, [1.5, None]],
     {"a": [1, "b c"]}, "val/csi_0p5mmh", "/tmp/folder (1)/x"],
)  # fmt: skip
def test_an_override_means_the_value_that_it_was_made_from(value):
    override = OverridesParser.create().parse_override(f"key={override_text(value)}")
    assert override.value() == value
    assert type(override.value()) is type(value) or isinstance(value, str)


def test_float_int_log_and_step_become_their_distributions():
    space = SearchSpace({"lr": LR, "n": {"key": "n", "type": "int", "low": 2, "high": 8, "step": 2}})
    assert [p.distribution for p in space.parameters] == [
        FloatDistribution(1e-4, 1e-2, log=True),
        IntDistribution(2, 8, step=2),
    ]


def test_a_conditional_parameter_exists_only_with_its_condition():
    space = space_of("optimizer", "lr", "weight_decay")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {}
    for _ in range(20):
        values = space.suggest(study.ask())
        seen[values["optimizer"]] = values
    assert "weight_decay" in seen["adamw"]
    assert "weight_decay" not in seen["rmsprop_paper"]
    assert [text.split("=")[0] for text in space.overrides(seen["rmsprop_paper"])] == [
        "optimizer",
        "optimizer.optimizer.lr",
    ]


def test_a_list_is_a_choice_known_by_its_text():
    space = space_of("hidden")
    values = space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    assert values["hidden"] in ("[8,8]", "[16,16]")
    assert space.overrides(values) == [f"model.hidden={values['hidden']}"]


def test_the_grid_has_every_combination_once_and_no_conditional_value_twice():
    grid = space_of("optimizer", "weight_decay", "hidden").grid()
    expected = [("adamw", wd, h) for wd in (0.0, 0.25, 0.5) for h in ("[8,8]", "[16,16]")]
    expected += [("rmsprop_paper", None, h) for h in ("[8,8]", "[16,16]")]
    assert [(p["optimizer"], p.get("weight_decay"), p["hidden"]) for p in grid] == expected


def test_grid_values_stay_inside_the_range_and_are_accepted_by_the_distribution():
    space = SearchSpace({"x": {"key": "x", "type": "float", "low": 0.1, "high": 0.7, "step": 0.2}})
    values = space.parameters[0].grid()
    assert values == pytest.approx([0.1, 0.3, 0.5, 0.7])
    study = optuna.create_study()
    for value in values:
        study.enqueue_trial({"x": value})
        assert space.suggest(study.ask())["x"] == pytest.approx(value)


def test_a_continuous_parameter_has_no_grid():
    with pytest.raises(ValueError, match=r"tune.space.lr is continuous.*step"):
        space_of("lr").grid()


def test_samples_hold_every_choice_and_both_ends_conditional_ones_included():
    samples = space_of("optimizer", "lr", "weight_decay", "hidden").samples()
    for name, ends in {"optimizer": {"adamw", "rmsprop_paper"}, "lr": {1e-4, 1e-2}, "weight_decay": {0.0, 0.5}}.items():
        assert {point[name] for point in samples if name in point} == ends
    assert all(("weight_decay" in point) == (point["optimizer"] == "adamw") for point in samples)


def test_samples_meet_a_condition_on_a_later_choice():
    nodes = {
        "a": {"key": "a", "type": "categorical", "choices": [1, 2]},
        "b": {"key": "b", "type": "categorical", "choices": [3, 4], "when": {"a": 2}},
        "c": {"key": "c", "type": "int", "low": 0, "high": 9, "when": {"b": [4]}},
    }
    assert {"a": 2, "b": 4, "c": 9} in SearchSpace(nodes).samples()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"type": "float", "low": 0, "high": 1}, "lacks 'key'"),
        ({"key": "a", "type": "gauss"}, "float, int or categorical, got 'gauss'"),
        ({"key": "a", "type": "float", "low": 2.0, "high": 1.0}, "tune.space.new"),
        ({"key": "a", "type": "float", "low": 0.0, "high": 1.0, "log": True}, "tune.space.new"),
        ({"key": "a", "type": "float", "low": 0.0, "high": 1.0, "lg": True}, "low, high, and step or log"),
        ({"key": "a", "type": "categorical", "choices": []}, "list of choices"),
        ({"key": "a", "type": "categorical", "choices": [1], "low": 0}, "list of choices"),
        ({"key": "a", "type": "int", "low": 0, "high": 1, "when": {"model": "x"}}, "does not stand before it"),
        (
            {"key": "a", "type": "int", "low": 0, "high": 1, "when": {"optimizer": "sgd"}},
            "'sgd'.*not among the choices",
        ),
        ({"key": "a", "type": "int", "low": 0, "high": 1, "when": {"lr": 0.1}}, "not among the choices"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(node, message):
    with pytest.raises(ValueError, match=message):
        space_of("optimizer", "lr", new=node)


def test_null_leaves_a_parameter_out_and_nothing_left_is_an_error():
    assert [p.name for p in space_of("lr", hidden=None).parameters] == ["lr"]
    with pytest.raises(ValueError, match="no parameter"):
        space_of(lr=None)
