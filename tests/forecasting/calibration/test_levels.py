"""Decision levels out of tallies, by hand and against loops over all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nowcast.forecasting.calibration.levels import (
    FEW,
    fitted_levels,
    level_of_best_csi,
    level_of_bias_one,
    level_of_least_expense,
    with_neighbours,
)

L, DECISIONS = 8, ("bias", "csi", "0.2")
BORDERS = np.arange(L + 1) / L


@st.composite
def tallies(draw):
    forecasts = np.array(draw(st.lists(st.integers(0, 50), min_size=L + 1, max_size=L + 1)), dtype=float)
    return forecasts, np.array([draw(st.integers(0, int(n))) for n in forecasts], dtype=float)


def reached(tally, level):
    """Cells of classes that lie above a level, which is a border of classes or half of the first one."""
    return tally[1:][BORDERS[1:] > level].sum()


def test_bias_one_by_hand():
    # Classes 0, (0, ¼], (¼, ½], (½, ¾], (¾, 1]: 10 cells each. 10 events: the top class; 15: half way into the next.
    forecasts = np.full(5, 10.0)
    for events, level in ((10.0, 0.75), (15.0, 0.625), (40.0, 0.125), (50.0, 0.125), (1.0, 0.975)):
        assert level_of_bias_one(forecasts, np.full(5, events / 5)) == pytest.approx(level)
    assert level_of_bias_one(forecasts, np.zeros(5)) == 0.5  # never observed
    assert level_of_bias_one(np.array([50.0, 0, 0, 0, 0]), np.full(5, 2.0)) == 0.5  # never forecast


def test_csi_and_expense_by_hand():
    forecasts, events = np.array([90.0, 10, 10, 0, 10]), np.array([1.0, 1, 4, 0, 8])
    # From ¾ on 8/(10+14-8), from ½ on the same, from ¼ on 12/(20+14-12), from 0 on 13/(30+14-13).
    assert level_of_best_csi(forecasts, events) == 0.25
    assert level_of_least_expense(forecasts, events, 0.3) == 0.25  # of (¼, ½] 4 of 10 come, of (0, ¼] 1 of 10
    assert level_of_least_expense(forecasts, events, 0.6) == 0.5  # from ½ or ¾ on is the same: nearest to the ratio
    assert level_of_least_expense(forecasts, events, 0.9) == 1.0  # too dear
    assert level_of_least_expense(forecasts, events, 0.05) == 0.125  # always, but for what has probability 0
    assert level_of_best_csi(forecasts, np.zeros(5)) == 0.5
    assert level_of_least_expense(np.zeros(5), np.zeros(5), 0.3) == 0.25
    assert level_of_least_expense(np.array([9.0, 10, 0, 0, 0]), np.array([1.0, 1, 0, 0, 0]), 0.5) == 0.5  # not so high


@given(tally=tallies())
@settings(max_examples=200, deadline=None)
def test_no_level_is_better(tally):
    forecasts, events = tally
    seen, every = events.sum(), [1 / (2 * L), *BORDERS[1:]]

    def csi(level):
        hits, said = reached(events, level), reached(forecasts, level)
        return hits / (said + seen - hits) if said + seen else 0.0

    def expense(level, ratio):
        return ratio * reached(forecasts, level) + seen - reached(events, level)

    if events[1:].sum():
        assert csi(level_of_best_csi(forecasts, events)) == max(csi(one) for one in every)
    for ratio in (0.05, 0.2, 0.5):
        best = min(expense(one, ratio) for one in every)
        assert expense(level_of_least_expense(forecasts, events, ratio), ratio) == pytest.approx(best, abs=1e-5)
    levels = [level_of_least_expense(forecasts, events, ratio) for ratio in (0.05, 0.2, 0.5, 0.9)]
    assert levels == sorted(levels)  # who pays more for protection waits for a higher probability


def test_few_events_are_fitted_with_those_of_neighbouring_lead_times():
    events = np.zeros((5, 1, 3))
    events[:, 0, 2] = [FEW, FEW - 1, 1, 0, FEW]
    forecasts = 10 * events + 1
    pooled = with_neighbours(forecasts, events)[1][:, 0, 2]
    assert pooled.tolist() == [FEW, 2 * FEW, FEW, FEW + 1, FEW]
    assert with_neighbours(forecasts, events)[0][1].tolist() == forecasts[:3].sum(0).tolist()
    assert events[:, 0, 2].tolist() == [FEW, FEW - 1, 1, 0, FEW]  # as they were
    few = events / (3 * FEW)
    assert with_neighbours(forecasts, few)[1][:, 0].sum(-1) == pytest.approx(few.sum())


def test_too_rare_thresholds_take_the_levels_below():
    draw = np.random.default_rng(0)
    forecasts = draw.integers(200, 400, (4, 3, L + 1)).astype(float)
    events = np.floor(forecasts * BORDERS)
    rare = events.copy()
    rare[:, 1] = 0
    rare[0, 1, -1] = FEW - 1
    levels = fitted_levels(forecasts, rare, DECISIONS)
    np.testing.assert_array_equal(levels[:, :, 1], levels[:, :, 0])
    np.testing.assert_array_equal(levels[:, :, [0, 2]], fitted_levels(forecasts, events, DECISIONS)[:, :, [0, 2]])
    nothing = fitted_levels(forecasts, np.zeros_like(events), DECISIONS)
    assert (nothing == np.array([0.5, 0.5, 0.2])[:, None]).all()
