"""Numbers of a report: intervals, differences, strata and regions."""

import numpy as np
import pytest
import torch

from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import by_region, by_stratum, estimate, worth_reporting
from nowcast.verification.scores.categorical import categorical_scores
from tests.statistics import mixed_statistics, statistics

BOOTSTRAP = Bootstrap(300, 0.9, 10, 0)
MODELS = {"good": 0.3, "bad": 3.0, "moved": "shift"}


def test_values_are_those_of_all_blocks_and_lie_in_their_intervals():
    sums, families = statistics(MODELS)
    numbers = estimate(sums, families, BOOTSTRAP)
    assert (numbers.blocks, numbers.windows, numbers.enough) == (12, 12, True)
    whole = torch.from_numpy(sums.sums["block"]["categorical/counts"][1].sum(axis=0))
    csi = numbers.scores["bad"]["categorical/csi"]
    np.testing.assert_allclose(csi.value, categorical_scores(whole)["csi"])
    assert (csi.low < csi.value).all()
    assert (csi.value < csi.high).all()
    assert numbers.means["bad"]["categorical/csi"].value[0] == pytest.approx(csi.value.mean(axis=0))
    verdicts = numbers.differences["good", "bad"]
    assert (verdicts["categorical/csi"].verdict == "better").all()
    assert (verdicts["continuous/rmse"].verdict == "better").all()
    assert set(numbers.differences) == {("good", "bad"), ("good", "moved"), ("bad", "moved")}


def test_blocks_without_windows_do_not_count():
    sums, families = statistics(MODELS, blocks=12, calm=(0, 5, 7))
    numbers = estimate(sums, families, BOOTSTRAP)
    assert (numbers.blocks, numbers.enough) == (9, False)
    assert np.isnan(numbers.scores["good"]["categorical/csi"].low).all()
    assert (numbers.differences["good", "bad"]["categorical/csi"].verdict == "too few blocks").all()


def test_strata_and_regions():
    sums, families = statistics(MODELS)
    label, windows, scores = next(iter(by_stratum(sums, families, "season")))
    assert (label, windows) == ("MAM", 12)
    numbers = estimate(sums, families, BOOTSTRAP)
    np.testing.assert_allclose(scores["bad"]["fss/fss"], numbers.scores["bad"]["fss/fss"].value)
    assert len(list(by_stratum(sums, families, "season"))) == 1  # others have no window
    regions = dict(by_region(sums))
    assert list(regions) == ["NW", "N", "NE", "W", "centre", "E", "SW", "S", "SE"]
    counts = torch.from_numpy(sums.map_counts[1, :, 6:12, :6].sum(axis=(1, 2)))
    assert float(regions["W"]["bad"]["csi"]) == pytest.approx(float(categorical_scores(counts)["csi"]))


def test_a_model_has_no_scores_of_what_it_cannot_give():
    sums, families = mixed_statistics()
    numbers = estimate(sums, families, BOOTSTRAP)
    names = {model: {score.split("/")[0] for score in scores} for model, scores in numbers.scores.items()}
    of_all, of_members = {"categorical", "continuous", "fss", "probability"}, {"spectrum", "ensemble", "rank"}
    assert names == {"field": of_all | of_members, "members": of_all | of_members, "probabilities": of_all}
    assert "ensemble/crps" in numbers.differences["field", "members"]
    for source in (numbers.differences, numbers.mean_differences):
        assert "ensemble/crps" not in source["members", "probabilities"]
        assert "probability/brier" in source["members", "probabilities"]
    assert np.isnan(numbers.score("probabilities", "ensemble/crps").value).all()
    assert numbers.mean("field", "ensemble/crps") is numbers.means["field"]["ensemble/crps"]
    with pytest.raises(KeyError):
        numbers.score("field", "ensemble/nothing")


def test_families_that_no_model_can_give_or_that_are_redundant_are_not_reported():
    sums, families = mixed_statistics()
    assert worth_reporting(sums, families).keys() == families.keys()
    certain, only = (mixed_statistics(models) for models in (["field"], ["probabilities"]))
    assert families.keys() - worth_reporting(*certain).keys() == {"probability"}
    assert families.keys() - worth_reporting(*only).keys() == {"spectrum", "ensemble", "rank"}


def test_skill_against_a_reference_is_of_the_same_blocks():
    sums, families = statistics({"good": 0.3, "bad": 3.0}, ensemble=True)  # "bad" is the reference
    numbers = estimate(sums, families, BOOTSTRAP)
    skill = numbers.scores["good"]["probability/brier_skill_lagrangian"]
    brier = {model: numbers.scores[model]["probability/brier"].value for model in ("good", "bad")}
    np.testing.assert_allclose(skill.value, 1 - brier["good"] / brier["bad"])
    assert (skill.low <= skill.value).all()
    assert (skill.value <= skill.high).all()
    itself = numbers.scores["bad"]["probability/brier_skill_lagrangian"]
    assert (itself.value == 0).all() and (itself.low == 0).all() and (itself.high == 0).all()  # noqa: PT018
    verdicts = numbers.differences["good", "bad"]["probability/brier_skill_lagrangian"].verdict
    assert (verdicts == numbers.differences["good", "bad"]["probability/brier"].verdict).all()
    alone, families = statistics({"good": 0.3}, ensemble=True)
    assert "probability/brier_skill_lagrangian" not in estimate(alone, families, BOOTSTRAP).scores["good"]
