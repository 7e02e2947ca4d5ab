"""What is asked of a forecast, and what each kind answers; a member that is missing counts as no rain."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import nowcast
from nowcast.forecasting.forecast import Ensemble, Exceedance, Field, ensemble_mean, of_values
from nowcast.forecasting.network import thresholds_of
from nowcast.models.baselines.lagrangian_probability import LagrangianProbability
from nowcast.models.baselines.persistence import Persistence
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
    assert of_values(one).single() is one
    torch.testing.assert_close(of_values(one.unsqueeze(1)).single(), one, equal_nan=True)
    assert of_values(one).members().shape == (2, 1, 3, 1, 4, 5)
    several = torch.stack([one, one + 2], dim=1)
    assert of_values(several).members() is several
    torch.testing.assert_close(of_values(several).single(), one + 1, equal_nan=True)
    several[1, 0, 2, 0, 3, 4] = torch.nan
    assert of_values(several).single()[1, 2, 0, 3, 4] == (one[1, 2, 0, 3, 4] + 2) / 2
    assert of_values(several).missing().nonzero().tolist() == [[0, 0, 0, 0, 0], [1, 2, 0, 3, 4]]


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
        sums.add(Ensemble(forecast), observed, mask, None)
        numbers = {name: torch.zeros(2, dtype=torch.int64) for name in groups.labels}
        for lead in range(2):
            add_lead_time(lead, [sums], [Ensemble(forecast)], observed, mask, numbers)
        pooled = sums.groups.sums("block")["categorical/counts"].sum(dim=(0, 1))[0]
        assert sums.map.sum(dim=(1, 2)).tolist() == pooled.tolist()
        missing = forecast.isnan().sum(dim=1)
        assert pooled[0] == ((3 - missing) * 3 / 3 >= threshold).sum()
        assert 0 < pooled[0] < 64
        assert sums.groups.sums("block")["missing"].sum() == (missing > 0).sum()


@pytest.mark.parametrize("members", [1, 2, 5])
def test_without_missing_members_it_is_the_plain_mean(members):
    forecast = torch.rand(2, members, 3, 1, 4, 5)
    torch.testing.assert_close(Ensemble(forecast).single(), forecast.mean(dim=1))


def test_probabilities_of_fields_and_ensembles_are_counted():
    nan = torch.nan
    field = Field(torch.tensor([0.0, 2.0, 5.0, nan]).view(1, 1, 1, 1, 4))
    np.testing.assert_equal(field.probability(2.0).flatten().numpy(), [0, 1, 1, nan])
    members = torch.tensor([[0.0, 2.0, nan, nan], [2.0, 5.0, 3.0, nan]]).view(1, 2, 1, 1, 1, 4)
    np.testing.assert_equal(Ensemble(members).probability(2.0).flatten().numpy(), [0.5, 1, 0.5, nan])
    np.testing.assert_equal(Ensemble(members).probability(5.0).flatten().numpy(), [0, 0.5, 0, nan])


def exceedance(probabilities, levels=None):
    """Of one window, lead time and row of cells, with the thresholds 1, 2 and 8 mm/h: K lists of W numbers."""
    values = torch.tensor(probabilities).view(1, 1, 3, 1, -1)
    return Exceedance(values, (1.0, 2.0, 8.0), None if levels is None else torch.tensor([levels]))


def test_what_is_not_known_is_not_said():
    forecast = exceedance([[0.9], [0.5], [0.1]])
    assert forecast.gives("single")
    assert forecast.gives("probability")
    assert not forecast.gives("members")
    assert (forecast.knows(2.0), forecast.knows(2.0000001), forecast.knows(3.0)) == (True, True, False)
    assert forecast.probability(2.0).item() == 0.5
    with pytest.raises(ValueError, match=r"no probability of at least 3 mm/h, only of \[1\.0, 2\.0, 8\.0\]"):
        forecast.probability(3.0)
    with pytest.raises(ValueError, match="no members"):
        forecast.members()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must be \(B, T, 2, H, W\) for the thresholds"):
        Exceedance(torch.zeros(1, 1, 3, 2, 2), (1.0, 2.0))
    with pytest.raises(ValueError, match="levels must be"):
        exceedance([[0.9], [0.5], [0.1]], [0.5, 0.5])
    with pytest.raises(ValueError, match="a forecast is"):
        of_values(torch.zeros(1, 2, 3))


@pytest.mark.parametrize("kind", ["field", "ensemble", "exceedance"])
def test_one_lead_time_is_what_it_was_among_all(kind):
    draw = torch.Generator().manual_seed(2)
    forecast = {
        "field": Field(torch.rand(2, 3, 1, 4, 5, generator=draw)),
        "ensemble": Ensemble(torch.rand(2, 4, 3, 1, 4, 5, generator=draw)),
        "exceedance": Exceedance(
            torch.rand(2, 3, 2, 4, 5, generator=draw).sort(dim=2, descending=True).values, (0.5, 0.7), torch.rand(3, 2)
        ),
    }[kind]
    for number in range(3):
        one = forecast.lead(number)
        torch.testing.assert_close(one.single(), forecast.single()[:, number : number + 1])
        torch.testing.assert_close(one.probability(0.5), forecast.probability(0.5)[:, number : number + 1])
        assert one.missing().shape == (2, 1, 1, 4, 5)


def test_who_says_probabilities_is_asked_in_one_way():
    said = Exceedance(torch.zeros(1, 1, 1, 2, 2), (0.5,))
    assert (said.exceedance, Field(said.values).exceedance) == (said, None)
    assert thresholds_of(LagrangianProbability(1, 8.0, 5.0, [0.5, 2.0])) == (0.5, 2.0)
    assert thresholds_of(Persistence()) == ()
    sources = Path(nowcast.__file__).parent.rglob("*.py")
    assert [path for path in sources if re.search(r"isinstance\(.*, Exceedance\)", path.read_text())] == []
