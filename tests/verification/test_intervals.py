"""Numbers of a report: intervals, differences, strata and regions."""

import numpy as np
import pytest
import torch

from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import (
    by_region,
    by_stratum,
    estimate,
)
from nowcast.verification.scores.categorical import categorical_scores
from tests.statistics import statistics

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
