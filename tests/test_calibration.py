"""Frequency calibration: after it, each intensity is as frequent as it was observed."""

import pytest
import torch

from nowcast.calibration import CalibrationFit, FrequencyCalibration

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
