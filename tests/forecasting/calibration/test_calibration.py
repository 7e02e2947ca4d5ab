"""Frequency calibration: after it, each intensity is as frequent as it was observed."""

import numpy as np
import pytest
import torch

from nowcast.forecasting.calibration.frequency import FrequencyCalibration
from nowcast.forecasting.calibration.frequency_fit import CalibratedCsi, CalibrationFit, _match

LEVELS = 512


def fitted(forecast, observed, mask=None):
    mask = torch.ones_like(forecast, dtype=torch.bool) if mask is None else mask
    fit = CalibrationFit(forecast.shape[1], LEVELS)
    fit.update(forecast, observed, mask)
    return fit.fit()


def rain(power, dry, seed):
    """(B, T, C, H, W) grey values, a share of them exactly 0."""
    draw = torch.Generator().manual_seed(seed)
    shape = (4, 2, 1, 64, 64)
    grey = torch.rand(shape, generator=draw) ** power
    return torch.where(torch.rand(shape, generator=draw) < dry, 0.0, grey)


def test_frequencies_match_afterwards():
    forecast, observed = rain(6, 0.0, 0) * 0.6, rain(3, 0.7, 1)  # too smooth and too weak, as networks are
    mapped = fitted(forecast, observed)(forecast)
    for lead in (0, 1):
        for level in (0.05, 0.2, 0.373, 0.5, 0.8):
            wanted = (observed[:, lead] >= level).double().mean().item()
            got = (mapped[:, lead] >= level).double().mean().item()
            assert got == pytest.approx(wanted, rel=0.05)
        assert (forecast[:, lead] >= 0.8).sum() == 0


def test_lead_times_are_fitted_apart():
    forecast = rain(3, 0.2, 0)
    observed = forecast.clone()
    observed[:, 1] = 0
    mapped = fitted(forecast, observed)(forecast)
    wet = [(x[:, 0] > 0).float().mean().item() for x in (mapped, forecast)]
    assert wet[0] == pytest.approx(wet[1], abs=0.01)
    assert not mapped[:, 1].any()


def test_equal_distributions_are_left_alone():
    grey = rain(3, 0.3, 0)
    assert (fitted(grey, grey)(grey) - grey).abs().max() < 2 / LEVELS


def test_the_mapping_is_monotone_and_inside_the_range():
    table = fitted(rain(5, 0.1, 0), rain(2, 0.6, 1)).table
    assert (table.diff(dim=1) >= 0).all()
    assert table.min() >= 0
    assert table.max() <= 1


def test_masked_cells_do_not_count():
    forecast, observed = rain(3, 0.0, 0), rain(2, 0.5, 1)
    mask = torch.zeros_like(forecast, dtype=torch.bool)
    mask[:2] = True
    spoilt = torch.where(mask, observed, torch.nan)
    torch.testing.assert_close(fitted(forecast, spoilt, mask).table, fitted(forecast[:2], observed[:2]).table)


def test_batches_add_up():
    forecast, observed = rain(3, 0.0, 0), rain(2, 0.5, 1)
    fit = CalibrationFit(2, LEVELS)
    for k in range(len(forecast)):
        fit.update(forecast[k : k + 1], observed[k : k + 1], torch.ones_like(forecast[:1], dtype=torch.bool))
    assert torch.equal(fit.fit().table, fitted(forecast, observed).table)


def test_nothing_to_fit_on_changes_nothing():
    grey = rain(2, 0.0, 0)
    calibration = fitted(grey, grey, torch.zeros_like(grey, dtype=torch.bool))
    torch.testing.assert_close(calibration(grey), grey)


def test_no_data_stays_no_data_and_late_steps_use_the_last_fit():
    calibration = FrequencyCalibration(2, 4)
    calibration.table[1] = calibration.table[1] * 0.5
    grey = torch.full((1, 4, 1, 1, 2), 0.8)
    grey[..., 1] = torch.nan
    mapped = calibration(grey)
    assert mapped[0, :, 0, 0, 0].tolist() == pytest.approx([0.8, 0.4, 0.4, 0.4])
    assert mapped[..., 1].isnan().all()


def test_the_state_loads_strictly():
    calibration = fitted(rain(3, 0.0, 0), rain(2, 0.5, 1))
    other = FrequencyCalibration(2, LEVELS)
    other.load_state_dict(calibration.state_dict(), strict=True)
    assert torch.equal(other.table, calibration.table)


def test_a_wrong_number_of_lead_times_is_refused():
    with pytest.raises(ValueError, match="expected 3 lead times, got 2"):
        CalibrationFit(3, 8).update(*([torch.zeros(1, 2, 1, 1, 1)] * 2), torch.ones(1, 2, 1, 1, 1, dtype=torch.bool))


def test_the_frequency_bias_is_one_at_the_thresholds_of_the_papers():
    forecast, observed = rain(6, 0.0, 2) * 0.7, rain(2, 0.6, 3)
    mapped = fitted(forecast, observed)(forecast)
    for grey in (0.32825, 0.37342, 0.46243, 0.55111, 0.61820, 0.72453):
        observed_events = (observed >= grey).sum().item()
        assert (mapped >= grey).sum().item() / observed_events == pytest.approx(1, abs=0.03)
        assert (forecast >= grey).sum().item() / observed_events < 0.8  # there was something to correct


def test_sorted_values_map_onto_sorted_observations():
    forecast, observed = rain(5, 0.0, 4), rain(2, 0.0, 5)
    mapped = fitted(forecast, observed)(forecast)
    for lead in (0, 1):
        truth = np.sort(observed[:, lead].numpy().ravel())
        # Quantile mapping: rank for rank. Half of the rain of power 5 lies in few classes, so only its upper part.
        upper = slice(len(truth) // 2, len(truth) * 99 // 100)
        assert np.abs(np.sort(mapped[:, lead].numpy().ravel()) - truth)[upper].max() < 0.01


def test_an_order_of_forecasts_stays():
    calibration = fitted(rain(5, 0.1, 0), rain(2, 0.6, 1))
    grey = torch.linspace(0, 1, 2001).view(1, 1, 1, 1, -1).expand(1, 2, 1, 1, -1)
    assert (calibration(grey).diff(dim=-1) >= 0).all()
    assert calibration(grey).max() > 0.9


def test_nothing_observed_dries_everything():
    forecast = rain(3, 0.0, 0)
    assert forecast.max() > 0.9
    assert not fitted(forecast, torch.zeros_like(forecast))(forecast).any()


def test_a_single_pixel_by_hand():
    # Forecast classes 1..4 of 4 levels once each; observed 0 (twice), 0.5 and 1: the wetter half gets the rain.
    forecast = torch.tensor([0.25, 0.5, 0.75, 1.0]).view(4, 1, 1, 1, 1)
    observed = torch.tensor([0.0, 0.0, 0.5, 1.0]).view(4, 1, 1, 1, 1)
    fit = CalibrationFit(1, 4)
    fit.update(forecast, observed, torch.ones_like(forecast, dtype=torch.bool))
    assert fit.forecast.tolist() == [[0, 1, 1, 1, 1]]
    assert fit.observed.tolist() == [[2, 0, 1, 0, 1]]
    calibration = fit.fit()
    assert calibration(forecast).flatten().tolist() == [0.0, 0.0, 0.5, 1.0]


def test_two_fits_merge_into_the_fit_of_all():
    forecast, observed = rain(3, 0.0, 0), rain(2, 0.5, 1)
    mask = torch.ones_like(forecast, dtype=torch.bool)
    parts = [CalibrationFit(2, LEVELS), CalibrationFit(2, LEVELS)]
    for part, rows in zip(parts, (slice(0, 1), slice(1, 4)), strict=True):
        part.update(forecast[rows], observed[rows], mask[rows])
    parts[0].merge_state(parts[1])
    assert torch.equal(parts[0].fit().table, fitted(forecast, observed).table)


def test_a_state_of_other_lead_times_does_not_load():
    with pytest.raises(RuntimeError, match="size mismatch"):
        FrequencyCalibration(3, 4).load_state_dict(FrequencyCalibration(2, 4).state_dict(), strict=True)


# -- other lead times than those of the fit ------------------------------------------------------------------


def stairs(lead_times):
    """Lead time number k maps grey 1 to (k + 1) / 10, linearly."""
    calibration = FrequencyCalibration(lead_times, 4)
    for k in range(len(lead_times)):
        calibration.table[k] *= (k + 1) / 10
    return calibration


@pytest.mark.parametrize(
    ("lead_times", "expected"),
    [
        ([6, 12, 18], [0.1, 0.2, 0.3]),
        ([12, 18], [0.2, 0.3]),
        ([9, 10, 15], [0.15, 0.1 + 0.1 * 4 / 6, 0.25]),
        ([18], [0.3]),
    ],
)
def test_each_lead_time_gets_its_own_mapping_or_that_between_two(lead_times, expected, caplog):
    mapped = stairs([6.0, 12.0, 18.0]).at(lead_times)
    assert mapped.lead_times == tuple(lead_times)
    assert mapped(torch.ones(1, len(lead_times), 1, 1, 1)).flatten().tolist() == pytest.approx(expected)
    assert not caplog.records


def test_lead_times_of_the_fit_keep_their_mapping_to_the_last_bit():
    fitted_at = [100 * (k + 1) / 60 for k in range(30)]
    calibration = FrequencyCalibration(fitted_at, LEVELS)
    calibration.table.copy_(torch.rand(30, LEVELS + 1).cumsum(1))
    assert torch.equal(calibration.at(fitted_at).table, calibration.table)
    assert torch.equal(calibration.at(fitted_at[2::3]).table, calibration.table[2::3])


def test_what_was_not_fitted_is_said(caplog):
    mapped = stairs([6.0, 12.0]).at([5, 10, 15, 20])
    assert mapped(torch.ones(1, 4, 1, 1, 1)).flatten().tolist() == pytest.approx([0.1, 0.1 + 0.1 * 4 / 6, 0.2, 0.2])
    late, early = caplog.messages
    assert "lead times of 6 to 12: 15, 20 are later than all, and calibrated as the last" in late
    assert "5 is earlier than all" in early


def test_where_lead_times_are_not_known_the_number_of_the_step_counts_and_that_is_said(caplog):
    calibration = stairs([6.0, 12.0])
    unknown = FrequencyCalibration(2, 4)
    unknown.table.copy_(calibration.table)
    assert unknown.at([5, 10]) is unknown
    assert "by number of step" in caplog.text


def test_a_batch_goes_to_the_lead_times_that_it_has():
    forecast, observed = rain(3, 0.0, 0), rain(2, 0.5, 1)
    mask = torch.ones_like(forecast, dtype=torch.bool)
    fit = CalibrationFit([5.0, 6.0, 10.0, 12.0], LEVELS)
    fit.update(forecast[:2], observed[:2], mask[:2], (0, 2))
    fit.update(forecast[2:], observed[2:], mask[2:], (1, 3))
    assert fit.fit().lead_times == (5.0, 6.0, 10.0, 12.0)
    assert torch.equal(fit.fit().table[::2], fitted(forecast[:2], observed[:2]).table)
    assert torch.equal(fit.fit().table[1::2], fitted(forecast[2:], observed[2:]).table)


def test_a_lead_time_without_cells_keeps_its_device():
    with torch.device("meta"):  # what does not name a device would land there, as it would beside counts on a GPU
        table = _match(torch.zeros(5, device="cpu", dtype=torch.float64), torch.ones(5, device="cpu"))
    assert (table.device.type, table.tolist()) == ("cpu", [0.0, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_fit_on_a_gpu_with_a_lead_time_without_cells():
    forecast, observed = rain(3, 0.0, 0).cuda(), rain(2, 0.5, 1).cuda()
    mask = torch.ones_like(forecast, dtype=torch.bool)
    mask[:, 1] = False
    fit = CalibrationFit(2, LEVELS).cuda()
    fit.update(forecast, observed, mask)
    table = fit.fit().table
    torch.testing.assert_close(table[1], torch.linspace(0, 1, LEVELS + 1))
    torch.testing.assert_close(table[:1], fitted(forecast[:, :1].cpu(), observed[:, :1].cpu()).table)


# -- CSI after the calibration, which chooses the best epoch -------------------------------------------------


def csi_after_calibrating(forecast, observed, mask, threshold):
    """By its definition: fit, map, count."""
    mapped = fitted(forecast, observed, mask)(forecast)
    said, seen = (mapped >= threshold) & mask, (observed >= threshold) & mask
    return [float((said & seen)[:, k].sum() / (said | seen)[:, k].sum()) for k in range(forecast.shape[1])]


@pytest.mark.parametrize("threshold", [0.1, 0.37342, 0.7])
def test_csi_after_the_calibration_is_known_without_a_second_pass(threshold):
    observed = rain(2, 0.6, 1)
    forecast = (observed * 0.5 + rain(4, 0.0, 2) * 0.5) * 0.3  # it knows something, and never reaches the threshold
    mask = torch.rand(forecast.shape, generator=torch.Generator().manual_seed(3)) < 0.8
    metric = CalibratedCsi(threshold, 2, LEVELS)
    for part in (slice(0, 1), slice(1, 4)):
        metric.update(forecast[part], observed[part], mask[part])
    expected = csi_after_calibrating(forecast, observed, mask, threshold)
    assert min(expected) > 0.05
    assert metric.compute().tolist() == pytest.approx(expected, abs=0.01)
    raw = ((forecast >= threshold) & mask).sum()
    assert raw == 0 or threshold < 0.3


def test_csi_after_the_calibration_by_hand():
    # The table of the single pixel by hand: class 3 maps to 0 to 0.5, class 4 to 0.5 to 1. Of class 3 a fifth reaches
    # 0.4, of class 4 all: 1.2 of the four forecasts. Events are 0.5 and 1, at different places.
    forecast = torch.tensor([0.25, 0.5, 0.75, 1.0]).view(4, 1, 1, 1, 1)
    mask = torch.ones_like(forecast, dtype=torch.bool)
    for observed, expected in (
        ([0.0, 0.0, 0.5, 1.0], 1.2 / 2),
        ([0.5, 0.0, 0.0, 1.0], 1 / 2.2),
        ([1.0, 0.5, 0.0, 0.0], 0.0),
    ):
        metric = CalibratedCsi(0.4, 1, 4)
        metric.update(forecast, torch.tensor(observed).view(4, 1, 1, 1, 1), mask)
        assert float(metric.compute()) == pytest.approx(expected)


def test_csi_of_what_was_never_observed_is_undefined():
    forecast = rain(3, 0.0, 0)
    metric = CalibratedCsi(0.5, 2, LEVELS)
    metric.update(forecast, forecast.clone().index_fill_(1, torch.tensor([1]), 0.0), torch.ones_like(forecast) > 0)
    assert metric.compute()[0] == pytest.approx(1.0)
    assert metric.compute()[1].isnan()
