"""The advected neighbourhood: loops over cells, edges, places without data."""

import numpy as np
import pytest
import torch

from nowcast.forecasting.forecast import Exceedance
from nowcast.forecasting.network import forecast_with
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.models.baselines.lagrangian_probability import LagrangianProbability, share_in_disc
from tests.models.baselines.test_baselines import cells

SETTINGS = {"pairs": 2, "smoothing_cells": 8.0}


@pytest.mark.parametrize("radius", [0.0, 0.9, 1.0, 2.5, 4.0, 11.0, 40.0])
def test_shares_equal_a_loop_over_cells(radius):
    draw = np.random.default_rng(0)
    known = draw.random((1, 1, 9, 13)) > 0.3
    reached = (draw.random((1, 2, 9, 13)) > 0.6) & known
    ours = share_in_disc(torch.from_numpy(reached), torch.from_numpy(known), radius)
    rows, columns = np.mgrid[:9, :13]
    for y, x in np.ndindex(9, 13):
        near = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) & known[0, 0]
        for k in range(2):
            expected = reached[0, k][near].sum() / near.sum() if known[0, 0, y, x] else np.nan
            assert float(ours[0, k, y, x]) == pytest.approx(expected, abs=1e-15, nan_ok=True)


def test_the_neighbourhood_of_the_advected_frame_grows_with_lead_time():
    frames = torch.from_numpy(cells(3))[None, :, None]
    frames[..., :20, :20] = torch.nan
    model = LagrangianProbability(**SETTINGS, slope=4.0, thresholds=[0.5, 2.0])
    forecast = forecast_with(model, frames, 6)
    advected = Extrapolation(**SETTINGS)(frames, 6)
    assert isinstance(forecast, Exceedance)
    assert (forecast.values.shape, forecast.thresholds) == ((1, 6, 2, 96, 96), (0.5, 2.0))
    torch.testing.assert_close(forecast.missing(), advected.isnan())
    p = forecast.values.nan_to_num(0.0)
    assert (p[:, :, 0] >= p[:, :, 1]).all()
    for step in (0, 5):
        near = share_in_disc(advected[:, step] >= 2.0, ~advected[:, step].isnan(), 2.0 * (step + 1))
        torch.testing.assert_close(forecast.values[:, step, 1:], near.float(), equal_nan=True)
    certain = LagrangianProbability(**SETTINGS, slope=0.0, thresholds=[0.5])(frames, 6)
    torch.testing.assert_close(
        certain, (advected >= 0.5).float().masked_fill(advected.isnan(), torch.nan), equal_nan=True
    )


def test_dry_in_dry_out():
    model = LagrangianProbability(**SETTINGS, slope=5.0, thresholds=[0.5])
    assert (model(torch.zeros(2, 3, 1, 12, 10), 4) == 0).all()
    assert model(torch.full((1, 3, 1, 12, 10), torch.nan), 4).isnan().all()


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="slope must be at least 0"):
        LagrangianProbability(**SETTINGS, slope=-1.0, thresholds=[0.5])
    for thresholds in ([], [0.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="thresholds must rise strictly from above 0"):
            LagrangianProbability(**SETTINGS, slope=1.0, thresholds=thresholds)
    with pytest.raises(ValueError, match="of one channel"):
        LagrangianProbability(**SETTINGS, slope=1.0, thresholds=[0.5])(torch.zeros(1, 3, 2, 8, 8), 1)
