"""What training draws against what there is: a table worked by hand, and one counted in a plain loop."""

import itertools
import math

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.balance import Balance, balance_of, rows
from nowcast.data.shares.climate import RAIN_CLASSES, SHAPE, climate, months_of
from nowcast.data.windows.settings import SEASONS
from tests.data.archives import frame, moving_rain, write
from tests.data.mnist.test_moving_mnist import module as of_digits
from tests.data.modules import module

DAY = 24 * 60


def by_name(table):
    return {(row.group, row.name): row for row in table}


def test_months_are_those_of_the_calendar():
    times = np.array(["1969-12-31T23:59:59", "1970-01-01", "2024-02-29T12:00", "2024-11-30"], dtype="datetime64[s]")
    assert months_of(times).tolist() == [12, 1, 2, 11]


def test_a_table_worked_by_hand():
    """Two windows of archive a in January and one in July, b has one in July and one without data; c has none."""
    first = (np.array([1, 1, 7], dtype=np.int8), np.array([0.0, 0.4, 0.02]), np.array([1.0, 0.5, 1.0]), 100)
    other = (np.array([7, 7], dtype=np.int8), np.array([0.2, 0.0]), np.array([1.0, 0.0]), 50)
    nothing = (np.empty(0, dtype=np.int8), np.empty(0), np.empty(0), 100)
    there = np.stack([climate(*first), climate(*other), climate(*nothing)])
    chances = [np.array([0.0, 3.0, 1.0]), np.array([4.0, 7.0]), np.empty(0)]
    drawn = np.stack([climate(*one, what) for one, what in zip((first, other, nothing), chances, strict=True)])
    table = by_name(rows(there, drawn, ["a", "b", "c"]))
    assert len(table) == 1 + 3 + 12 + len(RAIN_CLASSES)
    total = table["all", "all"]
    assert (total.windows, total.share, total.drawn, total.ratio) == (4, 1, 1, 1)
    assert total.rain == pytest.approx((0 + 20 + 2 + 10) / (100 + 50 + 100 + 50))
    assert total.rain_drawn == pytest.approx((3 * 20 + 2 + 4 * 10) / (3 * 50 + 100 + 4 * 50))
    a, b = table["archive", "a"], table["archive", "b"]
    assert (a.windows, a.share, a.drawn, a.rain) == (3, 0.75, 0.5, pytest.approx(22 / 250))
    assert (b.windows, b.share, b.drawn, b.ratio) == (1, 0.25, 0.5, 2.0)
    assert (b.rain, b.rain_drawn, b.rain_ratio) == (pytest.approx(0.2), pytest.approx(0.2), pytest.approx(1))
    january = table["month", "01"]
    assert (january.windows, january.share, january.drawn) == (2, 0.5, 3 / 8)
    assert (january.rain, january.rain_drawn) == (pytest.approx(20 / 150), pytest.approx(0.4))
    assert [table["rain", name].windows for name in RAIN_CLASSES] == [1, 0, 1, 0, 2]
    assert [table["rain", name].drawn for name in RAIN_CLASSES] == [0, 0, 1 / 8, 0, 7 / 8]
    empty = table["archive", "c"]
    assert (empty.windows, empty.share, empty.drawn) == (0, 0, 0)
    assert all(math.isnan(value) for value in (empty.ratio, empty.rain, empty.rain_drawn, empty.rain_ratio))
    dry = table["rain", "0 %"]
    assert (dry.rain, math.isnan(dry.rain_drawn), math.isnan(dry.rain_ratio)) == (0, True, True)


def test_a_table_of_nothing_has_no_numbers():
    (total,) = [row for row in rows(np.zeros((1, *SHAPE)), np.zeros((1, *SHAPE)), ["a"]) if row.group == "all"]
    assert total.windows == 0
    assert all(math.isnan(value) for value in (total.share, total.drawn, total.ratio, total.rain, total.rain_drawn))


@pytest.mark.parametrize("index", [None, "index"])
@pytest.mark.parametrize("changes", [{}, {"importance_floor": None}, {"crop": None, "eval_crop": None}])
def test_the_table_is_that_of_a_loop_over_the_windows(tmp_path, index, changes):
    paths = [
        moving_rain(tmp_path / "a.nc", 30, (32, 64)),
        with_gaps(tmp_path / "b.nc"),
        with_gaps(tmp_path / "c.nc", 70 * DAY),
    ]
    settings = {
        "crop": 32, "eval_crop": 32, "split": "blocks", "block_minutes": 25.0, "min_rain_fraction": 0.01,
        "min_valid_fraction": 0.5, "importance_floor": 0.1, "archive_weights": {"*": 1.0, "a": 3.0},
        "season_weights": dict.fromkeys(SEASONS, 1.0) | {"JJA": 2.0},
    }  # fmt: skip
    settings |= {"index": None if index is None else str(tmp_path / index)} | changes
    data = module(*paths, **settings)
    table = by_name(balance_of(data))
    dataset = data.dataset("train")
    sampler = data.train_dataloader().sampler
    chance = dict(enumerate(sampler.chances))
    positions = {tuple(row[:4]): number for number, row in enumerate(dataset.samples.tolist())}
    counted = []
    for number, (path, starts) in enumerate(zip(paths, data.starts("train"), strict=True)):
        archive, width = Archive(path), 64 if settings["crop"] is None else 32
        for start, x in itertools.product(starts.tolist(), range(0, 64, width)):
            rain = archive.read(slice(start, start + 5), slice(None), slice(x, x + width))
            valid, wet = np.isfinite(rain).sum(), (rain >= 0.1).sum()
            month = int(str(archive.times[start])[5:7])
            at = positions.get((number, start, 0, x))
            counted.append((archive.name, month, valid, wet, 0.0 if at is None else chance[at]))
    counted = [row for row in counted if row[2] > 0]
    assert table["all", "all"].windows == len(counted) > len(dataset) > 0
    groups = {("archive", name): [row for row in counted if row[0] == name] for name in "abc"}
    groups |= {("month", f"{m:02}"): [row for row in counted if row[1] == m] for m in range(1, 13)}
    groups["all", "all"] = counted
    for name, members in groups.items():
        row = table[name]
        valid, wet = (sum(one[k] for one in members) for k in (2, 3))
        assert row.windows == len(members)
        assert row.share == pytest.approx(len(members) / len(counted))
        assert row.drawn == pytest.approx(sum(one[4] for one in members))
        expected = wet / valid if valid else math.nan
        assert row.rain == pytest.approx(expected, nan_ok=True)
        drawn = [sum(one[4] * one[k] for one in members) for k in (2, 3)]
        expected = drawn[1] / drawn[0] if drawn[0] else math.nan
        assert row.rain_drawn == pytest.approx(expected, nan_ok=True)
    assert table["rain", "0 %"].drawn == 0 < table["rain", "0 %"].windows  # min_rain_fraction leaves them out
    assert table["month", "07"].drawn == pytest.approx(2 / 3)  # its weight is 2, that of May 1


@pytest.mark.parametrize("crops", [1, 2])
def test_draws_are_as_the_table_says_and_alike_each_time(tmp_path, crops):
    paths = [moving_rain(tmp_path / "a.nc", 30, (32, 64)), with_gaps(tmp_path / "b.nc", 70 * DAY)]
    weights = dict.fromkeys(SEASONS, 1.0) | {"JJA": 3.0}
    settings = {
        "crop": 32, "eval_crop": 32, "split": "blocks", "block_minutes": 25.0, "importance_floor": 0.1,
        "min_valid_fraction": 0.5, "season_weights": weights, "samples_per_epoch": 4000, "crops_per_window": crops,
    }  # fmt: skip
    drawn = []
    for data in (module(*paths, **settings), module(*paths, **settings)):
        sampler = data.train_dataloader().sampler
        sampler.set_epoch(3)
        batches = [batch for group in sampler for batch in group] if crops > 1 else [list(sampler)]
        drawn.append(np.concatenate(batches))
    np.testing.assert_array_equal(*drawn)
    dataset, table = data.dataset("train"), by_name(balance_of(data))
    months = dataset.months[drawn[0] % len(dataset)]
    assert len(months) == 4000
    for month in (5, 7):
        assert (months == month).mean() == pytest.approx(table["month", f"{month:02}"].drawn, abs=0.03)
    assert table["month", "07"].drawn == pytest.approx(0.75)


def with_gaps(path, later=0):
    """Rain that comes and goes, beyond a part without data, and frames in which all is without data; from May on."""
    draw = np.random.default_rng(later)
    fields = []
    for k in range(40):
        values = np.where(draw.random((32, 64)) < 0.3 * (k % 20 > 8), 2.0, 0.0)
        values[:20, :40] = np.nan
        fields.append(np.full_like(values, np.nan) if k > 32 else values)
    return write(path, [frame(later + 5 * k, values) for k, values in enumerate(fields)])


def test_what_is_no_radar_has_no_table(tmp_path):
    assert balance_of(of_digits(tmp_path)) == []


def test_ratios_of_a_row():
    row = Balance("all", "all", 3, 0.5, 1.0, 0.1, 0.3)
    assert (row.ratio, row.rain_ratio) == (2.0, pytest.approx(3.0))
