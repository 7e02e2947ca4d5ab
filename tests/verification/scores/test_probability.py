"""Probabilities against the library `scores`, against loops over cells and against tables worked by hand."""

import numpy as np
import pytest
import scores
import torch
import xarray

from nowcast.forecasting.forecast import Exceedance
from nowcast.verification.scores.probability import Probabilities, economic_value
from nowcast.verification.scores.sums import GroupSums, by_lead_time, scores_of
from tests.verification.scores.fields import KINDS, fields
from tests.verification.scores.test_categorical import computed
from tests.verification.scores.test_ensemble import ensemble

THRESHOLDS, MEMBERS, RATIOS = [0.5, 2.0, 10.0], 5, [0.02, 0.2, 0.5, 0.9]


def family(thresholds=THRESHOLDS, levels=20, ratios=RATIOS):
    return Probabilities(thresholds, levels, ratios, "reference")


def said(probabilities, observed, thresholds=(1.0,), levels=4, ratios=RATIOS):
    """Scores of one window of probabilities (K, N) and rain (N,)."""
    p = torch.tensor(probabilities, dtype=torch.float64)[None, None, :, None]
    o = torch.tensor(observed, dtype=torch.float32)[None, None, None, None]
    families = {"x": family(list(thresholds), levels, ratios)}
    sums = GroupSums(families, 1, {"all": 1}, torch.device("cpu"))
    for lead in by_lead_time(Exceedance(p, tuple(thresholds)), o, torch.ones_like(o, dtype=torch.bool), 1):
        sums.add_lead_time(0, lead, {"all": torch.zeros(1, dtype=torch.int64)}, {})
    of_all = scores_of({name: value[0] for name, value in sums.sums("all").items()}, families)
    return {name.removeprefix("x/"): value[0].numpy() for name, value in of_all.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_brier_and_roc_equal_the_library(kind):
    data = fields(kind, members=MEMBERS)
    ours = computed(family(levels=MEMBERS), *data)
    for lead in range(2):
        members, observed = ensemble(data, lead)
        if not observed.size:
            continue
        for k, threshold in enumerate(THRESHOLDS):
            p = xarray.DataArray((members >= threshold).mean(0), dims="cell")
            o = xarray.DataArray((observed >= threshold).astype(float), dims="cell")
            brier = float(scores.probability.brier_score(p, o))
            assert ours["brier"][lead, k] == pytest.approx(brier, abs=1e-12)
            if 0 < float(o.mean()) < 1:
                area = float(scores.probability.roc_auc(p, o))
                assert ours["roc_area"][lead, k] == pytest.approx(area, abs=1e-9)
                base = float(o.mean())
                assert ours["brier_skill"][lead, k] == pytest.approx(1 - brier / (base * (1 - base)))
            for level in range(MEMBERS + 1):
                said = np.isclose(p.values, level / MEMBERS)
                frequency = o.values[said].mean() if said.any() else np.nan
                assert ours["reliability"][lead, k, level] == pytest.approx(frequency, nan_ok=True)
                assert ours["forecast_share"][lead, k, level] == pytest.approx(said.mean())


def test_a_single_forecast_says_yes_or_no():
    forecast, observed, mask = fields("random")
    probabilities = computed(family([2.0], 4), forecast, observed, mask)
    f, o = (x.movedim(1, 0).flatten(1) >= 2.0 for x in (forecast, observed))
    pod, pofd = (((f & x).sum(1) / x.sum(1)).numpy() for x in (o, ~o))
    np.testing.assert_allclose(probabilities["roc_area"][:, 0], (1 + pod - pofd) / 2, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_certain_forecasts_are_counted_as_others_are(kind, monkeypatch):
    data = fields(kind)
    fast = computed(family(), *data)
    sums = lambda self, said, o, mask: {  # noqa: E731 (the general way)
        "squared": ((said.double() - o.double()).square() * mask.flatten(1)[:, None]).sum(-1),
        "tallies": self._tallies(said.double(), o, mask.flatten(1)[:, None]),
    }
    monkeypatch.setattr(Probabilities, "_of_certain", sums)
    for name, values in computed(family(), *data).items():
        np.testing.assert_array_equal(fast[name], values, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_csi_by_level_and_value_equal_loops_over_decisions(kind):
    data = fields(kind, members=MEMBERS)
    ours = computed(family(levels=MEMBERS), *data)
    for lead in range(2):
        members, observed = ensemble(data, lead)
        for k, threshold in enumerate(THRESHOLDS):
            p, o = (members >= threshold).mean(0) if observed.size else np.zeros(0), observed >= threshold
            csi, expenses = [], {ratio: [] for ratio in RATIOS}
            for level in [*(k / MEMBERS for k in range(MEMBERS + 1)), 2.0]:  # 2: never
                decided = p >= level - 1e-9
                hits, misses, false_alarms = (decided & o).sum(), (~decided & o).sum(), (decided & ~o).sum()
                either = hits + misses + false_alarms
                csi.append(hits / either if either else np.nan)
                for ratio in RATIOS:
                    expenses[ratio].append(ratio * (hits + false_alarms) + misses)
            np.testing.assert_allclose(ours["csi_by_level"][lead, k], csi[:-1])
            if not 0 < o.sum() < o.size:
                assert np.isnan(ours["economic_value"][lead, k]).all()
                assert np.isnan(ours["csi_optimal"][lead, k]) == (not o.any())
                continue
            best, level = ours["csi_optimal"][lead, k], ours["csi_optimal_level"][lead, k]
            assert best == pytest.approx(np.nanmax(csi[:-1]))
            decided = p >= level
            assert (decided & o).sum() / (decided | o).sum() == pytest.approx(best)
            for r, ratio in enumerate(RATIOS):
                climate, perfect = min(ratio * o.size, o.sum()), ratio * o.sum()
                value = (climate - min(expenses[ratio])) / (climate - perfect)
                assert ours["economic_value"][lead, k, r] == pytest.approx(value, abs=1e-12)


def test_value_of_a_table_worked_by_hand():
    # 100 cases, 20 events; the warning: 15 hits, 10 false alarms. With C/L = 0.3: 0.3 * 25 + 5 = 12.5; never: 20,
    # always: 30, perfect: 0.3 * 20 = 6. Value (20 - 12.5) / (20 - 6). With 0.9 it is better never to protect oneself.
    table = [torch.tensor(values, dtype=torch.float64) for values in ([20, 15], [80, 10], 20, 100)]
    np.testing.assert_allclose(economic_value(*table, [0.3, 0.9]), [7.5 / 14, 0.0])


def test_a_perfect_forecast_and_one_that_knows_the_climate():
    o = [0.0, 0.0, 0.0, 3.0]
    perfect = said([[0, 0, 0, 1.0]], o)
    assert (perfect["brier"][0], perfect["roc_area"][0], perfect["csi_optimal"][0]) == (0, 1, 1)
    np.testing.assert_allclose(perfect["economic_value"][0], 1)
    climate = said([[0.25] * 4], o)
    assert climate["brier_skill"][0] == pytest.approx(0)
    assert (climate["brier_reliability"][0], climate["brier_resolution"][0]) == pytest.approx((0, 0))
    np.testing.assert_allclose(climate["economic_value"][0], 0, atol=1e-12)
    assert climate["csi_optimal"][0] == pytest.approx(0.25)
    assert climate["csi_optimal_level"][0] == 0  # always


def test_the_level_is_where_its_step_begins():
    # Probabilities of 0.3 and 0.4 are steps 1 (0.25) and 2 (0.5, from 0.375 on) of 4: the second is forecast only.
    one = said([[0.3, 0.3, 0.4, 0.4]], [0.0, 0.0, 2.0, 2.0])
    assert (one["csi_optimal"][0], one["csi_optimal_level"][0]) == (1, 0.375)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_brier_score_add_up(kind):
    ours = computed(family(levels=MEMBERS), *fields(kind, members=MEMBERS))
    total = ours["brier_reliability"] - ours["brier_resolution"] + ours["brier_uncertainty"]
    np.testing.assert_allclose(total, ours["brier"], atol=1e-12)


def test_crps_from_thresholds_is_the_integral_of_squared_differences():
    draw = np.random.default_rng(0)
    thresholds = (0.5, 1.0, 4.0)
    p = np.sort(draw.random((3, 50)), axis=0)[::-1].copy()
    o = draw.random(50) * 6
    squared = [(p[k] - (np.float32(o) >= threshold)) ** 2 for k, threshold in enumerate(thresholds)]
    expected = np.mean((squared[0] + squared[1]) / 2 * 0.5 + (squared[1] + squared[2]) / 2 * 3.0)
    assert said(p, o, thresholds)["crps_between_thresholds"] == pytest.approx(expected)
    assert np.isnan(said(p[:1], o, thresholds[:1])["crps_between_thresholds"])


def test_crps_from_many_thresholds_is_that_of_the_ensemble():
    data = fields("random", members=MEMBERS)
    fine = family([*np.linspace(1e-6, 12.5, 2500)], MEMBERS)
    ours = computed(fine, *data)["crps_between_thresholds"]
    for lead in range(2):
        f, o = (xarray.DataArray(x, dims=d) for x, d in zip(ensemble(data, lead), (("m", "c"), "c"), strict=True))
        assert ours[lead] == pytest.approx(
            float(scores.probability.crps_for_ensemble(f, o, "m", method="ecdf")), rel=1e-3
        )


def test_only_other_probabilities_than_0_and_1_tell_something_new():
    sums = {"tallies": torch.zeros(1, 2, 5, 3)}
    assert not family(levels=4).is_informative(sums)
    sums["tallies"][0, 0, 4] = torch.tensor([7.0, 3.0, 7.0])
    assert not family(levels=4).is_informative(sums)
    sums["tallies"][0, 1] = torch.nan  # of a threshold that is not known
    assert not family(levels=4).is_informative(sums)
    for step, total in ((0, 0.3), (4, 6.8)):
        other = {"tallies": sums["tallies"].clone()}
        other["tallies"][0, 0, step, 2] = total
        assert family(levels=4).is_informative(other)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="levels must be at least 1"):
        family([1.0], 0)
    with pytest.raises(ValueError, match="cost_loss_ratios must lie between 0 and 1"):
        family(ratios=[0.5, 1.0])
