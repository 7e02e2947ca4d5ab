"""Index arithmetic of windows, splits and tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nowcast.data.windows.index import (
    BlockSplit,
    frames_per_step,
    owned_from,
    tile_corners,
    whole_archives,
    window_starts,
    windows_of_split,
    windows_within,
)
from nowcast.data.windows.settings import SplitSettings


def clock(*minutes):
    return np.datetime64("2024-01-01", "s") + np.asarray(minutes) * np.timedelta64(60, "s")


def test_every_start_without_gaps():
    assert window_starts(clock(*range(0, 50, 5)), 4, 300, 1, 1).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_no_window_spans_a_gap():
    times = clock(0, 5, 10, 20, 25, 30, 35)
    assert window_starts(times, 3, 300, 1, 1).tolist() == [0, 3, 4]


def test_stride_counts_from_the_first_complete_window():
    times = clock(0, *range(100, 200, 5))  # the first frame stands alone
    assert window_starts(times, 3, 300, 1, 4).tolist() == [1, 5, 9, 13, 17]


def test_longer_steps_skip_frames():
    times = clock(*range(0, 40, 5))
    assert window_starts(times, 3, 600, 2, 1).tolist() == [0, 1, 2, 3]
    assert window_starts(np.delete(times, 4), 3, 600, 2, 1).tolist() == []


@pytest.mark.parametrize("times", [clock(), clock(0), clock(0, 5)])
def test_too_few_frames_give_no_window(times):
    assert len(window_starts(times, 3, 300, 1, 1)) == 0


@given(st.lists(st.integers(1, 3), max_size=30), st.integers(1, 6), st.integers(1, 3))
def test_windows_are_exactly_the_complete_runs(steps, length, stride):
    times = clock(0, *np.cumsum(steps) * 5)
    starts = window_starts(times, length, 300, 1, 1)
    for start in range(len(times)):
        run = times[start : start + length]
        complete = len(run) == length and (np.diff(run).astype(int) == 300).all()
        assert (start in starts) == complete
    thinned = window_starts(times, length, 300, 1, stride)
    assert set(thinned) <= set(starts)
    assert len(thinned) == 0 or (thinned[0] == starts[0] and ((thinned - starts[0]) % stride == 0).all())


def test_steps_must_be_whole_multiples():
    assert frames_per_step(120, 600) == 5
    with pytest.raises(ValueError, match="10 min is not a whole multiple of the archive's 6 min"):
        frames_per_step(360, 600)


def test_no_frame_belongs_to_windows_of_two_splits():
    times = clock(*range(0, 24 * 60, 5))
    split = BlockSplit(120, 0.2, 0.3, 15, seed=1).assign(times)
    starts = window_starts(times, 6, 300, 1, 1)
    frames = [set() for _ in range(3)]
    for number in range(3):
        for start in windows_of_split(starts, 6, 1, split, number):
            frames[number] |= set(range(start, start + 6))
    assert all(frames)
    assert not frames[0] & frames[1] | frames[0] & frames[2] | frames[1] & frames[2]


def test_the_gap_between_splits_is_kept():
    times = clock(*range(0, 24 * 60, 5))
    split = BlockSplit(120, 0.2, 0.3, 30, seed=1).assign(times)
    minutes = np.arange(len(times)) * 5
    for a in range(3):
        for b in range(a):
            distance = np.abs(minutes[split == a][:, None] - minutes[split == b][None]).min()
            assert distance > 30


def test_shares_are_those_asked_for():
    split = BlockSplit(60, 0.25, 0.25, 0, seed=0).assign(clock(*range(0, 100 * 60, 60)))
    assert [(split == k).sum() for k in range(3)] == [50, 25, 25]


def test_few_blocks_still_give_each_split_one():
    split = BlockSplit(60, 0.1, 0.1, 0, seed=0).assign(clock(0, 60, 120))
    assert sorted(split) == [0, 1, 2]


def test_the_draw_is_the_seeds():
    times = clock(*range(0, 100 * 60, 60))
    draws = [BlockSplit(60, 0.25, 0.25, 0, seed=s).assign(times).tolist() for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_windows_stay_within_a_block_even_beside_one_of_the_same_split():
    blocks = BlockSplit(240, 0, 0, 0, seed=0).block_of_frame(clock(*range(0, 24 * 60, 6)))
    assert [(blocks == k).sum() for k in range(6)] == [40] * 6
    starts = windows_within(np.arange(221), 20, 1, blocks)
    assert [((starts >= 40 * k) & (starts < 40 * (k + 1))).sum() for k in range(6)] == [21] * 6
    assert set(starts % 40) == set(range(21))
    assert windows_within(np.array([19, 20, 21]), 11, 2, blocks).tolist() == [19]  # frames 19, 21, … 39


def test_an_archives_own_draw_is_its_names_and_the_seeds():
    times = clock(*range(0, 24 * 60, 6))
    shares = BlockSplit(240, 1 / 6, 1 / 6, 0, seed=3)
    days = [f"day_{k}" for k in range(20)]
    draws = {day: shares.of_archive(day).assign(times).tolist() for day in days}
    assert len({tuple(draw) for draw in draws.values()}) > 10
    assert draws["day_7"] == BlockSplit(240, 1 / 6, 1 / 6, 0, seed=3).of_archive("day_7").assign(times).tolist()
    assert any(shares.of_archive(day) != BlockSplit(240, 1 / 6, 1 / 6, 0, seed=4).of_archive(day) for day in days)
    for draw in draws.values():
        assert np.bincount(draw).tolist() == [160, 40, 40]


def test_whole_archives_are_drawn_by_name_not_by_order():
    names = [f"day_{k:02}" for k in range(12)]
    shares = BlockSplit(240, 1 / 6, 1 / 6, 0, seed=0)
    split = whole_archives(names, shares)
    assert split == whole_archives(names[::-1], shares)
    assert np.bincount(list(split.values())).tolist() == [8, 2, 2]


@pytest.mark.parametrize("change", [(0, 0.1, 0.1, 0), (60, 0.6, 0.4, 0), (60, -0.1, 0.1, 0), (60, 0.1, 0.1, -1)])
def test_impossible_splits_are_refused(change):
    with pytest.raises(ValueError, match="must be"):
        SplitSettings("blocks", [], [], *change)


@given(st.integers(1, 70), st.integers(1, 40))
def test_tiles_own_every_cell_once(size, tile):
    corners = tile_corners(size, tile)
    owned = np.zeros(size, dtype=int)
    for index, corner in enumerate(corners):
        owned[corner + owned_from(corners, index, tile) : corner + tile] += 1
    assert (owned == 1).all()
