"""The files of scores: every column and digit, and what reads them back."""

import csv

import numpy as np
import pytest
import xarray

from nowcast.data.archive.frame import DataFormatError
from nowcast.report.score_files import (
    read_variant_csv,
    write_continuous_csv,
    write_scores_csv,
    write_scores_netcdf,
    write_variant_csv,
)
from nowcast.verification.results import SCORES
from nowcast.verification.scores.categorical import COUNTS
from tests.programs import rows
from tests.report.test_tables import BEST, scores_of, variant


def test_csv_has_the_columns_that_others_rely_on(tmp_path):
    write_scores_csv(tmp_path / "s.csv", [scores_of("a"), scores_of("b", hole=True)])
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = "model threshold lead_time_minutes hits misses false_alarms correct_negatives csi pod far bias hss ets"
    columns += " pofd f1 sedi"
    assert " ".join(rows[0]) == columns
    assert len(rows) == 2 * 2 * 8
    value = repr(float(scores_of("a").scores["csi"][1, 1]))
    assert list(rows[9].values()) == ["a", "5.0", "10.0", "9", "25", "41", "57", *[value] * 9]
    assert rows[-1]["csi"] == "nan"


def test_continuous_csv(tmp_path):
    write_continuous_csv(tmp_path / "e.csv", [scores_of("a")])
    with (tmp_path / "e.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["model", "lead_time_minutes", "mae"]
    assert float(rows[7]["rmse"]) == 1.0


def test_netcdf_holds_the_same(tmp_path):
    models = [scores_of("a"), scores_of("b", hole=True)]
    write_scores_netcdf(tmp_path / "s.nc", models)
    with xarray.open_dataset(tmp_path / "s.nc", engine="netcdf4", decode_timedelta=False) as dataset:
        one = dataset.sel(model="b", threshold=5.0)
        np.testing.assert_array_equal(one.csi, models[1].scores["csi"][1])
        np.testing.assert_array_equal(one.hits, models[1].counts[0, 1])
        assert dataset.lead_time.attrs["units"] == "minutes"
    assert [file.name for file in tmp_path.iterdir()] == ["s.nc"]


def test_csv_holds_every_number_to_the_last_digit(tmp_path):
    draw = np.random.default_rng(3)
    models = [scores_of('b, "quoted" ü'), scores_of("a", hole=True)]
    for model in models:
        model.scores["bias"][:] = draw.random((2, 8)) * 10.0 ** draw.integers(-300, 300, (2, 8))
        model.counts[:] = draw.integers(0, 2**62, (4, 2, 8))
        model.continuous["me"][:] = -1 / 3
        model.missing_forecasts[:] = draw.integers(0, 2**62, 8)
    models[0].scores["ets"][0, 0] = np.inf
    write_scores_csv(tmp_path / "new" / "s.csv", models)
    write_continuous_csv(tmp_path / "new" / "e.csv", models)
    for file, names in (("s.csv", (*COUNTS, *SCORES)), ("e.csv", (*models[0].continuous, "missing_forecasts"))):
        written = rows(tmp_path / "new" / file)
        for model in models:
            own = [row for row in written if row["model"] == model.name]
            minutes = [float(row["lead_time_minutes"]) for row in own]
            assert minutes == list(model.lead_minutes) * (2 if file == "s.csv" else 1)
            known = dict(zip(COUNTS, model.counts, strict=True)) | model.scores | model.continuous
            known["missing_forecasts"] = model.missing_forecasts
            for name in names:
                kind = known[name].dtype.type
                np.testing.assert_array_equal([kind(row[name]) for row in own], known[name].ravel(), err_msg=name)
    assert b"\r" not in (tmp_path / "new" / "s.csv").read_bytes()
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["e.csv", "s.csv"]


@pytest.mark.parametrize("write", [write_scores_csv, write_continuous_csv])
def test_a_failure_half_way_keeps_the_earlier_csv(tmp_path, write):
    (tmp_path / "s.csv").write_text("earlier")
    broken = scores_of("b")
    object.__setattr__(broken, "scores", {})  # fails at the second model's rows
    object.__setattr__(broken, "continuous", {})
    with pytest.raises(KeyError):
        write(tmp_path / "s.csv", [scores_of("a"), broken])
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"s.csv": "earlier"}


def test_written_and_read_back(tmp_path):
    models = [variant(), variant("rover1", (1 / 3, 0.0), (0.2, 0.3))]
    write_variant_csv(tmp_path / "paper.csv", models)
    lines = (tmp_path / "paper.csv").read_text().splitlines()
    assert lines[0] == "model,lead_time_minutes,csi,far"
    assert lines[1:3] == ["net,overall,0.375,nan", "net,6.0,0.5,0.1"]
    again = read_variant_csv(tmp_path / "paper.csv", BEST)
    assert [model.model for model in again] == ["net", "rover1"]
    for one, two in zip(models, again, strict=True):
        assert (one.lead_times, one.unit, one.variant) == (two.lead_times, two.unit, two.variant)
        for name in BEST:
            np.testing.assert_array_equal(one.by_lead_time[name], two.by_lead_time[name])
            np.testing.assert_equal(one.overall[name], two.overall[name])


@pytest.mark.parametrize(
    "content",
    ["", "model,lead_time_minutes,csi\n", "model,lead_time_minutes,csi,far\nnet,overall,1,x\n",
     "model,lead_time_minutes,csi,far\nnet,6.0,1,1\n", "model,lead_time_minutes,csi,far\nnet,overall,1,1\nnet,6.0,1\n"],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "paper.csv").write_text(content)
    with pytest.raises(DataFormatError, match=r"paper\.csv"):
        read_variant_csv(tmp_path / "paper.csv", BEST)
