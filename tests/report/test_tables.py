"""Tables on the terminal."""

import dataclasses
import io
import math

import numpy as np
import pytest
from rich.console import Console

from nowcast.report.tables import score_table, shown_lead_times, variant_table
from nowcast.verification.per_frame.variants import VariantScores
from nowcast.verification.results import SCORES, ModelScores


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


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (12, [1, 3, 5, 7, 9, 11]), (15, None)])
def test_lead_times_shown_end_with_the_last(count, expected):
    shown = shown_lead_times([5.0 * (k + 1) for k in range(count)])
    assert shown[-1] == count - 1
    assert len(shown) == min(6, count)
    assert expected is None or shown == expected


BEST = {"csi": "highest", "far": "lowest"}


def variant(model="net", csi=(0.5, 0.25), far=(0.1, math.nan)):
    by_lead_time = {"csi": np.array(csi), "far": np.array(far)}
    overall = {"csi": float(np.mean(csi)), "far": float(np.mean(far))}
    return VariantScores("paper", model, (6.0, 12.0), "minutes", by_lead_time, overall, BEST)


def test_the_table_shows_the_best_of_each_column():
    out = io.StringIO()
    table = variant_table(
        [variant(far=(0.1, 0.2)), variant("rover1", (0.9, 0.8), (0.3, 0.3)), variant("x", far=(0.2, math.nan))]
    )
    Console(file=out, force_terminal=True, width=80, color_system="standard").print(table)
    text = out.getvalue()
    assert "\x1b[1m0.850\x1b[0m" in text
    assert "\x1b[1m0.150\x1b[0m" in text
    assert "\x1b[1m0.375" not in text
    assert "\N{EN DASH}" in text
