"""The bootstrap against scipy and NumPy, its draws, and what it says with few blocks."""

import numpy as np
import pytest
import torch
from scipy import stats

from nowcast.verification.bootstrap import Bootstrap, percentile
from nowcast.verification.ranking import goodness, winners
from nowcast.verification.scores.categorical import Categorical
from nowcast.verification.scores.continuous import Continuous
from nowcast.verification.scores.sal import StructureAmplitudeLocation
from nowcast.verification.scores.sums import scores_of

BOOTSTRAP = Bootstrap(resamples=2000, level=0.9, min_blocks=10, seed=3)
CATEGORICAL = {"categorical": Categorical([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])}


def estimates(bootstrap, sums, families):
    return bootstrap.estimates(bootstrap.draw(sums, families))


def differences(bootstrap, one, other, families):
    return bootstrap.differences(*(bootstrap.draw(sums, families) for sums in (one, other)))


def mean_error(values):
    """Sums of blocks of one cell each whose mean error is the mean of the values."""
    f = torch.tensor(values, dtype=torch.float64)
    zero = torch.zeros_like(f)
    moments = torch.stack([zero + 1, f, zero, f * f, zero, zero, f.abs()], dim=-1)[:, None]  # (blocks, 1, 7)
    return {"continuous/moments": moments}


def table(blocks, seed=0, skill=0.7, lead_times=15, thresholds=6):
    """Counts of many blocks (blocks, T, K, 4)."""
    draw = np.random.default_rng(seed)
    events = draw.gamma(0.5, 200.0, (blocks, lead_times, thresholds)).round()
    hits = (skill * events).round()
    counts = np.stack([hits, events - hits, (0.4 * events).round(), 10_000 - events], axis=-1)
    return {"categorical/counts": torch.from_numpy(counts)}


def test_an_interval_of_a_mean_equals_scipys():
    values = np.random.default_rng(1).gamma(2.0, size=40)
    ours = estimates(BOOTSTRAP, mean_error(values), {"continuous": Continuous()})["continuous/me"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value[0] == pytest.approx(values.mean())
    width = theirs.high - theirs.low
    assert ours.low[0] == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high[0] == pytest.approx(theirs.high, abs=0.04 * width)


def test_draws_are_blocks_with_replacement_and_seeded():
    weights = BOOTSTRAP.weights(12)
    assert weights.shape == (2000, 12)
    assert (weights.sum(1) == 12).all()
    assert weights.mean(0).numpy() == pytest.approx(np.ones(12), abs=0.1)
    assert weights.var(0).numpy() == pytest.approx(np.full(12, 1 - 1 / 12), abs=0.12)
    assert torch.equal(weights, BOOTSTRAP.weights(12))
    assert not torch.equal(weights, Bootstrap(2000, 0.9, 10, 4).weights(12))


def test_scores_of_draws_equal_scores_of_blocks_laid_together():
    few = Bootstrap(resamples=7, level=0.5, min_blocks=2, seed=0)
    sums = table(12)
    drawn = []
    for weights in few.weights(12).long():
        chosen = torch.repeat_interleave(torch.arange(12), weights)
        drawn.append(scores_of({name: value[chosen].sum(0) for name, value in sums.items()}, CATEGORICAL))
    ours = estimates(few, sums, CATEGORICAL)
    for score in ("csi", "bias", "sedi"):
        values = np.stack([one[f"categorical/{score}"].numpy() for one in drawn])
        np.testing.assert_allclose(ours[f"categorical/{score}"].low, np.quantile(values, 0.25, axis=0), rtol=1e-12)
        np.testing.assert_allclose(ours[f"categorical/{score}"].high, np.quantile(values, 0.75, axis=0), rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.025, 0.5, 0.9, 1.0])
def test_percentiles_equal_numpys(share):
    drawn = np.random.default_rng(0).normal(size=(101, 3, 2))
    np.testing.assert_allclose(percentile(drawn, share), np.quantile(drawn, share, axis=0), rtol=1e-12)
    drawn[:5, 0, 0] = np.nan
    np.testing.assert_allclose(percentile(drawn, share), np.nanquantile(drawn, share, axis=0), rtol=1e-12)
    drawn[:6, 0, 1] = np.nan  # more than 5 %
    assert np.isnan(percentile(drawn, share)[0, 1])
    drawn[:, 1, 1] = np.nan
    assert np.isnan(percentile(drawn, share)[1, 1])


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(5.0, size=40)
        ends = estimates(Bootstrap(400, 0.9, 10, seed), mean_error(values), {"continuous": Continuous()})
        covered += bool(ends["continuous/me"].low[0] <= 5.0 <= ends["continuous/me"].high[0])
    assert 0.82 <= covered / 200 <= 0.94  # 0.9, a little less with 40 blocks; ±0.042 is two standard errors


@pytest.mark.parametrize(("best", "expected"), [
    ("highest", [0.5, 2.0]), ("lowest", [-0.5, -2.0]), ("nearest one", [-0.5, -1.0]), ("nearest zero", [-0.5, -2.0]),
])  # fmt: skip
def test_goodness_rises(best, expected):
    np.testing.assert_array_equal(goodness(np.array([0.5, 2.0]), best), expected)


def test_curves_are_not_good():
    with pytest.raises(ValueError, match="neither good nor bad"):
        goodness(np.zeros(1), "none")


def test_a_better_model_is_called_better_and_itself_is_not():
    good, bad = table(40, skill=0.8), table(40, skill=0.6)
    ours = differences(BOOTSTRAP, good, bad, CATEGORICAL)
    assert (ours["categorical/csi"].verdict == "better").all()
    assert (ours["categorical/far"].verdict == "better").all()  # lower
    assert (ours["categorical/bias"].verdict == "worse").all()  # 0.8 + 0.4 = 1.2 against 1.0
    np.testing.assert_allclose(ours["categorical/csi"].value, ours["categorical/csi"].gain)
    np.testing.assert_allclose(ours["categorical/far"].value, -ours["categorical/far"].gain)
    assert (differences(BOOTSTRAP, bad, good, CATEGORICAL)["categorical/csi"].verdict == "worse").all()
    same = differences(BOOTSTRAP, good, good, CATEGORICAL)["categorical/csi"]
    assert (same.verdict == "not distinguishable").all()
    assert (same.low == 0).all()


def test_pairing_sees_what_separate_intervals_hide():
    # Two models that differ by little in every block, while blocks differ by much.
    draw = np.random.default_rng(0)
    level = draw.gamma(1.0, 10.0, 30)
    one, other = mean_error(level), mean_error(level + 0.5 + 0.1 * draw.normal(size=30))
    families = {"continuous": Continuous()}
    a, b = (estimates(BOOTSTRAP, sums, families)["continuous/mae"] for sums in (one, other))
    assert a.high[0] > b.low[0]
    assert differences(BOOTSTRAP, one, other, families)["continuous/mae"].verdict[0] == "better"


def test_few_blocks_have_no_interval_and_no_verdict():
    estimate = estimates(BOOTSTRAP, table(9), CATEGORICAL)["categorical/csi"]
    assert np.isfinite(estimate.value).all()
    assert np.isnan(estimate.low).all()
    assert np.isnan(estimate.high).all()
    difference = differences(BOOTSTRAP, table(9), table(9, skill=0.1), CATEGORICAL)["categorical/csi"]
    assert (difference.verdict == "too few blocks").all()
    assert np.isfinite(estimates(BOOTSTRAP, table(10), CATEGORICAL)["categorical/csi"].low).all()


def test_undefined_scores_have_no_verdict():
    dry = {"categorical/counts": torch.zeros(20, 2, 1, 4, dtype=torch.float64)}
    families = {"categorical": Categorical([1.0])}
    assert np.isnan(estimates(BOOTSTRAP, dry, families)["categorical/csi"].low).all()
    assert (differences(BOOTSTRAP, dry, dry, families)["categorical/csi"].verdict == "undefined").all()


@pytest.mark.parametrize("settings", [(0, 0.9, 10, 0), (10, 1.0, 10, 0), (10, 0.9, 1, 0)])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match="uncertainty needs"):
        Bootstrap(*settings)


def test_the_mean_over_lead_times_is_resampled_as_one_score():
    sums = table(12, lead_times=3)
    drawn = BOOTSTRAP.draw(sums, CATEGORICAL)
    mean = BOOTSTRAP.mean_estimates(drawn)["categorical/csi"]
    np.testing.assert_allclose(mean.value[0], drawn.value["categorical/csi"].mean(axis=0))
    expected = np.quantile(drawn.drawn["categorical/csi"].mean(axis=1), [0.05, 0.95], axis=0)
    np.testing.assert_allclose([mean.low[0], mean.high[0]], expected)
    assert (mean.lead_times == 3).all()
    drawn.value["categorical/csi"][1] = np.nan
    kept = BOOTSTRAP.mean_estimates(drawn)["categorical/csi"]
    np.testing.assert_allclose(kept.value[0], drawn.value["categorical/csi"][[0, 2]].mean(axis=0))
    expected = np.quantile(drawn.drawn["categorical/csi"][:, [0, 2]].mean(axis=1), [0.05, 0.95], axis=0)
    np.testing.assert_allclose([kept.low[0], kept.high[0]], expected)
    assert (kept.lead_times == 2).all()


def counts_of_far(*ratios, blocks=12):
    """Counts (blocks, T, 1, 4), a little different in each block, whose false alarm ratio is as given; None = none."""
    every = np.zeros((blocks, len(ratios), 1, 4))
    every[..., 1:4:2] = 500
    for block in range(blocks):
        for lead, ratio in enumerate(ratios):
            if ratio is not None:
                every[block, lead, 0, [0, 2]] = (1 - ratio) * (900 + block), ratio * (900 + block)
    return {"categorical/counts": torch.from_numpy(every)}


def test_models_are_compared_over_the_lead_times_where_both_are_defined():
    # The one never forecasts the event after lead 1; there it has more false alarms than the other.
    families = {"categorical": Categorical([1.0])}
    seldom, often = (BOOTSTRAP.draw(counts_of_far(*far), families) for far in ((0.167, None, None), (0.1, 0.7, 0.991)))
    means = [BOOTSTRAP.mean_estimates(drawn)["categorical/far"] for drawn in (seldom, often)]
    assert [one.value.item() for one in means] == pytest.approx([0.167, 0.597])
    assert [one.lead_times.item() for one in means] == [1, 3]
    paired = BOOTSTRAP.mean_differences(seldom, often)["categorical/far"]
    assert (paired.verdict.item(), paired.lead_times.item()) == ("worse", 1)
    assert paired.gain.item() == pytest.approx(0.1 - 0.167)
    assert paired.low.item() <= paired.gain.item() <= paired.high.item()
    back = BOOTSTRAP.mean_differences(often, seldom)["categorical/far"]
    assert (back.verdict.item(), back.gain.item()) == ("better", -paired.gain.item())
    by_lead = BOOTSTRAP.differences(seldom, often)["categorical/far"]
    assert by_lead.verdict[:, 0].tolist() == ["worse", "undefined", "undefined"]
    assert by_lead.lead_times[:, 0].tolist() == [1, 0, 0]
    never = BOOTSTRAP.draw(counts_of_far(None, None, None), families)
    nothing = BOOTSTRAP.mean_differences(never, often)["categorical/far"]
    assert (nothing.verdict.item(), nothing.lead_times.item()) == ("undefined", 0)


def test_a_draw_in_which_a_lead_time_is_undefined_has_no_mean():
    # At lead 2 only one of twelve blocks has a forecast event: a third of the draws lack it.
    sums = counts_of_far(0.2, 0.5)
    sums["categorical/counts"][1:, 1, :, [0, 2]] = 0
    mean = BOOTSTRAP.mean_estimates(BOOTSTRAP.draw(sums, {"categorical": Categorical([1.0])}))["categorical/far"]
    assert (mean.value.item(), mean.lead_times.item()) == (pytest.approx(0.35), 2)
    assert np.isnan([mean.low, mean.high]).all()


def test_means_over_frames_that_the_forecast_chooses_are_compared_where_they_are_as_many():
    families = {"sal": StructureAmplitudeLocation(1 / 15, 0.95, 0.1)}
    frames = torch.full((12, 2), 5.0, dtype=torch.float64)
    one = {
        "sal/frames": frames, "sal/signed": frames[..., None] * 0.2 + torch.zeros(3),
        "sal/absolute": frames[..., None] * 0.3 + torch.zeros(3),
    }  # fmt: skip
    dry = {name: values.clone() for name, values in one.items()}
    for values in dry.values():
        values[3, 1] *= 3 / 5  # at lead 2 it is dry in two frames of a block
    drawn, other = (BOOTSTRAP.draw(sums, families) for sums in (one, dry))
    assert drawn.value["sal/sal_frames"].tolist() == [60, 60]
    assert BOOTSTRAP.differences(drawn, other)["sal/sal_abs_a"].verdict.tolist() == [
        "not distinguishable", "undefined",
    ]  # fmt: skip
    mean = BOOTSTRAP.mean_differences(drawn, other)["sal/sal_abs_a"]
    assert (mean.verdict.item(), mean.lead_times.item()) == ("not distinguishable", 1)


@pytest.mark.parametrize(("best", "expected"), [
    ("highest", [0, 0, 0, 1]), ("lowest", [1, 0, 0, 0]), ("nearest one", [0, 1, 0, 0]), ("nearest zero", [1, 0, 0, 0]),
])  # fmt: skip
def test_the_best_of_several_wins(best, expected):
    assert winners(np.array([0.3, 0.9, np.nan, 1.2]), best).tolist() == [bool(one) for one in expected]


def test_alike_and_alone_nobody_wins():
    assert not winners(np.array([[0.5, np.nan, 0.1], [0.5, np.nan, np.nan]]), "highest").any()
