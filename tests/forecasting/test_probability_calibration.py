"""Calibrations of probabilities of exceedance, against loops and hand-worked tables."""

import numpy as np
import pytest
import torch

from nowcast.config.build import build, from_plain
from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.method import Frequency, Reliability
from nowcast.forecasting.calibration.probability import LevelCalibration
from nowcast.forecasting.calibration.probability_fit import Tallies, level_of_bias_one
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.scaling import GreyScale

HEAD, SCALING = ExceedanceHead([0.5, 2.0]), GreyScale(118.239, 1.5241, -10.0, 60.0)
LEADS = (5.0, 10.0, 15.0)


def draws(seed=0, cells=64):
    """Probabilities that are too high by a square root, events, and a mask: (B, T, K, H, W)."""
    draw = torch.Generator().manual_seed(seed)
    true = torch.rand(4, 3, 1, cells, cells, generator=draw) ** 3 * torch.tensor([1.0, 0.4])[:, None, None]
    target = (torch.rand(4, 3, 1, cells, cells, generator=draw) < true).float()
    mask = torch.rand(4, 3, 1, cells, cells, generator=draw) > 0.2
    return true.sqrt(), target.masked_fill(~mask, torch.nan), mask


def fitted(method, said, target, mask):
    fit = method.fitting(HEAD, LEADS)
    fit.update(said[:2], target[:2], mask[:2])
    fit.update(said[2:], target[2:], mask[2:])
    return fit.fit()


def test_levels_give_the_observed_frequency():
    said, target, mask = draws()
    calibration = fitted(Frequency(1024), said, target, mask)
    forecast = calibration.forecast(said, HEAD, SCALING)
    torch.testing.assert_close(forecast.values, said)  # probabilities stay
    field = forecast.single()
    for lead in range(3):
        for k, threshold in enumerate(HEAD.thresholds):
            there = mask[:, lead, 0]
            wanted = target[:, lead, k][there].mean().item()
            got = (field[:, lead, 0] >= threshold)[there].float().mean().item()
            assert got == pytest.approx(wanted, rel=0.01)
            assert (said[:, lead, k] >= 0.5)[there].float().mean().item() > 1.3 * wanted


def test_reliability_maps_to_the_frequency_that_followed():
    said, target, mask = draws()
    calibration = fitted(Reliability(50), said, target, mask)
    assert (calibration.table.diff(dim=-1) >= 0).all()
    mapped = calibration.forecast(said, HEAD, SCALING).values
    torch.testing.assert_close(mapped[:, :, 0].mean(), (said[:, :, 0] ** 2).mean(), rtol=0.02, atol=0)
    inner = (said > 0.2) & (said < 0.9)
    assert ((mapped - said**2).abs()[inner]).mean() < 0.03
    brier = [((p - target).square().nan_to_num() * mask).sum() for p in (said, mapped)]
    assert brier[1] < 0.95 * brier[0]


def test_levels_worked_by_hand():
    # Classes 0, (0, ¼], (¼, ½], (½, ¾], (¾, 1]: 10 cells each. 10 events: the top class; 15: half way into the next.
    forecasts = np.full(5, 10.0)
    for events, level in ((10.0, 0.75), (15.0, 0.625), (40.0, 0.125), (50.0, 0.125), (1.0, 0.975)):
        spread = np.full(5, events / 5)
        assert level_of_bias_one(forecasts, spread) == pytest.approx(level)
    assert level_of_bias_one(forecasts, np.zeros(5)) == 0.5  # never observed
    assert level_of_bias_one(np.array([50.0, 0, 0, 0, 0]), np.full(5, 2.0)) == 0.5  # never forecast


def test_tallies_equal_a_loop():
    said, target, mask = draws(cells=5)
    tallies = Tallies(3, 2, 8)
    tallies.update(said, target, mask)
    forecasts, events = np.zeros((3, 2, 9)), np.zeros((3, 2, 9))
    for place in np.ndindex(*said.shape):
        b, t, k, y, x = place
        if mask[b, t, 0, y, x]:
            number = int(np.ceil(said[place].item() * 8))
            forecasts[t, k, number] += 1
            events[t, k, number] += target[place].item()
    np.testing.assert_array_equal(tallies.compute()[0], forecasts)
    np.testing.assert_array_equal(tallies.compute()[1], events)


@pytest.mark.parametrize("method", [Frequency(512), Reliability(512)])
@pytest.mark.parametrize("threshold", [0.5, 2.0])
def test_the_csi_before_the_fit_is_that_after_it(method, threshold):
    said, target, mask = draws()
    csi = method.csi(HEAD, SCALING, threshold, LEADS)
    csi.update(said, target, mask)
    field = fitted(method, said, target, mask).forecast(said, HEAD, SCALING).single()
    k = HEAD.thresholds.index(threshold)
    for lead in range(3):
        there = mask[:, lead, 0]
        yes, event = (field[:, lead, 0] >= threshold)[there], target[:, lead, k][there] > 0
        expected = (yes & event).sum() / (yes | event).sum()
        assert csi.compute()[lead].item() == pytest.approx(expected.item(), abs=0.01)


@pytest.mark.parametrize("method", [Frequency(64), Reliability(64)])
def test_rows_are_by_lead_time(method):
    said, target, mask = draws(cells=16)
    whole = fitted(method, said, target, mask)
    torch.testing.assert_close(whole.at([5.0, 15.0]).table, whole.table[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(whole.at([7.5]).table[0], whole.table[:2].mean(0))
    again = build(from_plain(whole.node()))
    again.load_state_dict(whole.state_dict())
    torch.testing.assert_close(
        again.forecast(said, HEAD, SCALING).single(), whole.forecast(said, HEAD, SCALING).single()
    )
    by_rows = method.fitting(HEAD, LEADS)
    for lead in (2, 0, 1):
        one = slice(lead, lead + 1)
        by_rows.update(said[:, one], target[:, one], mask[:, one], [lead])
    torch.testing.assert_close(by_rows.fit().table, whole.table, rtol=0, atol=0)


@pytest.mark.parametrize("method", [Frequency(64), Reliability(64)])
def test_nothing_valid_changes_nothing(method):
    said, target, mask = draws(cells=4)
    fit = method.fitting(HEAD, LEADS)
    fit.update(said, torch.full_like(target, torch.nan), torch.zeros_like(mask))
    torch.testing.assert_close(fit.fit().table, fit.fit().like(LEADS).table)
    csi = method.csi(HEAD, SCALING, 0.5, LEADS)
    csi.update(said, torch.full_like(target, torch.nan), torch.zeros_like(mask))
    assert csi.compute().isnan().all()


def test_what_does_not_fit_the_head_is_refused():
    with pytest.raises(UsageError, match=r"calibration=reliability maps probabilities.*head=exceedance"):
        Reliability(10).fitting(GreyHead(), LEADS)
    with pytest.raises(UsageError, match="calibration=reliability maps probabilities"):
        Reliability(10).csi(GreyHead(), SCALING, 0.5, LEADS)
    with pytest.raises(UsageError, match=r"main_threshold=5 is not among head\.thresholds=\[0\.5, 2\.0\]"):
        Frequency(10).csi(HEAD, SCALING, 5.0, LEADS)
    for method in (Frequency, Reliability):
        with pytest.raises(ValueError, match=r"calibration\.levels must be at least 1, got 0"):
            method(0)
    with pytest.raises(ValueError, match="expected 3 lead times, got 2"):
        Frequency(10).fitting(HEAD, LEADS).update(*(one[:, :2] for one in draws(cells=4)))


def test_more_lead_times_than_the_fit_use_the_last():
    calibration = LevelCalibration(2, 2)
    calibration.table.copy_(torch.tensor([[0.2, 0.3], [0.4, 0.6]]))
    assert calibration.rows(4).tolist() == [
        pytest.approx([0.2, 0.3]), pytest.approx([0.4, 0.6]), pytest.approx([0.4, 0.6]), pytest.approx([0.4, 0.6])
    ]  # fmt: skip
