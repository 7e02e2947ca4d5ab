"""Tables on the terminal, as CSV and as netCDF."""

import csv
import dataclasses
import io

import numpy as np
import pytest
import xarray
from rich.console import Console

from nowcast.report.tables import (
    score_table,
    shown_lead_times,
    write_continuous_csv,
    write_scores_csv,
    write_scores_netcdf,
)
from nowcast.verification.results import SCORES, ModelScores
from nowcast.verification.scores.categorical import COUNTS
from tests.programs import rows


def scores_of(name, hole=False, steps=8):
    csi = np.linspace(0.9, 0.2, 2 * steps).reshape(2, steps)
    if hole:
        csi = csi / 2
        csi[1, 3:] = np.nan
    counts = np.arange(4 * 2 * steps).reshape(4, 2, steps)
    return ModelScores(
        name,
        (0.5, 5.0),
        tuple(5.0 * (k + 1) for k in range(steps)),
        counts,
        {key: csi.copy() for key in SCORES},
        {key: np.arange(steps) / 7 for key in ("mae", "rmse", "me", "rainfall_mse", "correlation", "n")},
        np.zeros(steps, dtype=np.int64),
    )


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


def text(table, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_the_table_fits_eighty_columns_and_shows_undefined_as_a_dash():
    printed = text(score_table([scores_of("persistence"), scores_of("convlstm_calibrated", hole=True)], "csi"))
    assert max(map(len, printed.splitlines())) <= 80
    assert "CSI by lead time (minutes)" in printed
    assert "–" in printed  # noqa: RUF001
    assert "nan" not in printed
    assert "convlstm_calibrated" in printed
    assert "0.900" in printed
    assert "0.853" not in printed  # 10 minutes is not among the six lead times shown
    assert f"{np.linspace(0.9, 0.2, 16)[8:11].mean() / 2:.3f}/3" in printed
    assert "/n: mean of the n of 8 lead times where the score is defined" in printed


def bold(models, score, column=2):
    """The cells of a column, with * where bold."""
    cells = score_table(models, score).columns[column].cells
    return [cell.plain + ("*" if cell.style == "bold" else "") for cell in cells]


def with_values(name, *values):
    """One threshold, one lead time per value."""
    scores = {key: np.array([values], dtype=float) for key in SCORES}
    minutes = tuple(5.0 * (k + 1) for k in range(len(values)))
    steps = len(values)
    return ModelScores(name, (1.0,), minutes, np.zeros((4, 1, steps), int), scores, {}, np.zeros(steps, int))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("csi", ["0.700", "1.200*", "–", "0.900"]),  # noqa: RUF001
        ("far", ["0.700*", "1.200", "–", "0.900"]),  # noqa: RUF001
        ("bias", ["0.700", "1.200", "–", "0.900*"]),  # noqa: RUF001
    ],
)
def test_the_best_of_a_column_is_bold(score, expected):
    models = [with_values(f"m{k}", value) for k, value in enumerate((0.7, 1.2, np.nan, 0.9))]
    assert bold(models, score) == expected
    assert bold(models, score, column=-1) == expected


def test_equal_values_are_not_bold_and_ties_for_the_best_are():
    assert bold([with_values("a", 0.0), with_values("b", 0.0)], "csi") == ["0.000", "0.000"]
    assert bold([with_values("a", np.nan), with_values("b", 0.5)], "csi") == ["–", "0.500"]  # noqa: RUF001
    three = [with_values("a", 0.5), with_values("b", 0.5), with_values("c", 0.1)]
    assert bold(three, "csi") == ["0.500*", "0.500*", "0.100"]


def test_the_last_column_is_the_mean_of_the_defined_lead_times():
    models = [with_values("a", 0.2, np.nan, 0.4), with_values("b", np.nan, np.nan, np.nan)]
    assert bold(models, "csi", column=-1) == ["0.300/2", "–"]  # noqa: RUF001


def test_means_over_other_lead_times_are_not_called_the_best():
    # A false alarm ratio that is defined at lead 1 only, where it is worse than the other model's.
    models = [with_values("seldom", 0.167, np.nan, np.nan), with_values("often", 0.1, 0.7, 0.991)]
    assert bold(models, "far") == ["0.167", "0.100*"]
    assert bold(models, "far", column=-1) == ["0.167/1", "0.597"]
    undefined = with_values("never", np.nan, np.nan, np.nan)
    alike = [undefined, with_values("a", 0.2, np.nan, 0.4), with_values("b", 0.1, np.nan, 0.2)]
    assert bold(alike, "far", column=-1) == ["–", "0.300/2", "0.150/2*"]  # noqa: RUF001


def test_large_values_and_names_with_brackets_are_shown_as_they_are():
    printed = text(score_table([with_values("[bold]x[/bold]", 1234.56), with_values("b", -0.25)], "bias"))
    assert "[bold]x[/bold]" in printed
    assert "1234.6" in printed
    assert "-0.250" in printed


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_name_is_folded_and_no_number_is_cut(width):
    model = scores_of("a_model_with_a_name_much_longer_than_the_column_for_it")
    printed = text(score_table([model], "csi"), width)
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    for value in (*model.scores["csi"][0, [0, 3, 7]], model.scores["csi"][1].mean()):
        assert f"{value:.3f}" in printed


def test_tables_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="unknown score 'rmse'"):
        score_table([scores_of("a")], "rmse")
    with pytest.raises(ValueError, match="no scores"):
        score_table([], "csi")
    with pytest.raises(ValueError, match="names must differ, got a, a"):
        score_table([scores_of("a"), scores_of("a")], "csi")
    with pytest.raises(ValueError, match="b and a have other thresholds or lead times"):
        score_table([scores_of("a"), scores_of("b", steps=7)], "csi")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": ()}, "need a threshold and a lead time, got 0 and 8"),
        ({"thresholds": (0.5, 1.0, 2.0)}, "3 thresholds and 8 lead times, but shapes"),
        ({"counts": np.zeros((3, 2, 8), int)}, r"'counts': \(3, 2, 8\)"),
        ({"missing_forecasts": np.zeros(7, int)}, r"'missing_forecasts': \(7,\)"),
        ({"continuous": {"mae": np.zeros(9)}}, r"'mae': \(9,\)"),
        ({"scores": {"csi": np.zeros((2, 8))}}, r"scores are \['csi'\], need"),
    ],
)
def test_arrays_of_another_shape_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(scores_of("a"), **change)


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


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (12, [1, 3, 5, 7, 9, 11]), (15, None)])
def test_lead_times_shown_end_with_the_last(count, expected):
    shown = shown_lead_times([5.0 * (k + 1) for k in range(count)])
    assert shown[-1] == count - 1
    assert len(shown) == min(6, count)
    assert expected is None or shown == expected
