"""Decisions by area: as many cells as extrapolation reaches, and those that the network holds most probable."""

import numpy as np
import pytest
import torch
from torch import nn

from nowcast.config.mistakes import UsageError
from nowcast.forecasting.calibration.areas import QUANTILES, heavy_rates, levels_of_areas, shares_reached
from nowcast.forecasting.calibration.method import Frequency
from nowcast.forecasting.calibration.probability import LevelCalibration
from nowcast.forecasting.decided_field import decided_field
from nowcast.forecasting.heads import ExceedanceHead
from nowcast.forecasting.network import NetworkForecaster
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.scaling import GreyScale

THRESHOLDS = (0.5, 2.0)


def test_shares_are_of_the_cells_that_are_seen_and_unknown_ones_are_as_before_where_rain_is_likely():
    last = torch.tensor([[3.0, 1.0, 1.0, 0.0, torch.nan], [0.0, 0.0, 0.0, 0.0, 2.0]]).view(1, 1, 2, 5)
    field = torch.zeros(1, 2, 1, 2, 5)
    field[0, 0, 0, 0] = torch.tensor([3.0, 1.0, 0.0, torch.nan, 9.0])  # 9 would be where nothing is seen
    field[0, 1] = torch.nan
    field[0, 1, 0, 0, 0] = 2.0
    said = torch.full((1, 2, 2, 2, 5), 0.3)
    said[0, :, :, 0, 4], said[0, :, :, 0, 0] = 0.9, 0.9  # where nothing is seen, and where the field says something
    levels = torch.tensor([[0.3, 0.4], [0.4, 0.2]])  # by lead time and threshold: reached, not; not, reached
    shares = shares_reached(field, last, THRESHOLDS, said, levels)  # before, 4 and 2 of 9 seen cells
    torch.testing.assert_close(shares[0, 0], torch.tensor([2 / 9 + 1 / 9, 1 / 9]))  # one likely, of 4/9 as before
    torch.testing.assert_close(shares[0, 1], torch.tensor([1 / 9, 1 / 9 + 8 / 9]))  # all that are unknown
    said[0, 1, 1] = 0.1
    said[0, 1, 1, 1, 0] = 0.2  # one of eight
    shares = shares_reached(field, last, THRESHOLDS, said, levels)
    torch.testing.assert_close(shares[0, 1], torch.tensor([1 / 9, 1 / 9 + 8 / 9 * 2 / 9]))  # more than one, as before
    assert (shares_reached(field, torch.full_like(last, torch.nan), THRESHOLDS, said, levels) == 0).all()


def test_shares_are_those_of_sums_along_axes():
    draw = torch.Generator().manual_seed(1)
    last, field = 4 * torch.rand(3, 1, 9, 11, generator=draw), 4 * torch.rand(3, 5, 1, 9, 11, generator=draw)
    said, levels = torch.rand(3, 5, 2, 9, 11, generator=draw), torch.linspace(0.05, 1.0, 10).view(5, 2)
    for one in (last, field):
        one[torch.rand(one.shape, generator=draw) < 0.2] = torch.nan
    last[2] = torch.nan
    limits = torch.tensor(THRESHOLDS)[:, None, None]
    seen = last.isfinite()
    known, cells = seen[:, None] & field.isfinite(), seen.sum(dim=(2, 3)).clamp(min=1)
    before = ((last >= limits) & seen).sum(dim=(2, 3)) / cells
    reached = ((field >= limits) & known).sum(dim=(3, 4))
    unknown = seen[:, None] & ~field.isfinite()
    likely = ((said >= levels[:, :, None, None]) & unknown).sum(dim=(3, 4))
    as_before = unknown.sum(dim=(3, 4)) * before[:, None]
    inflow = (likely > 0) * torch.maximum(likely, as_before)
    for case in (likely[:2] == 0, (likely > 0) & (likely < as_before), likely > as_before):
        assert case.any()
    expected = (reached + inflow) / cells[:, None]
    torch.testing.assert_close(shares_reached(field, last, THRESHOLDS, said, levels), expected)


def test_heavy_rates_are_quantiles_of_the_field_and_of_what_odds_say_of_seen_cells():
    draw = np.random.default_rng(0)
    field = torch.from_numpy(draw.gamma(0.5, 3.0, (2, 3, 1, 9, 11)).astype(np.float32))
    field[torch.from_numpy(draw.random(field.shape) < 0.2)] = torch.nan
    field[1, 2] = 1.0  # nothing heavy
    field[1, 1] = torch.nan
    field[1, 1, 0, 4, 4] = 12.5  # one cell
    seen = torch.from_numpy(draw.random((2, 1, 9, 11)) < 0.7)
    said = torch.from_numpy(draw.random((2, 3, 2, 9, 11)).astype(np.float32)).sort(dim=2, descending=True).values
    levels = torch.tensor([0.4, 0.3]).expand(2, 3, 2)
    found = heavy_rates(field, said, levels, seen, THRESHOLDS)
    assert found.shape == (2, 2, 3, QUANTILES)
    odds = decided_field(said, levels, THRESHOLDS)
    for window, lead in np.ndindex(2, 3):
        heavy = [one[one >= 2.0].numpy() for one in (odds[window, lead, 0][seen[window, 0]], field[window, lead])]
        expected = [np.quantile(one, np.linspace(0, 1, QUANTILES)) if len(heavy[1]) else np.nan for one in heavy]
        for row, one in zip(found[window, :, lead].numpy(), expected, strict=True):
            np.testing.assert_allclose(row, one, rtol=1e-5)
    assert (found[1, 1, 1] == 12.5).all()
    assert found[1, :, 2].isnan().all()
    assert found[0].isfinite().all()
    no_cell = torch.zeros_like(seen)
    assert heavy_rates(field, said, levels, no_cell, THRESHOLDS).isnan().all()


def test_as_many_seen_cells_reach_the_level():
    draw = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, 3, 2, 8, 9, generator=draw)
    seen = torch.rand(2, 1, 8, 9, generator=draw) > 0.3
    shares = torch.rand(2, 3, 2, generator=draw)
    shares[0, 0, 0], shares[1, 2, 1], shares[0, 1, 1] = 0.0, 1.0, 0.0
    levels = levels_of_areas(probabilities, seen, shares)
    reached = ((probabilities >= levels[..., None, None]) & seen[:, :, None]).sum(dim=(3, 4))
    cells = seen.sum(dim=(2, 3))[:, :, None]
    assert torch.equal(reached, (shares * cells).round().long())
    assert (levels_of_areas(probabilities, torch.zeros_like(seen), shares) == 1).all()


def test_cells_that_are_all_alike_are_all_reached_or_none():
    flat = torch.full((1, 1, 1, 4, 4), 0.2)
    seen = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    assert levels_of_areas(flat, seen, torch.full((1, 1, 1), 0.25)).item() == pytest.approx(0.2)
    assert levels_of_areas(flat, seen, torch.zeros(1, 1, 1)).item() > 0.2


class Doubtful(nn.Module):
    """Says small logits whatever it sees, larger where it rained."""

    sees = "rain_rate"

    def extrapolated(self, rain, steps, spacing, back):
        return Extrapolation(1, 4.0)(rain, steps)

    def forward(self, rain, steps, spacing):
        last = rain[:, -1:].nan_to_num(0.0).expand(-1, steps, -1, -1, -1)
        return torch.cat([-4 + last / 10, torch.ones_like(last)], dim=2)


class Still(nn.Module):
    """A network without motion."""

    def forward(self, grey, steps):
        return grey[:, -1:].expand(-1, steps, 2, -1, -1)


def forecaster(decide, net=None):
    calibration = LevelCalibration([5.0, 10.0], 2, ["bias", "csi"], decide)
    scaling = GreyScale(118.239, 1.5241, -10.0, 60.0)
    return NetworkForecaster(net or Doubtful(), scaling, ExceedanceHead(THRESHOLDS), calibration)


def test_a_network_that_is_never_sure_forecasts_rain_by_area_and_none_by_level():
    rain = torch.zeros(1, 3, 1, 20, 30)
    rain[..., 5:9, 10:18] = 3.0 + torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    rain[..., 15:, 20:] = torch.nan
    by_level, by_area = forecaster("bias")(rain, 2), forecaster("area")(rain, 2)
    assert (by_level.single() == 0).all()
    for threshold in THRESHOLDS:
        assert abs(int((by_area.single() >= threshold).sum()) - 2 * 32) <= 4
    assert by_area.decision == "area"
    assert by_area.levels.shape == (1, 2, 2)
    assert by_area.lead(1).levels.shape == (1, 1, 2)
    torch.testing.assert_close(by_area.values, by_level.values)


def test_the_choice_travels_and_another_is_taken_when_asked_for():
    calibration = LevelCalibration([5.0, 10.0], 2, ["bias", "csi"], "area")
    again = LevelCalibration(**{key: value for key, value in calibration.node().items() if key != "_target_"})
    assert again.used == calibration.at([5.0, 7.5]).used == "area"
    assert again.decided_by("csi").used == "csi"
    assert again.decided_by("csi").decided_by("area").used == "area"


def test_a_network_without_motion_has_no_area():
    with pytest.raises(UsageError, match=r"decide=area takes the area .* Still has none: choose bias, csi or a ratio"):
        forecaster("area", Still())(torch.zeros(1, 2, 1, 8, 8), 2)


def test_the_decision_of_a_training_is_one_that_there_is():
    with pytest.raises(ValueError, match=r"calibration\.decide must be one of bias, csi, 0\.2, area, got 'most'"):
        Frequency(levels=10, cost_loss=[0.2], decide="most")
    assert Frequency(levels=10, cost_loss=[0.2], decide=0.2).decide == "0.2"
