"""The files of estimates: every row and byte."""

import dataclasses

import numpy as np
import pytest

from nowcast.report.estimate_files import write_differences_csv, write_estimates_csv, write_events_csv, write_strata_csv
from nowcast.verification.bootstrap import Bootstrap, Difference, Estimate
from nowcast.verification.intervals import Estimates, by_region, estimate
from nowcast.verification.scores.continuous import Continuous
from nowcast.verification.scores.spatial import Fractions
from tests.programs import rows
from tests.statistics import mixed_statistics, statistics

BOOTSTRAP = Bootstrap(300, 0.9, 10, 0)
MODELS = {"good": 0.3, "bad": 3.0, "moved": "shift"}

INTERVALS = """\
model,family,score,threshold_mmh,axis,position,lead_time,value,low,high,blocks,lead_times
a,continuous,rmse,,,,5,0.3333333,0,0.6666667,12,1
a,continuous,rmse,,,,7.5,nan,nan,nan,12,1
a,fss,fss,0.5,window,3,5,0.5,0.1666667,0.8333333,12,1
a,fss,fss,2,window,3,5,1e-12,-0.3333333,0.3333333,12,1
a,fss,fss,0.5,window,3,7.5,1.234568e+08,1.234568e+08,1.234568e+08,12,1
a,fss,fss,2,window,3,7.5,1,0.6666667,1.333333,12,1
a,continuous,rmse,,,,mean,0.6666667,0.3333333,1,12,2
"""
DIFFERENCES = """\
model,other,family,score,threshold_mmh,axis,position,lead_time,difference,gain,low,high,verdict,blocks,lead_times
a,"b, c",continuous,rmse,,,,5,0.3333333,-0.3333333,-0.3333333,1e+09,better,12,1
a,"b, c",continuous,rmse,,,,7.5,nan,nan,nan,nan,better,12,1
a,"b, c",continuous,rmse,,,,mean,0.6666667,-0.6666667,-0.6666667,1e+09,better,12,1
"""


def of(values, lead_times=1):
    value = np.array(values)
    return Estimate(value, value - 1 / 3, value + 1 / 3, np.full(value.shape, lead_times))


def gain_of(values):
    value = np.array(values)
    verdict, one = np.full(value.shape, "better"), np.ones(value.shape, dtype=np.int64)
    return Difference(value, -value, -value - 1e-9, -value + 1e9, verdict, one)


def test_seven_digits_and_empty_cells(tmp_path):
    families = {"continuous": Continuous(), "fss": Fractions([0.5, 2.0], [3], "inside")}
    fractions = of([[[0.5], [1e-12]], [[123456789.0], [1.0]]])
    numbers = Estimates(
        12, 34, True,
        {"a": {"continuous/rmse": of([1 / 3, np.nan]), "fss/fss": fractions}},
        {"a": {"continuous/rmse": of([2 / 3], 2)}},
        {("a", "b, c"): {"continuous/rmse": gain_of([1 / 3, np.nan])}},
        {("a", "b, c"): {"continuous/rmse": gain_of([2 / 3])}},
    )  # fmt: skip
    write_estimates_csv(tmp_path / "i.csv", numbers, families, [5.0, 7.5])
    write_differences_csv(tmp_path / "d.csv", numbers, families, [5.0, 7.5])
    assert (tmp_path / "i.csv").read_bytes().decode() == INTERVALS
    assert (tmp_path / "d.csv").read_bytes().decode() == DIFFERENCES


def test_a_file_has_a_row_for_every_number(tmp_path):
    sums, families = statistics(MODELS)
    numbers = estimate(sums, families, BOOTSTRAP)
    write_estimates_csv(tmp_path / "i.csv", numbers, families, sums.lead_times)
    table = rows(tmp_path / "i.csv")
    chosen = [
        row for row in table
        if (row["model"], row["score"], row["threshold_mmh"], row["position"]) == ("moved", "fss", "2", "9")
    ]  # fmt: skip
    assert [row["lead_time"] for row in chosen] == ["5", "10", "15", "mean"]
    assert {row["axis"] for row in chosen} == {"window"}
    assert {row["blocks"] for row in chosen} == {"12"}
    expected = numbers.scores["moved"]["fss/fss"].value[:, 1, 1]
    np.testing.assert_allclose([float(row["value"]) for row in chosen[:3]], expected, rtol=1e-6)
    write_differences_csv(tmp_path / "d.csv", numbers, families, sums.lead_times)
    pairs = [row for row in rows(tmp_path / "d.csv") if row["score"] == "rmse" and row["lead_time"] == "mean"]
    assert next((row["model"], row["other"], row["verdict"]) for row in pairs) == ("good", "bad", "better")
    assert float(pairs[0]["difference"]) == pytest.approx(-float(pairs[0]["gain"]))


def test_strata_and_regions_have_rows(tmp_path):
    sums, families = statistics(MODELS)
    regions = dict(by_region(sums))
    write_strata_csv(tmp_path / "s.csv", sums, families)
    table = rows(tmp_path / "s.csv")
    assert {row["stratum"] for row in table} == {"block", "season", "region"}
    one = [row for row in table if (row["group"], row["model"], row["score"]) == ("W", "bad", "csi")]
    assert float(one[0]["value"]) == pytest.approx(float(regions["W"]["bad"]["csi"]), rel=1e-6)


def test_a_model_has_no_row_of_what_it_cannot_give(tmp_path):
    sums, families = mixed_statistics()
    numbers = estimate(sums, families, BOOTSTRAP)
    write_estimates_csv(tmp_path / "i.csv", numbers, families, sums.lead_times)
    found = {(row["model"], row["family"]) for row in rows(tmp_path / "i.csv")}
    assert {family for model, family in found if model == "field"} == families.keys()
    missing = {family for family in families if ("probabilities", family) not in found}
    assert missing == {"spectrum", "ensemble", "rank"}
    write_differences_csv(tmp_path / "d.csv", numbers, families, sums.lead_times)
    pairs = {(row["other"], row["family"]) for row in rows(tmp_path / "d.csv")}
    assert {family for other, family in pairs if other == "probabilities"}.isdisjoint(missing)
    assert ("members", "ensemble") in pairs


def test_events_are_counted_by_hand(tmp_path):
    """Three models in four events: hits, misses, false alarms, correct negatives at one threshold and lead time."""
    sums, families = statistics({"a": 0.1, "b": 0.2, "c": 0.3})
    counts = np.zeros((3, 4, 3, 2, 4))
    counts[0, :, 0, 0] = [(5, 5, 0, 0), (2, 2, 0, 0), (0, 3, 0, 1), (0, 0, 0, 4)]  # CSI .5, .5, 0, undefined
    counts[1, :, 0, 0] = [(4, 6, 0, 0), (2, 2, 0, 0), (1, 2, 0, 1), (0, 0, 1, 3)]  # .4, .5, .33, 0
    counts[2, :, 0, 0] = [(6, 4, 0, 0), (1, 3, 0, 0), (0, 3, 0, 1), (0, 0, 0, 4)]  # .6, .25, 0, undefined
    events = {"windows": np.ones((3, 4, 3)), "categorical/counts": counts}
    groups = sums.groups | {"event": ("e1", "e2", "e3", "e4")}
    write_events_csv(tmp_path / "e.csv", dataclasses.replace(sums, groups=groups, sums={"event": events}), families)
    found = {
        (row["model"], row["other"]): (row["ahead"], row["level"], row["behind"])
        for row in rows(tmp_path / "e.csv")
        if (row["threshold_mmh"], row["lead_time"]) == ("0.5", "5")
    }
    assert found == {
        ("a", "b"): ("1", "2", "1"), ("b", "a"): ("1", "2", "1"),
        ("a", "c"): ("1", "2", "1"), ("c", "a"): ("1", "2", "1"),
        ("b", "c"): ("2", "1", "1"), ("c", "b"): ("1", "1", "2"),
        ("a", "every other"): ("0", "2", "2"), ("b", "every other"): ("1", "2", "1"),
        ("c", "every other"): ("1", "1", "2"),
    }  # fmt: skip
