"""Finished runs side by side, and what cannot stand side by side."""

import dataclasses

import numpy as np
import pytest

from nowcast.data.results.statistics_file import write_statistics
from nowcast.verification.intervals import by_region
from nowcast.verification.merge import merge
from tests.programs import rows, run
from tests.statistics import mixed_statistics, statistics


def test_models_of_two_runs_on_the_same_observations():
    (one, families), (other, _) = statistics({"a": 0.3, "persistence": 1.0}), statistics({"b": 2.0, "persistence": 1.0})
    both = merge({"x": one, "y": other})
    assert both.models == ("a", "persistence", "b")
    assert both.facts["caveat"] == ""
    for key, values in both.sums["block"].items():
        np.testing.assert_array_equal(values[2], other.sums["block"][key][0], err_msg=key)
    np.testing.assert_array_equal(both.map_counts[2], other.map_counts[0])
    assert list(both.examples[0].rain) == ["observed", "a", "persistence", "b"]
    assert set(both.families) == set(families)


def test_examples_keep_the_probabilities_of_the_runs_that_say_them():
    runs = {"x": mixed_statistics(("field",))[0], "y": mixed_statistics(("probabilities",))[0]}
    (example,) = merge(runs).examples
    assert list(example.rain) == ["observed", "field", "probabilities"]
    assert list(example.probabilities) == ["probabilities"]
    assert example.threshold == 0.5


def test_the_same_name_with_other_scores_gets_the_runs_name():
    (one, _), (other, _) = statistics({"convlstm": 0.3}), statistics({"convlstm": 2.0})
    assert merge({"x": one, "y": other}).models == ("convlstm", "convlstm (y)")


def test_only_blocks_of_both_are_compared_and_it_is_said():
    (one, _), (other, _) = statistics({"a": 0.3}, blocks=12), statistics({"b": 2.0}, blocks=10, first_block=4)
    both = merge({"x": one, "y": other})
    assert both.groups["block"] == tuple(f"2024-05-{day:02d}" for day in range(5, 13))
    assert "did not score the same blocks" in both.facts["caveat"]
    assert list(both.groups) == ["block"]
    np.testing.assert_array_equal(both.sums["block"]["windows"][1], other.sums["block"]["windows"][0, :8])


def test_maps_and_examples_of_other_blocks_do_not_stand_for_the_common_ones():
    # The same forecasts on the common days; the second run has four days more, on which its forecasts are bad.
    (one, _), (other, _) = statistics({"a": 0.3}, blocks=8), statistics({"a": 0.3}, blocks=12)
    for key, values in other.sums["block"].items():
        values[:, :8] = one.sums["block"][key]
    both = merge({"x": one, "y": dataclasses.replace(other, models=("b",))})
    for key, values in both.sums["block"].items():
        np.testing.assert_array_equal(values[0], values[1], err_msg=key)
    assert both.map_counts is None
    assert (both.map_threshold, both.examples, list(by_region(both))) == (None, [], [])
    assert "There are no score maps and no scores by region: they are of all blocks of a run." in both.facts["caveat"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda maps: {"map_counts": None}, "a run has none, since its windows show different places"),
        (lambda maps: {"map_threshold": 2.0}, "their thresholds differ: 0.5, 2 mm/h"),
        (
            lambda maps: {"map_counts": maps[:, :, ::-1]},
            "the runs did not observe the same in every",
        ),
        (lambda maps: {"map_counts": maps[:, :, 1:]}, "the runs did not observe the same in every"),
    ],
)
def test_maps_that_cannot_stand_side_by_side_are_left_out_and_it_is_said(change, why):
    (one, _), (other, _) = statistics({"a": 0.3}), statistics({"b": 2.0})
    both = merge({"x": one, "y": dataclasses.replace(other, **change(other.map_counts))})
    assert both.map_counts is None
    assert f"There are no score maps and no scores by region: {why}" in both.facts["caveat"]


def test_identical_sums_have_identical_regions():
    (one, _), (other, _) = statistics({"aa": 0.3}), statistics({"bb": 0.3})
    both = merge({"x": one, "y": other})
    for _, regions in by_region(both):
        for name, value in regions["aa"].items():
            assert float(value) == pytest.approx(float(regions["bb"][name]), nan_ok=True)


def test_families_counted_otherwise_are_left_out():
    (one, _), (other, _) = statistics({"a": 0.3}), statistics({"b": 2.0}, ensemble=True)
    other = dataclasses.replace(other, families=other.families | {"fss": other.families["fss"] | {"border": "zero"}})
    both = merge({"x": one, "y": other})
    assert set(both.families) == {"categorical", "continuous", "spectrum"}
    assert not any(key.startswith(("fss", "rank")) for key in both.sums["block"])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: statistics({"b": 1.0}, seed=5)[0], r"did not score the same observations in block 2024-05-01"),
        (lambda: statistics({"b": 1.0}, first_block=12)[0], "no block of windows in common"),
        (lambda: dataclasses.replace(statistics({"b": 1.0})[0], lead_times=(6.0, 12.0, 18.0)), "other lead times"),
        (
            lambda: dataclasses.replace(
                statistics({"b": 1.0})[0],
                labels=statistics({"b": 1.0})[0].labels | {"categorical/threshold": (1.0, 2.0)},
            ),
            "other thresholds",
        ),
    ],
)
def test_what_is_not_comparable_is_refused(other, words):
    with pytest.raises(ValueError, match=words):
        merge({"x": statistics({"a": 0.3})[0], "y": other()})


def test_runs_of_other_radars_are_refused_naming_these():
    (one, _), (two, _) = statistics({"a": 0.3}), statistics({"b": 1.0}, seed=5)
    ours, theirs = {"north": "1", "west": "2"}, {"north": "1", "south": "3"}
    runs = {
        name: dataclasses.replace(run, facts=run.facts | {"data": {"archives": archives}})
        for name, run, archives in (("x", one, ours), ("y", two, theirs))
    }
    with pytest.raises(ValueError, match=r"Their archives differ: south only in y; west only in x\. Evaluate both"):
        merge(runs)


@pytest.mark.parametrize("theirs", [{"north": "bb" * 32}, {}, None])
def test_runs_that_left_out_other_cells_are_refused(theirs):
    """Even where the same cells had values, so that the sums of observations agree."""
    (one, _), (two, _) = statistics({"a": 0.3}), statistics({"b": 1.0})

    def with_mask(run, masks):
        data = {"archives": {"north": "1"}} | ({} if masks is None else {"masks": masks})
        return dataclasses.replace(run, facts=run.facts | {"data": data})

    ours = {"north": "aa" * 32}
    with pytest.raises(ValueError, match=r"x and y were scored with other masks of north: aaaaaaaa against [bn]"):
        merge({"x": with_mask(one, ours), "y": with_mask(two, theirs)})
    assert merge({"x": with_mask(one, ours), "y": with_mask(two, ours)}).models


def test_compare_writes_the_report_of_both(tmp_path):
    for name, models in (("x", {"a": 0.3, "persistence": 2.0}), ("y", {"b": 0.5, "persistence": 2.0})):
        write_statistics(tmp_path / name / "evaluation" / "statistics.nc", statistics(models)[0])
    arguments = [f"runs=[{tmp_path / 'x'},{tmp_path / 'y' / 'evaluation'}]", "uncertainty.resamples=50"]
    assert run("compare", *arguments, f"output={tmp_path / 'out'}") == (0, "")
    assert {row["model"] for row in rows(tmp_path / "out" / "scores.csv")} == {"a", "persistence", "b"}
    verdicts = {
        (row["model"], row["other"]): row["verdict"]
        for row in rows(tmp_path / "out" / "differences.csv")
        if (row["score"], row["lead_time"]) == ("mae", "mean")
    }
    assert verdicts["a", "persistence"] == "better"
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert "holds a comparison already" in run("compare", *arguments, f"output={tmp_path / 'out'}")[1]


def test_compare_says_what_is_missing(tmp_path):
    code, message = run("compare", f"runs=[{tmp_path}]", f"output={tmp_path / 'out'}")
    assert (code, "two runs or more" in message) == (1, True)
    code, message = run("compare", f"runs=[{tmp_path / 'p'},{tmp_path / 'q'}]", f"output={tmp_path / 'out'}")
    assert (code, "no statistics.nc in" in message) == (1, True)


def test_only_scores_of_this_project_are_built_from_a_file(tmp_path):
    for name in ("x", "y"):
        one, _ = statistics({name: 0.3})
        write_statistics(
            tmp_path / name / "statistics.nc",
            dataclasses.replace(one, families=one.families | {"continuous": {"_target_": "os.getcwd"}}),
        )
    code, message = run("compare", f"runs=[{tmp_path / 'x'},{tmp_path / 'y'}]", f"output={tmp_path / 'out'}")
    assert (code, "is no class of nowcast.models" in message) == (1, True)


def test_folders_become_a_setting():
    from nowcast.__main__ import names_as_setting

    assert names_as_setting("compare", ["a b", "it's", "output=x", "--cfg", "job"]) == [
        "runs=['a b','it\\'s']", "output=x", "--cfg", "job",
    ]  # fmt: skip


def test_what_is_there_is_a_name_even_with_an_equals_sign(tmp_path, monkeypatch):
    from nowcast.__main__ import names_as_setting

    monkeypatch.chdir(tmp_path)
    (tmp_path / "o ut=1.nc").touch()
    assert names_as_setting("plot", ["o ut=1.nc", "unit=dBZ"]) == ["file='o ut=1.nc'", "unit=dBZ"]
    assert names_as_setting("compare", ["o ut=1.nc", "b", "output=x"]) == ["runs=['o ut=1.nc','b']", "output=x"]
