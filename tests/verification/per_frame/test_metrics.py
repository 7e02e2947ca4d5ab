"""Scores against the library `scores` and against tables worked by hand."""

import math

import numpy as np
import pytest
import scores
import torch
import xarray

from nowcast.verification.per_frame.metrics import Contingency, LeadTimeScores
from nowcast.verification.scores.categorical import bias, csi, ets, far, hss, pod

THRESHOLDS = [0.5, 2.0, 10.0]


def fields(kind, shape=(3, 2, 1, 9, 8), seed=0):
    """Forecast, observation, mask."""
    draw = torch.Generator().manual_seed(seed)
    forecast = 12 * torch.rand(shape, generator=draw) ** 3
    observed = 12 * torch.rand(shape, generator=draw) ** 3
    mask = torch.ones(shape, dtype=torch.bool)
    if kind == "dry":
        forecast, observed = torch.zeros(shape), torch.zeros(shape)
    elif kind == "all wet":
        forecast, observed = forecast + 20, observed + 20
    elif kind == "constant":
        forecast, observed = torch.full(shape, 3.0), torch.full(shape, 1.0)
    elif kind == "single pixel":
        forecast, observed, mask = (x[:1, :, :, :1, :1] for x in (forecast, observed, mask))
    elif kind == "masked":
        mask = torch.rand(shape, generator=draw) > 0.4
        observed = torch.where(mask, observed, torch.nan)
    elif kind == "missing forecast":
        forecast = torch.where(torch.rand(shape, generator=draw) > 0.8, torch.nan, forecast)
    return forecast, observed, mask


KINDS = ["random", "dry", "all wet", "constant", "single pixel", "masked", "missing forecast"]


def contingency(forecast, observed, mask):
    metric = Contingency(THRESHOLDS, forecast.shape[1])
    metric.update(forecast, observed, mask)
    return metric


@pytest.mark.parametrize("kind", KINDS)
def test_categorical_scores_equal_those_of_the_library(kind):
    forecast, observed, mask = fields(kind)
    ours = contingency(forecast, observed, mask).compute()
    for k, threshold in enumerate(THRESHOLDS):
        for lead in range(forecast.shape[1]):
            # A missing forecast counts as no rain: that is our rule, so it is done before the library sees it.
            valid = mask[:, lead].numpy().ravel()
            f, o = (x[:, lead].nan_to_num(0.0).numpy().ravel()[valid] for x in (forecast, observed))
            table = scores.categorical.BinaryContingencyManager(
                xarray.DataArray((f >= threshold).astype(float), dims="cell"),
                xarray.DataArray((o >= threshold).astype(float), dims="cell"),
            ).transform()
            expected = {
                "csi": table.critical_success_index(),
                "pod": table.probability_of_detection(),
                "far": table.false_alarm_ratio(),
                "bias": table.frequency_bias(),
                "hss": table.heidke_skill_score(),
                "ets": table.equitable_threat_score(),
            }
            for name, value in expected.items():
                theirs = float(value)
                if math.isinf(theirs):  # events forecast, none observed: undefined for us
                    theirs = math.nan
                assert ours[name][k, lead].item() == pytest.approx(theirs, nan_ok=True, abs=1e-12), name


def test_a_table_worked_by_hand():
    # hits 82, misses 23, false alarms 38, correct negatives 222 (Finley-like; Wilks ch. 8 formulas)
    a, c, b, d = (torch.tensor(float(x), dtype=torch.float64) for x in (82, 23, 38, 222))
    assert csi(a, c, b).item() == pytest.approx(82 / 143)
    assert pod(a, c).item() == pytest.approx(82 / 105)
    assert far(a, b).item() == pytest.approx(38 / 120)
    assert bias(a, c, b).item() == pytest.approx(120 / 105)
    assert hss(a, c, b, d).item() == pytest.approx(2 * (82 * 222 - 38 * 23) / (105 * 245 + 120 * 260))
    by_chance = 105 * 120 / 365
    assert ets(a, c, b, d).item() == pytest.approx((82 - by_chance) / (143 - by_chance))


def test_a_perfect_forecast():
    _, observed, mask = fields("random")
    result = contingency(observed, observed, mask).compute()
    for name, best in {"csi": 1, "pod": 1, "far": 0, "bias": 1, "hss": 1, "ets": 1}.items():
        assert (result[name] == best).all(), name


def test_an_event_is_at_or_above_the_threshold():
    rate = torch.tensor([0.5, np.nextafter(np.float32(0.5), np.float32(0))]).view(1, 1, 1, 1, 2)
    counts = contingency(rate, torch.full_like(rate, 0.5), torch.ones_like(rate, dtype=torch.bool)).counts
    assert counts[:, 0, 0].tolist() == [1, 1, 0, 0]


def test_zero_over_zero_is_nan():
    result = contingency(*fields("dry")).compute()
    assert all(result[name].isnan().all() for name in ("csi", "pod", "far", "bias", "hss", "ets"))
    assert result["correct_negatives"].sum() == 3 * 3 * 2 * 72


def test_missing_forecasts_are_counted():
    forecast, observed, mask = fields("missing forecast")
    mask[0] = False
    counted = contingency(forecast, observed, mask)
    assert counted.missing_forecasts.tolist() == [int(forecast[1:, lead].isnan().sum()) for lead in (0, 1)]


def test_an_unexpected_nan_observation_is_loud():
    forecast, observed, mask = fields("random")
    observed[1, 1, 0, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="observation is NaN"):
        Contingency(THRESHOLDS, 2).update(forecast, observed, mask)


def test_wrong_shapes_are_refused():
    metric = Contingency(THRESHOLDS, 3)
    forecast, observed, mask = fields("random")
    with pytest.raises(ValueError, match="3 lead times, got 2"):
        metric.update(forecast, observed, mask)
    with pytest.raises(ValueError, match="of the same"):
        metric.update(forecast, observed[:1], mask)


@pytest.mark.parametrize("kind", KINDS)
def test_any_split_into_batches_and_ranks_gives_the_same(kind):
    forecast, observed, mask = fields(kind)
    whole = contingency(forecast, observed, mask)
    parts = [Contingency(THRESHOLDS, 2), Contingency(THRESHOLDS, 2)]
    for index in range(len(forecast)):
        parts[index % 2].update(*(x[index : index + 1] for x in (forecast, observed, mask)))
    if len(forecast) > 1:
        parts[0].merge_state(parts[1])
    for name, value in whole.compute().items():
        torch.testing.assert_close(parts[0].compute()[name], value, equal_nan=True, msg=name)


@pytest.mark.parametrize("thresholds", [[], [2.0, 0.5], [1.0, 1.0]])
def test_thresholds_must_rise(thresholds):
    with pytest.raises(ValueError, match="rise"):
        Contingency(thresholds, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_a_cell_by_cell_loop(kind):
    forecast, observed, mask = fields(kind)
    expected = np.zeros((4, len(THRESHOLDS), forecast.shape[1]), dtype=int)
    for index in np.ndindex(*forecast.shape):
        if not mask[index]:
            continue
        for k, threshold in enumerate(THRESHOLDS):
            f, o = forecast[index].item() >= threshold, observed[index].item() >= threshold  # NaN >= x is False
            expected[{(True, True): 0, (False, True): 1, (True, False): 2, (False, False): 3}[f, o], k, index[1]] += 1
    assert contingency(forecast, observed, mask).counts.tolist() == expected.tolist()


def test_a_missing_forecast_of_observed_rain_is_a_miss():
    forecast = torch.tensor([torch.nan, 3.0]).view(1, 1, 1, 1, 2)
    observed = torch.tensor([4.0, 3.0]).view(1, 1, 1, 1, 2)
    mask = torch.ones_like(observed, dtype=torch.bool)
    assert contingency(forecast, observed, mask).counts[:, 1, 0].tolist() == [1, 1, 0, 0]


def test_what_lies_outside_the_mask_does_not_matter():
    forecast, observed, mask = fields("masked")
    results = []
    for filler in (0.0, 50.0, torch.nan):
        metric = contingency(torch.where(mask, forecast, filler), torch.where(mask, observed, filler), mask)
        results.append(metric.compute() | {"missing": metric.missing_forecasts})
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def test_means_of_epochs_are_over_the_same_lead_times():
    # Rain is observed at lead 1 only. A false alarm at lead 2 makes its CSI 0 instead of undefined.
    observed = torch.zeros(1, 3, 1, 2, 4)
    observed[:, 0] = 5.0
    mask = torch.ones_like(observed, dtype=torch.bool)
    quiet, wet = torch.zeros_like(observed), torch.zeros_like(observed)
    quiet[:, 0, :, 0], wet[:, 0, :, 0] = 5.0, 5.0
    wet[:, 1, :, 0, 0] = 5.0
    for forecast in (quiet, wet):
        means = contingency(forecast, observed, mask).mean_over_lead_times()
        assert means == {"csi": [0.5, 0.5, pytest.approx(math.nan, nan_ok=True)],
                         "bias": [0.5, 0.5, pytest.approx(math.nan, nan_ok=True)]}  # fmt: skip
    assert contingency(wet, observed, mask).compute()["csi"][0].tolist()[:2] == [0.5, 0]


class Mark(LeadTimeScores):
    best = {"mark": "highest"}  # noqa: RUF012 (as every subclass of LeadTimeScores)

    def update(self, values, counted):
        self.add({"mark": values}, counted)


def test_frame_scores_are_means_over_the_frames_of_each_lead_time():
    metric = Mark(3)
    values = torch.tensor([[1.0, 5.0, 7.0], [3.0, torch.nan, 7.0]])
    metric.update(values, torch.tensor([[True, True, False], [True, False, False]]))
    metric.update(values[:1], torch.tensor([[True, False, False]]))
    assert metric.compute()["mark"].tolist() == pytest.approx([5 / 3, 5, math.nan], nan_ok=True)
    assert math.isnan(metric.overall()["mark"])  # undefined at one lead time, so undefined over all
