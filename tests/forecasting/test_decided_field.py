"""The field that probabilities are decided to: its exceedances are the decisions, and it has no steps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nowcast.forecasting.decided_field import decided_field
from nowcast.forecasting.forecast import Exceedance

# 0.1 lies below its float32 and 0.7 above; 0.3 and the next one lie on both sides of theirs, too.
THRESHOLDS = [(0.1, 0.5, 1.0, 2.0, 5.0, 10.0), (0.7,), (0.3, 0.7), (0.1, 0.1000001, 6.7)]


def falling(seed, thresholds, dtype=torch.float32, cells=400):
    """Probabilities (2, 3, K, 20, cells/20) that fall along K, some of them 0, 1 or alike."""
    draw = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 3, len(thresholds), 20, cells // 20, generator=draw, dtype=torch.float64)
    sharp = torch.sigmoid(8 * torch.randn(values.shape, generator=draw, dtype=torch.float64))
    chosen = torch.where(torch.rand(values.shape, generator=draw) < 0.5, values, sharp).round(decimals=2)
    return chosen.cummin(dim=2).values.to(dtype)


def some_levels(seed, thresholds, *, rising):
    draw = torch.Generator().manual_seed(seed)
    levels = torch.rand(3, len(thresholds), generator=draw).clamp(0.01, 0.99).round(decimals=2)  # met exactly by some
    return levels.sort(dim=1).values if rising else levels


@pytest.mark.parametrize("thresholds", THRESHOLDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_its_exceedances_are_the_decisions(thresholds, dtype, seed):
    values, levels = falling(seed, thresholds, dtype), some_levels(seed, thresholds, rising=True).to(dtype)
    field = decided_field(values, levels, thresholds)[:, :, 0]
    for k, threshold in enumerate(thresholds):
        decided = values[:, :, k] >= levels[None, :, k, None, None]
        assert torch.equal(field >= torch.tensor(threshold, dtype=dtype), decided)
        assert torch.equal(field.double() >= threshold, decided)  # as who reads the file may compare
        assert (field.numpy() >= threshold).tolist() == decided.tolist()


@pytest.mark.parametrize("thresholds", THRESHOLDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_where_levels_cross_the_cautious_decision_counts(thresholds, seed):
    values, levels = falling(seed, thresholds), some_levels(seed, thresholds, rising=False)
    field, reached = decided_field(values, levels, thresholds)[:, :, 0], torch.ones(1, dtype=torch.bool)
    for k, threshold in enumerate(thresholds):
        reached = reached & (values[:, :, k] >= levels[None, :, k, None, None])
        assert torch.equal(field >= threshold, reached)


def test_a_cell_is_what_it_is_alone():
    """Only cells that are wet are computed, all of them together."""
    values, levels = falling(5, THRESHOLDS[0], torch.float64), some_levels(5, THRESHOLDS[0], rising=False)
    values[1, 2, :, 3, 4] = torch.nan
    whole = decided_field(values, levels, THRESHOLDS[0])
    alone = torch.empty_like(whole)
    for row, column in np.ndindex(*values.shape[3:]):
        cell = ..., slice(row, row + 1), slice(column, column + 1)
        alone[cell] = decided_field(values[cell], levels, THRESHOLDS[0])
    torch.testing.assert_close(whole, alone, rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("thresholds", THRESHOLDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_it_rises_with_every_probability(thresholds, seed):
    values, levels = falling(seed, thresholds, torch.float64), some_levels(seed, thresholds, rising=False)
    field = decided_field(values, levels, thresholds)
    draw = torch.Generator().manual_seed(seed)
    for k in range(len(thresholds)):
        more = values.clone()
        more[:, :, k] += (1 - more[:, :, k]) * torch.rand(more[:, :, k].shape, generator=draw, dtype=torch.float64)
        assert (decided_field(more, levels, thresholds) >= field * (1 - 1e-12)).all()


@pytest.mark.parametrize("thresholds", THRESHOLDS)
def test_it_ends_where_it_should(thresholds):
    levels = some_levels(3, thresholds, rising=False)
    dry = torch.zeros(2, 3, len(thresholds), 4, 4)
    assert (decided_field(dry, levels, thresholds) == 0).all()
    most = decided_field(torch.ones_like(dry), levels, thresholds)
    beyond = thresholds[-1] ** 2 / thresholds[-2] if len(thresholds) > 1 else 2 * thresholds[-1]
    assert most.max() <= beyond * (1 + 1e-6)
    assert most.min() > 0.95 * beyond
    dry[0, 1, -1, 2, 3] = torch.nan
    np.testing.assert_array_equal(decided_field(dry, levels, thresholds)[:, :, 0].isnan(), dry[:, :, -1].isnan())


def test_it_is_worked_by_hand():
    # Thresholds 1, 2 and 8 mm/h, levels of ½; odds of ¾ are 3, of 0.9 they are 9, of 0.1 one ninth.
    cells = {
        (0.49, 0.1, 0.0): 0.0,
        (0.5, 0.1, 0.0): 1.0,
        (0.75, 0.25, 0.0): 2**0.5,  # as far above the one as below the other
        (0.9, 0.75, 0.1): 2 * 4 ** (1 / 3),  # ln 3 above, ln 9 below: a third of the way
        (0.9, 0.75, 0.5): 8.0,
        (0.9, 0.75, 2 / 3): 16.0,  # twice the odds: half of the way to 32
        (0.9, 0.8, 0.8): 8 * 4**0.75,  # four times the odds
    }
    values = torch.tensor(list(cells), dtype=torch.float64).T[None, None, :, None]
    found = Exceedance(values, (1.0, 2.0, 8.0)).single().flatten()
    assert found.tolist() == pytest.approx(list(cells.values()), abs=1e-12)


@pytest.mark.parametrize("levels", [[0.5, 0.5, 0.5], [0.22, 0.15, 0.1], [0.3, 0.5, 0.6]])
def test_it_has_no_step(levels):
    """Probabilities that change a little change the rate a little, also where a threshold is passed."""
    logit = torch.linspace(-12, 12, 24001, dtype=torch.float64)  # steps of 0.001
    values = torch.sigmoid(torch.stack([logit, logit - 1, logit - 3]))[None, None, :, None]
    field = decided_field(values, torch.tensor([levels], dtype=torch.float64), (1.0, 2.0, 8.0)).flatten()
    assert (field.diff() >= 0).all()
    wet = field[field > 0]
    assert wet[0] == pytest.approx(1.0, rel=1e-3)  # below the first threshold nothing was said
    assert (wet[1:] / wet[:-1]).max() < 1.002
    assert (wet[wet < 30].diff() > 0).all()  # nowhere flat


def test_heavy_rain_is_worked_by_hand():
    """Level ½ of 8 mm/h, whose odds of 1, 2 and 4 make 8, 16 and 8·4^¾ mm/h, which are to be 9, 13 and 40."""
    steps = [8.0, 16.0, 8 * 4**0.75]
    heavy = torch.tensor([[steps], [[9.0, 13.0, 40.0]]], dtype=torch.float64)[None]
    cells = {0.4: None, 0.5: 9.0, 2 / 3: 13.0, 0.8: 40.0, 0.95: 40.0}
    values = torch.tensor([(0.9, 0.85, p) for p in cells], dtype=torch.float64).clamp(max=0.9).T[None, None, :, None]
    values[..., -1] = 0.95
    without = Exceedance(values, (1.0, 2.0, 8.0)).single().flatten()
    field = Exceedance(values, (1.0, 2.0, 8.0), heavy=heavy).single().flatten()
    assert field.tolist() == pytest.approx([without[0].item(), *list(cells.values())[1:]])
    halfway = Exceedance(values[..., 2:3], (1.0, 2.0, 8.0), heavy=heavy.index_fill(-1, torch.tensor(1), 18.0)).single()
    assert halfway.item() == pytest.approx(9.0 + (18.0 - 9.0) * (16 - 8) / (18 - 8))
    unknown = Exceedance(values, (1.0, 2.0, 8.0), heavy=torch.full_like(heavy, torch.nan)).single().flatten()
    assert torch.equal(unknown, without)


def test_heavy_rates_are_those_of_the_lead_time():
    values = torch.full((1, 2, 2, 1, 1), 0.7)
    heavy = torch.tensor([[[2.0, 4.0], [2.0, 4.0]], [[3.0, 5.0], [30.0, 50.0]]])[None]
    both = Exceedance(values, (1.0, 2.0), heavy=heavy)
    assert both.single()[0, 1, 0, 0, 0] == pytest.approx(10 * both.single()[0, 0, 0, 0, 0].item())
    torch.testing.assert_close(both.lead(1).single(), both.single()[:, 1:])


def test_cells_that_are_alike_have_the_middle_of_what_they_are_matched_with():
    values = torch.full((1, 1, 1, 1, 2), 0.75, dtype=torch.float64)
    said = Exceedance(values, (1.0,)).single().flatten()[0].item()
    heavy = torch.tensor([[[said] * 3], [[2.0, 3.0, 4.0]]], dtype=torch.float64)[None]
    assert Exceedance(values, (1.0,), heavy=heavy).single().flatten().tolist() == [2.5, 2.5]


@pytest.mark.parametrize("thresholds", THRESHOLDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_heavy_rates_change_no_decision_and_no_order(thresholds, seed):
    values, levels = falling(seed, thresholds), some_levels(seed, thresholds, rising=True)
    values[0, 1, :, 3, 4] = torch.nan
    draw = torch.Generator().manual_seed(seed)
    heavy = (thresholds[-1] * (1 + 9 * torch.rand(2, 2, 3, 17, generator=draw))).sort(dim=3).values
    heavy[1, :, 2] = torch.nan
    without, field = (decided_field(values, levels, thresholds, told) for told in (None, heavy))
    for threshold in thresholds:
        assert torch.equal(field >= threshold, without >= threshold)
    lighter = ~(without >= thresholds[-1])
    torch.testing.assert_close(field[lighter], without[lighter], rtol=0, atol=0, equal_nan=True)
    for one, before, told in zip(field.flatten(0, 2), without.flatten(0, 2), heavy[:, 1].flatten(0, 1), strict=True):
        order = before[before.isfinite()].sort().indices
        assert (one[before.isfinite()][order].diff() >= 0).all()
        if told.isfinite().all():
            assert one[one.isfinite()].max() <= told.max()
