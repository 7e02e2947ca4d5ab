"""Calibrations of probabilities of exceedance, against loops and hand-worked tables."""

import numpy as np
import pytest
import torch

from nowcast.config.build import build, from_plain
from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.frequency import FrequencyCalibration
from nowcast.forecasting.calibration.method import Frequency, Reliability
from nowcast.forecasting.calibration.probability import LevelCalibration
from nowcast.forecasting.calibration.probability_fit import Tallies
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
    calibration = fitted(Frequency(1024, [0.1, 0.3]), said, target, mask)
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


@pytest.mark.parametrize("method", [Frequency(512, [0.1, 0.3]), Reliability(512)])
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


@pytest.mark.parametrize("method", [Frequency(64, [0.1, 0.3]), Reliability(64)])
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


@pytest.mark.parametrize("method", [Frequency(64, [0.1, 0.3]), Reliability(64)])
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
        Frequency(10, [0.1, 0.3]).csi(HEAD, SCALING, 5.0, LEADS)
    for method in (lambda levels: Frequency(levels, []), Reliability):
        with pytest.raises(ValueError, match=r"calibration\.levels must be at least 1, got 0"):
            method(0)
    for ratios in ([0.0, 0.5], [1.0], [0.2, 0.2], [float("nan")]):
        with pytest.raises(ValueError, match=r"calibration\.cost_loss must be different ratios between 0 and 1"):
            Frequency(10, ratios)
    with pytest.raises(ValueError, match="expected 3 lead times, got 2"):
        Frequency(10, [0.1, 0.3]).fitting(HEAD, LEADS).update(*(one[:, :2] for one in draws(cells=4)))


def test_more_lead_times_than_the_fit_use_the_last():
    calibration = LevelCalibration(2, 2, ["bias"])
    calibration.table.copy_(torch.tensor([[0.2, 0.3], [0.4, 0.6]])[:, None])
    assert calibration.rows(4)[:, 0].tolist() == [
        pytest.approx([0.2, 0.3]), pytest.approx([0.4, 0.6]), pytest.approx([0.4, 0.6]), pytest.approx([0.4, 0.6])
    ]  # fmt: skip


def test_each_decision_has_its_levels():
    """The best CSI and the least expense of all levels, each of one lead time and threshold, by its own field."""
    said, target, mask = draws(cells=128)
    calibration = fitted(Frequency(256, [0.1, 0.3]), said, target, mask)
    assert calibration.decisions == ("bias", "csi", "0.1", "0.3")
    fields = {name: calibration.decided_by(name).forecast(said, HEAD, SCALING) for name in calibration.decisions}
    assert {name: forecast.decision for name, forecast in fields.items()} == {name: name for name in fields}
    for forecast in fields.values():
        assert list(forecast.choices) == list(fields)
        assert torch.equal(forecast.levels, forecast.choices[forecast.decision])
    for lead, k in np.ndindex(3, 2):
        there, event = mask[:, lead, 0], target[:, lead, k] > 0

        def counts(name, lead=lead, k=k, there=there, event=event):
            yes = (fields[name].single()[:, lead, 0] >= HEAD.thresholds[k])[there]
            return (yes & event[there]).sum().item(), yes.sum().item(), event[there].sum().item()

        def score(name, wanted):
            hits, forecasts, events = counts(name)
            return hits / (forecasts + events - hits) if wanted == "csi" else float(wanted) * forecasts - hits

        assert counts("bias")[1] == pytest.approx(counts("bias")[2], rel=0.01)
        assert score("csi", "csi") == max(score(name, "csi") for name in fields)
        for ratio in ("0.1", "0.3"):  # expense / loss, less what all bear
            assert score(ratio, ratio) == min(score(name, ratio) for name in fields)
        # The probabilities are the square roots of reliable ones.
        assert calibration.table[lead, 3, k] == pytest.approx(0.3**0.5, abs=0.05)
    assert calibration.decided_by("csi").at([5.0, 12.5]).forecast(said[:, :2], HEAD, SCALING).decision == "csi"
    assert calibration.used == "bias"  # the one that was asked stays as it is


def test_a_decision_without_levels_is_refused():
    with pytest.raises(UsageError, match=r"decide=0\.2: .* holds levels for bias, csi, 0\.1; .*calibration\.cost_loss"):
        LevelCalibration(LEADS, 2, ["bias", "csi", "0.1"]).decided_by("0.2")


def test_reliable_probabilities_are_decided_by_the_ratio_itself():
    said, target, mask = draws()
    calibration = fitted(Reliability(50), said, target, mask)
    forecast = calibration.decided_by("0.2").at([5.0, 12.5, 15.0]).forecast(said, HEAD, SCALING)
    assert forecast.decision == "0.2"
    torch.testing.assert_close(forecast.levels, torch.full((3, 2), 0.2))
    assert calibration.forecast(said, HEAD, SCALING).levels is None
    with pytest.raises(UsageError, match=r"decide=bias: .* reliability.* such as decide=0\.2"):
        calibration.decided_by("bias")


def test_amounts_are_not_decided():
    with pytest.raises(UsageError, match=r"decide=bias: .* no levels of decision.*leave decide= out"):
        FrequencyCalibration(LEADS, 8).decided_by("bias")


def test_what_is_too_rare_for_a_fit_is_said(caplog):
    said, target, mask = draws()
    target[:, :, 1] = torch.where(target[:, :, 1].isnan(), torch.nan, 0.0)
    target[0, 1, 1, :3, :3] = 1.0
    calibration = fitted(Frequency(64, [0.1]), said, target, mask)
    assert "at least 2 mm/h was observed in " in caplog.text
    assert "those of 0.5 mm/h are taken" in caplog.text
    torch.testing.assert_close(calibration.table[:, :, 1], calibration.table[:, :, 0], rtol=0, atol=0)


def test_levels_of_a_head_that_says_amounts_are_refused():
    with pytest.raises(ValueError, match="GreyHead says amounts, and the calibration decides probabilities"):
        LevelCalibration(1, 1, ["bias"]).forecast(torch.zeros(1, 1, 1, 2, 2), GreyHead(), SCALING)
