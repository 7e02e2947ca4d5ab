"""One rule for ensembles where one forecast is asked for: a member that is missing counts as no rain."""

import numpy as np
import pytest
import torch

from nowcast.forecasting.members import any_missing, ensemble_mean, members_of, single
from nowcast.verification.plan import ModelSums, ScoringPlan, add_lead_time
from nowcast.verification.scores.categorical import Categorical
from nowcast.verification.scores.continuous import Continuous
from nowcast.verification.strata import Groups, Strata


def test_a_mean_worked_by_hand():
    nan = torch.nan
    members = torch.tensor([[[3.0, 3.0, nan], [6.0, nan, nan], [0.0, nan, nan]]])  # (B, M, cells)
    assert ensemble_mean(members)[0, :2].tolist() == [3.0, 1.0]
    assert ensemble_mean(members)[0, 2].isnan()
    torch.testing.assert_close(ensemble_mean(members[:, :1]), members[:, 0], equal_nan=True)


def test_a_single_forecast_is_itself_and_an_ensemble_its_mean():
    one = torch.rand(2, 3, 1, 4, 5)
    one[0, 0, 0, 0, 0] = torch.nan
    assert single(one) is one
    torch.testing.assert_close(single(one.unsqueeze(1)), one, equal_nan=True)
    assert members_of(one).shape == (2, 1, 3, 1, 4, 5)
    several = torch.stack([one, one + 2], dim=1)
    assert members_of(several) is several
    torch.testing.assert_close(single(several), one + 1, equal_nan=True)
    several[1, 0, 2, 0, 3, 4] = torch.nan
    assert single(several)[1, 2, 0, 3, 4] == (one[1, 2, 0, 3, 4] + 2) / 2
    assert any_missing(several).nonzero().tolist() == [[0, 0, 0, 0, 0], [1, 2, 0, 3, 4]]


def test_maps_and_pooled_scores_count_a_missing_member_alike():
    # Three members of 3 mm/h, one of them missing in a cell: 2 mm/h there, which is an event of 2 but not of 2.5.
    draw = torch.Generator().manual_seed(0)
    observed = torch.full((2, 2, 1, 4, 4), 3.0)
    mask = torch.ones_like(observed, dtype=torch.bool)
    forecast = torch.full((2, 3, 2, 1, 4, 4), 3.0)
    forecast[torch.rand(forecast.shape, generator=draw) < 0.3] = torch.nan
    days = np.array(["2024-05-01T12:00"], dtype="datetime64[s]")
    for threshold in (2.0, 2.5):
        groups = Groups(Strata("day", []), [("radar", days)])
        plan = ScoringPlan(
            main_threshold=threshold, variants={}, lead_times=(5.0, 10.0), lead_unit="minutes",
            families={"categorical": Categorical([threshold]), "continuous": Continuous()}, family_settings={},
            groups=groups, map_shape=(4, 4), common_mask=False,
        )  # fmt: skip
        sums = ModelSums(plan, torch.device("cpu"))
        sums.add(forecast, observed, mask, None)
        numbers = {name: torch.zeros(2, dtype=torch.int64) for name in groups.labels}
        for lead in range(2):
            add_lead_time(lead, [sums], [forecast], observed, mask, numbers)
        pooled = sums.groups.sums("block")["categorical/counts"].sum(dim=(0, 1))[0]
        assert sums.map.sum(dim=(1, 2)).tolist() == pooled.tolist()
        missing = forecast.isnan().sum(dim=1)
        assert pooled[0] == ((3 - missing) * 3 / 3 >= threshold).sum()
        assert 0 < pooled[0] < 64
        assert sums.groups.sums("block")["missing"].sum() == (missing > 0).sum()


@pytest.mark.parametrize("members", [1, 2, 5])
def test_without_missing_members_it_is_the_plain_mean(members):
    forecast = torch.rand(2, members, 3, 1, 4, 5)
    torch.testing.assert_close(single(forecast), forecast.mean(dim=1))
