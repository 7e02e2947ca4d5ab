"""Ensembles against the library `scores` and against loops over members."""

import numpy as np
import pytest
import scores
import torch
import xarray

from nowcast.verification.scores.ensemble import EnsembleErrors, RankHistogram
from tests.verification.scores.fields import KINDS, fields, seen
from tests.verification.scores.test_categorical import computed

MEMBERS = 5


def ensemble(data, lead):
    """(M, N) members and (N,) observations of the cells that count."""
    forecast, observed, mask = data
    f, o = seen(forecast.movedim(1, 0), observed, mask, lead)
    f, o = f.reshape(len(f), -1), o.ravel()
    return f[:, np.isfinite(o)], o[np.isfinite(o)]


@pytest.mark.parametrize("kind", KINDS)
def test_crps_spread_and_error_equal_the_library(kind):
    data = fields(kind, members=MEMBERS)
    ours = computed(EnsembleErrors(), *data)
    for lead in range(2):
        members, observed = ensemble(data, lead)
        if not observed.size:
            assert all(np.isnan(values[lead]) for values in ours.values())
            continue
        f, o = xarray.DataArray(members, dims=("member", "cell")), xarray.DataArray(observed, dims="cell")
        for name, method in (("crps", "ecdf"), ("crps_fair", "fair")):
            expected = float(scores.probability.crps_for_ensemble(f, o, "member", method=method))
            assert ours[name][lead] == pytest.approx(expected, rel=1e-9, abs=1e-9), name
        rmse = np.sqrt(np.mean((members.mean(0) - observed) ** 2))
        spread = np.sqrt((MEMBERS + 1) / MEMBERS * members.var(0, ddof=1).mean())
        assert ours["skill_rmse"][lead] == pytest.approx(rmse, rel=1e-6, abs=1e-9)
        assert ours["spread"][lead] == pytest.approx(spread, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rank_histogram_equals_the_mean_of_random_ranks(kind):
    data = fields(kind, members=MEMBERS)
    ours = computed(RankHistogram(MEMBERS + 1), *data)["rank_histogram"]
    for lead in range(2):
        members, observed = ensemble(data, lead)
        if not observed.size:
            assert np.isnan(ours[lead]).all()
            continue
        expected = np.zeros(MEMBERS + 1)
        for below, equal in zip((members < observed).sum(0), (members == observed).sum(0), strict=True):
            expected[below : below + equal + 1] += 1 / (equal + 1)
        np.testing.assert_allclose(ours[lead], expected / len(observed), atol=1e-12)


def test_the_rank_histogram_equals_the_library_without_ties():
    data = fields("all wet", members=MEMBERS)
    members, observed = (x + np.random.default_rng(0).random(x.shape) * 1e-3 for x in ensemble(data, 0))
    theirs = scores.probability.rank_histogram(
        xarray.DataArray(members, dims=("member", "cell")), xarray.DataArray(observed, dims="cell"), "member"
    )
    tensors = torch.from_numpy(members)[None, :, None, None, None], torch.from_numpy(observed)[None, None, None, None]
    ours = computed(RankHistogram(MEMBERS + 1), *tensors, torch.ones_like(tensors[1], dtype=torch.bool))
    np.testing.assert_allclose(ours["rank_histogram"][0], theirs.values, atol=1e-12)


def test_ranks_are_mapped_to_fewer_parts():
    data = fields("random", members=5)
    fine = computed(RankHistogram(6), *data)["rank_histogram"]
    coarse = computed(RankHistogram(3), *data)["rank_histogram"]
    np.testing.assert_allclose(coarse, fine.reshape(2, 3, 2).sum(-1), atol=1e-12)


def test_a_single_forecast_is_an_ensemble_of_one():
    forecast, observed, mask = fields("random")
    ours = computed(EnsembleErrors(), forecast, observed, mask)
    np.testing.assert_allclose(ours["crps"], (forecast - observed).abs().double().mean(dim=(0, 2, 3, 4)), rtol=1e-6)
    assert np.isnan(ours["crps_fair"]).all()
    assert np.isnan(ours["spread"]).all()


def test_a_reliable_ensemble_is_flat_and_its_spread_is_its_error():
    draw = torch.Generator().manual_seed(0)
    centre = torch.rand(1, 1, 1, 1, 200, 200, generator=draw) * 10 + 20
    both = centre + torch.randn(1, 9, 1, 1, 200, 200, generator=draw)
    observed = (centre + torch.randn(centre.shape, generator=draw))[:, 0]
    mask = torch.ones_like(observed, dtype=torch.bool)
    np.testing.assert_allclose(computed(RankHistogram(10), both, observed, mask)["rank_histogram"], 0.1, atol=0.01)
    assert computed(EnsembleErrors(), both, observed, mask)["spread_skill"] == pytest.approx(1, abs=0.02)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="bins must be at least 1"):
        RankHistogram(0)
