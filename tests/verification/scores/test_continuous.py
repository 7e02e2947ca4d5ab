"""Errors against the library `scores` and HKO-7's balanced errors against a loop."""

import numpy as np
import pytest
import scores
import torch
import xarray

from nowcast.verification.scores.continuous import Balanced, Continuous
from tests.verification.scores.fields import KINDS, fields, seen
from tests.verification.scores.test_categorical import computed

BALANCED = ([2.0, 5.0, 10.0, 30.0], [1.0, 2.0, 5.0, 10.0, 30.0], 58.53, 1.56, -10.0, 60.0)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_equal_those_of_the_library(kind):
    data = fields(kind)
    ours = computed(Continuous(), *data)
    for lead in range(2):
        f, o = (xarray.DataArray(x.ravel(), dims="cell").dropna("cell") for x in seen(*data, lead))
        expected = {
            "mae": scores.continuous.mae(f, o),
            "rmse": scores.continuous.rmse(f, o),
            "me": scores.continuous.additive_bias(f, o),
            "rainfall_mse": scores.continuous.mse(f, o),
        }
        if f.size and float(f.std()) > 0 and float(o.std()) > 0:
            expected["correlation"] = scores.continuous.correlation.pearsonr(f, o)
        else:
            assert np.isnan(ours["correlation"][lead])
        for name, value in expected.items():
            assert ours[name][lead] == pytest.approx(float(value), rel=1e-9, nan_ok=True), name


def test_errors_of_a_single_pixel_by_hand():
    one = torch.ones(1, 1, 1, 1, 1)
    result = computed(Continuous(), 3 * one, 5 * one, one.bool())
    assert [result[name].item() for name in ("mae", "rmse", "me", "rainfall_mse")] == [2, 2, -2, 4]
    assert np.isnan(result["correlation"]).all()


def test_a_missing_forecast_of_observed_rain_is_an_error_of_the_whole_rain():
    forecast = torch.tensor([torch.nan, 3.0]).view(1, 1, 1, 1, 2)
    observed = torch.tensor([4.0, 3.0]).view(1, 1, 1, 1, 2)
    result = computed(Continuous(), forecast, observed, torch.ones_like(observed, dtype=torch.bool))
    assert [result[name].item() for name in ("mae", "me", "rainfall_mse")] == [2, -2, 8]


@pytest.mark.parametrize("kind", ["dry", "constant"])
def test_correlation_of_constants_is_undefined(kind):
    assert np.isnan(computed(Continuous(), *fields(kind))["correlation"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_balanced_errors_equal_a_loop_over_cells(kind):
    data = fields(kind, shape=(3, 2, 1, 5, 4))
    ours = computed(Balanced(*BALANCED), *data)
    for lead in range(2):
        squared, absolute = [], []
        for f, o in zip(*(x.reshape(len(x), -1) for x in seen(*data, lead)), strict=True):
            cells = [(a, b) for a, b in zip(f, o, strict=True) if np.isfinite(b)]
            if not cells:
                continue
            weights = [BALANCED[1][sum(b >= threshold for threshold in BALANCED[0])] for _, b in cells]
            errors = [abs(_grey(a) - _grey(b)) for a, b in cells]
            squared.append(sum(w * e**2 for w, e in zip(weights, errors, strict=True)))
            absolute.append(sum(w * e for w, e in zip(weights, errors, strict=True)))
        expected = (np.mean(squared), np.mean(absolute)) if squared else (np.nan, np.nan)
        assert ours["balanced_mse"][lead] == pytest.approx(expected[0], rel=1e-5, nan_ok=True)
        assert ours["balanced_mae"][lead] == pytest.approx(expected[1], rel=1e-5, nan_ok=True)


def _grey(rate):
    if rate <= 0:
        return 0.0
    dbz = 10 * np.log10(58.53) + 15.6 * np.log10(rate)
    return min(max((dbz + 10) / 70, 0.0), 1.0)


def test_a_weight_for_every_interval():
    with pytest.raises(ValueError, match="one weight more than thresholds"):
        Balanced([2.0], [1.0], 58.53, 1.56, -10.0, 60.0)
