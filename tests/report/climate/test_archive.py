"""Statistics of an archive, worked by hand: months, hours, the record, its steps, suspects; and the picture of them."""

import json

import numpy as np
import pytest
from PIL import Image

from nowcast.data.shares.cells import CellCounts, Suspects
from nowcast.report.climate import archive as climate
from nowcast.report.climate.archive import remarks, statistics_of
from nowcast.report.climate.picture import SUSPECT, plot_statistics

SUSPECTS = Suspects(wet_above=0.2, seen_in=0.1)
TIMES = ["2023-12-31T23:55", "2024-01-01T00:00", "2024-01-01T00:05", "2024-03-05T12:00", "2024-12-31T23:00"]


def counts_of(rain, times=TIMES):
    rain = np.asarray(rain, dtype=float)
    known, wet = ~np.isnan(rain), rain >= 0.1
    parts = known.sum(axis=0), wet.sum(axis=0), known.sum(axis=(1, 2)), wet.sum(axis=(1, 2))
    return CellCounts("radar", np.array(times, dtype="datetime64[s]"), *parts)


def years():
    """Five frames of 1×4 cells: the third cell appears in March, the fourth never; the first is always wet."""
    nan = np.nan
    return counts_of([[[1, 0, nan, nan]], [[1, 0, nan, nan]], [[1, 1, nan, nan]], [[1, 0, 0, nan]], [[1, nan, 0, nan]]])


def test_months_hours_and_record_are_those_of_the_calendar():
    found = statistics_of(years(), SUSPECTS)
    assert (found["frames"], found["days"], found["rain"]) == (5, 4, pytest.approx(6 / 11))
    assert found["no_data"] == pytest.approx(9 / 20)
    months = {row["month"]: row for row in found["months"]}
    assert months[12] == {"month": 12, "frames": 2, "rain": 0.5, "no_data": 0.5}
    assert months[1] == {"month": 1, "frames": 2, "rain": 0.75, "no_data": 0.5}
    assert months[3] == {"month": 3, "frames": 1, "rain": pytest.approx(1 / 3), "no_data": 0.25}
    assert months[7] == {"month": 7, "frames": 0, "rain": None, "no_data": None}
    hours = {row["hour"]: row for row in found["hours"]}
    assert [hours[h]["frames"] for h in (0, 12, 23, 5)] == [2, 1, 2, 0]
    assert hours[23]["rain"] == 0.5
    assert [row["month"] for row in found["record"]] == ["2023-12", "2024-01", "2024-03", "2024-12"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_radar_that_appears_is_a_step():
    found = statistics_of(years(), SUSPECTS)
    assert found["steps"] == [
        {"month": "2024-03", "more_cells_with_data": 0.25}, {"month": "2024-12", "more_cells_with_data": -0.25},
    ]  # fmt: skip
    assert remarks(found)[-2:] == [
        "radar: in 2024-03 25% of the cells get data that had none",
        "radar: in 2024-12 25% of the cells have no data that had some",
    ]


def test_cells_that_are_always_wet_are_suspects_the_most_wet_first(monkeypatch):
    found = statistics_of(years(), SUSPECTS)
    suspects = [{"row": 0, "column": 0, "wet": 1.0}, {"row": 0, "column": 1, "wet": 0.25}]
    assert found["clutter"] == {"wet_above": 0.2, "cells": 2, "most_suspect": suspects}
    assert found["cells_without_data"] == 1
    assert remarks(found)[:2] == [
        "radar: 2 of 4 cells are wet in more than 20% of the time; of 4 days that may be rain",
        "radar: 1 of 4 cells never have data",
    ]
    monkeypatch.setattr(climate, "MOST_SUSPECTS", 1)
    assert statistics_of(years(), SUSPECTS)["clutter"]["most_suspect"] == suspects[:1]
    monkeypatch.setattr(climate, "ENOUGH_DAYS", 4)
    assert remarks(found)[0].endswith("of the time: clutter?")


def test_a_cell_that_is_hardly_seen_is_no_suspect_and_20_percent_is_not_more():
    rain = np.zeros((40, 1, 2))
    rain[:8, 0, 0] = 1.0  # 20 %
    rain[3:, 0, 1], rain[:3, 0, 1] = np.nan, 1.0  # in 3 of 40 frames
    times = np.datetime64("2024-05-01T00:00", "s") + np.arange(40) * 300
    assert statistics_of(counts_of(rain, times), SUSPECTS)["clutter"]["cells"] == 0
    rain[8, 0, 0] = 1.0
    assert statistics_of(counts_of(rain, times), SUSPECTS)["clutter"]["cells"] == 1


def test_an_archive_without_any_data_has_no_numbers():
    found = statistics_of(counts_of(np.full((5, 2, 2), np.nan)), SUSPECTS)
    assert (found["rain"], found["no_data"], found["cells_without_data"]) == (None, 1.0, 4)
    assert all(row["rain"] is None for row in found["months"] + found["hours"] + found["record"])
    assert (found["steps"], found["clutter"]["cells"]) == ([], 0)


@pytest.mark.parametrize("wet", ["a cell", "nothing", "no data"])
def test_the_picture_shows_suspects_where_there_are_some(tmp_path, wet):
    rain = np.full((5, 30, 40), np.nan if wet == "no data" else 0.0)
    if wet == "a cell":
        rain[:, 10, 12] = 2.0
    counts = counts_of(rain)
    path = plot_statistics(counts, statistics_of(counts, SUSPECTS), SUSPECTS, tmp_path / "radar.png")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (800, 1300, 3)
    right = pixels[:400, 870:]  # the third map
    colour = [int(SUSPECT[k : k + 2], 16) for k in (1, 3, 5)]
    assert (right == colour).all(axis=-1).any() == (wet == "a cell")
