"""Tables on the terminal, as CSV and as netCDF."""

import csv
import io

import numpy as np
import pytest
import xarray
from rich.console import Console

from nowcast.tables import (
    ModelScores,
    score_table,
    shown_lead_times,
    write_continuous_csv,
    write_scores_csv,
    write_scores_netcdf,
)


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
        {key: csi for key in ("csi", "pod", "far", "bias", "hss", "ets")},
        {key: np.arange(steps) / 7 for key in ("mae", "rmse", "me", "rainfall_mse", "correlation", "n")},
        np.zeros(steps, dtype=np.int64),
    )


def test_csv_has_the_columns_that_others_rely_on(tmp_path):
    write_scores_csv(tmp_path / "s.csv", [scores_of("a"), scores_of("b", hole=True)])
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = "model threshold lead_time_minutes hits misses false_alarms correct_negatives csi pod far bias hss ets"
    assert " ".join(rows[0]) == columns
    assert len(rows) == 2 * 2 * 8
    value = repr(float(scores_of("a").scores["csi"][1, 1]))
    assert list(rows[9].values()) == ["a", "5.0", "10.0", "9", "25", "41", "57", *[value] * 6]
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
    printed = text(
        score_table([scores_of("persistence"), scores_of("convlstm_calibrated", hole=True)], "csi", "highest")
    )
    assert max(map(len, printed.splitlines())) <= 80
    assert "CSI by lead time (minutes)" in printed
    assert "-" in printed
    assert "0.900" in printed
    assert "0.853" not in printed  # 10 minutes is not among the six lead times shown


def test_the_best_is_bold():
    table = score_table([scores_of("a"), scores_of("b", hole=True)], "csi", "highest")
    last = list(table.columns[2].cells)
    assert last[0].startswith("[bold]")
    assert not last[1].startswith("[bold]")


def test_the_best_bias_is_nearest_one():
    low, high = scores_of("low"), scores_of("high")
    low.scores["bias"] = np.full((2, 8), 0.7)
    high.scores["bias"] = np.full((2, 8), 1.2)
    cells = list(score_table([low, high], "bias", "nearest one").columns[2].cells)
    assert cells[:2] == ["0.700", "[bold]1.200[/bold]"]


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (12, [1, 3, 5, 7, 9, 11]), (15, None)])
def test_lead_times_shown_end_with_the_last(count, expected):
    shown = shown_lead_times([5.0 * (k + 1) for k in range(count)])
    assert shown[-1] == count - 1
    assert len(shown) == min(6, count)
    assert expected is None or shown == expected
