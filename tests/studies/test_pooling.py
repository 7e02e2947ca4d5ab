"""Evaluations of other data put together: as if one evaluation had scored it all."""

import dataclasses

import numpy as np
import pytest

from nowcast.data.results.statistics_file import write_statistics
from nowcast.studies.pooling import pool
from tests.data.archives import moving_rain
from tests.programs import rows, run
from tests.statistics import statistics

MODELS = {"a": 0.3, "persistence": 1.0}


def test_sums_of_days_that_two_runs_share_add_up_and_others_stand_beside():
    (one, _), (other, _) = statistics(MODELS, blocks=4), statistics(MODELS, blocks=3, first_block=2, seed=1)
    both = pool({"x": one, "y": other})
    assert both.groups["block"] == tuple(f"2024-05-{day:02d}" for day in range(1, 6))
    assert both.models == ("a", "persistence")
    for key, values in both.sums["block"].items():
        first, second = one.sums["block"][key], other.sums["block"][key]
        np.testing.assert_array_equal(values[:, :2], first[:, :2], err_msg=key)
        np.testing.assert_array_equal(values[:, 2:4], first[:, 2:] + second[:, :2], err_msg=key)
        np.testing.assert_array_equal(values[:, 4:], second[:, 2:], err_msg=key)
    np.testing.assert_array_equal(
        both.sums["season"]["windows"], one.sums["season"]["windows"] + other.sums["season"]["windows"]
    )
    assert both.map_counts is None
    assert [example.name for example in both.examples] == ["x_best", "y_best"]  # pictures have files of these names


def test_only_what_all_scored_alike_is_put_together_and_the_caveat_says_the_rest():
    (one, _), (other, _) = statistics(MODELS), statistics({"b": 0.1} | MODELS, first_block=20)
    later = {grouping: {key: values[:, :, 1:] for key, values in sums.items()} for grouping, sums in other.sums.items()}
    families = other.families | {"fss": other.families["fss"] | {"windows": [3, 5]}}
    labels = other.labels | {"fss/window": (3, 5)}
    other = dataclasses.replace(other, lead_times=(10.0, 15.0), sums=later, families=families, labels=labels)
    both = pool({"x": one, "y": other})
    assert (both.models, both.lead_times) == (("a", "persistence"), (10.0, 15.0))
    counts = both.sums["block"]["categorical/counts"]
    np.testing.assert_array_equal(counts[:, :12], one.sums["block"]["categorical/counts"][:, :, 1:])
    np.testing.assert_array_equal(counts[:, 12:], other.sums["block"]["categorical/counts"][1:])
    assert set(both.families) == {"categorical", "continuous", "spectrum"}
    assert not any(key.startswith("fss") for key in (*both.axes, *both.labels, *both.sums["block"]))
    assert "left out: b." in both.facts["caveat"]
    assert "left out: fss." in both.facts["caveat"]


def test_what_cannot_be_put_together():
    (one, _), (other, _) = statistics({"a": 0.3}), statistics({"b": 0.3}, first_block=20)
    with pytest.raises(ValueError, match="no models in common: x: a; y: b"):
        pool({"x": one, "y": other})
    frames = dataclasses.replace(statistics({"a": 0.3}, first_block=20)[0], lead_unit="frames")
    with pytest.raises(ValueError, match="no lead times in common: x: 5 minutes, 10 minutes, 15 minutes; y: 5 frames"):
        pool({"x": one, "y": frames})
    facts = one.facts | {"data": {"archives": {"radar": "0123"}}}
    same = facts | {"data": {"archives": {"called_otherwise": "0123"}}}
    with pytest.raises(ValueError, match=r"y and x both scored called_otherwise \(there radar\): it would count twice"):
        pool({"x": dataclasses.replace(one, facts=facts), "y": dataclasses.replace(one, facts=same)})
    namesake = facts | {"data": {"archives": {"radar": "4567"}}}
    with pytest.raises(ValueError, match="y and x scored other data under one name, radar, which would become one"):
        pool({"x": dataclasses.replace(one, facts=facts), "y": dataclasses.replace(one, facts=namesake)})
    before = pool({"x": dataclasses.replace(one, facts=facts), "y": statistics({"a": 0.3}, first_block=20)[0]})
    with pytest.raises(ValueError, match="z and pair both scored radar: it would count twice; leave one of the runs"):
        pool({"pair": before, "z": dataclasses.replace(one, facts=facts)})


@pytest.mark.thorough
def test_two_evaluations_put_together_are_the_evaluation_of_both(tmp_path):
    """From the command line, with what the program wrote: one archive each, and both in one run."""
    one = moving_rain(tmp_path / "one.nc", frames=24)
    other = moving_rain(tmp_path / "other.nc", frames=24, seed=3, start=2 * 24 * 60)
    settings = [
        "checkpoint=pretrained", "data.split.method=all", "data.forecast_steps=2", "data.eval_crop=null",
        "data.workers=0", "data.windows.stride=4", "data.batch_size=1", "html=false",
    ]  # fmt: skip
    for name, paths in {"x": [one], "y": [other], "both": [one, other]}.items():
        archives = f"data.archives=[{','.join(map(str, paths))}]"
        assert run("evaluate", *settings, archives, f"output={tmp_path / name}") == (0, "")
    runs = f"runs={{x: {tmp_path / 'x'}, y: {tmp_path / 'y'}}}"
    assert run("compare", runs, "pool=true", "html=false", f"output={tmp_path / 'pooled'}") == (0, "")
    for name in ("scores.csv", "events.csv", "intervals.csv"):
        assert rows(tmp_path / "pooled" / name) == rows(tmp_path / "both" / name)
    both = {"lagrangian", "lagrangian_calibrated", "persistence", "extrapolation"}
    events = rows(tmp_path / "pooled" / "events.csv")
    assert {int(row["ahead"]) + int(row["level"]) + int(row["behind"]) for row in events} == {2}
    assert {row["other"] for row in events} == both | {"every other"}
    runs = f"runs={{x: {tmp_path / 'x'}, both: {tmp_path / 'both'}}}"
    code, text = run("compare", runs, "pool=true", f"output={tmp_path / 'twice'}")
    assert code != 0
    assert "both scored one: it would count twice" in text


def test_a_comparison_that_was_pooled_can_be_pooled_again(tmp_path):
    parts = [statistics(MODELS, blocks=2, first_block=2 * k)[0] for k in range(3)]
    for number, part in enumerate(parts):
        write_statistics(tmp_path / f"{number}.nc", part)
    pair = pool({"0": parts[0], "1": parts[1]})
    every, steps = pool({"0": parts[0], "1": parts[1], "2": parts[2]}), pool({"pair": pair, "2": parts[2]})
    for key, values in every.sums["block"].items():
        np.testing.assert_array_equal(values, steps.sums["block"][key], err_msg=key)
