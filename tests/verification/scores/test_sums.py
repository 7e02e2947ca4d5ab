"""Every family: any split of the data into batches, ranks and groups gives the same score."""

import pytest
import torch

from nowcast.forecasting.forecast import Exceedance, Field
from nowcast.verification.scores.categorical import Categorical, MaxPooled
from nowcast.verification.scores.continuous import Balanced, Continuous
from nowcast.verification.scores.ensemble import EnsembleErrors, RankHistogram
from nowcast.verification.scores.family import shape_of
from nowcast.verification.scores.probability import Probabilities
from nowcast.verification.scores.sal import StructureAmplitudeLocation
from nowcast.verification.scores.spatial import Fractions, Spectrum
from nowcast.verification.scores.sums import by_lead_time, scores_of
from tests.verification.scores import fields as helpers
from tests.verification.scores.fields import KINDS, fields

THRESHOLDS = [0.5, 2.0, 10.0]
FAMILIES = {
    "categorical": Categorical(THRESHOLDS),
    "pooled": MaxPooled(THRESHOLDS, [4, 16]),
    "continuous": Continuous(),
    "balanced": Balanced([2.0, 5.0], [1.0, 2.0, 5.0], 58.53, 1.56, -10.0, 60.0),
    "fss_zero": Fractions(THRESHOLDS, [1, 3, 9], "zero"),
    "fss_inside": Fractions(THRESHOLDS, [1, 4, 9], "inside"),
    "spectrum": Spectrum([2, 4, 8, 16]),
    "sal": StructureAmplitudeLocation(1 / 15, 0.95, 0.1),
    "ensemble": EnsembleErrors(),
    "probability": Probabilities(THRESHOLDS, 4, [0.1, 0.5], "bad"),
    "rank": RankHistogram(6),
}


def test_events_beyond_the_last_threshold_of_probabilities_are_undefined_in_every_family():
    forecast = Exceedance(torch.full((2, 3, 2, 16, 16), 0.9), (0.5, 2.0))
    observed, mask = torch.full((2, 3, 1, 16, 16), 12.0), torch.ones(2, 3, 1, 16, 16, dtype=torch.bool)
    said = helpers.scored(FAMILIES, forecast, observed, mask)
    for name in ("categorical/csi", "pooled/pooled_csi", "fss_zero/fss", "fss_inside/fss", "probability/brier"):
        family, score = name.split("/")
        axis = 1 + FAMILIES[family].score_axes[score].index("threshold")
        assert not said[name].select(axis, 1).isnan().any(), name
        assert said[name].select(axis, 2).isnan().all(), name
    assert not said["continuous/rmse"].isnan().any()


def summed(forecast, observed, mask, groups=None):
    return helpers.summed(FAMILIES, forecast, observed, mask, groups)


def scored(forecast, observed, mask):
    return helpers.scored(FAMILIES, forecast, observed, mask)


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        # Fourier transforms are float32, and a mean of batches of another size rounds otherwise.
        tolerance = 1e-5 if name.startswith("spectrum") else 1e-9
        torch.testing.assert_close(other[name], value, rtol=tolerance, atol=1e-9, equal_nan=True, msg=name)


@pytest.mark.parametrize("members", [None, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_ranks_give_the_same(kind, members):
    data = fields(kind, members=members)
    whole = summed(*data).sums("all")
    batches = [summed(*(x[index : index + 1] for x in data)).sums("all") for index in range(len(data[1]))]
    added = {name: sum(batch[name] for batch in batches) for name in whole}
    same(*(scores_of({name: value.sum(0) for name, value in sums.items()}, FAMILIES) for sums in (whole, added)))
    assert whole["missing"].sum() == added["missing"].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_groups_add_up_to_the_whole_and_are_what_each_group_scores_alone(kind):
    forecast, observed, mask = fields(kind, members=3)
    groups = {"block": torch.tensor([0, 1, 2, 1]), "season": torch.tensor([3, 3, 0, 0])}
    both = summed(forecast, observed, mask, groups)
    for grouping, numbers in groups.items():
        sums = both.sums(grouping)
        total = {name: value.sum(0) for name, value in sums.items()}
        same(scored(forecast, observed, mask), scores_of(total, FAMILIES))
        for number in set(numbers.tolist()):
            inside = numbers == number
            alone = scored(*(x[inside] for x in (forecast, observed, mask)))
            same(alone, scores_of({name: value[number] for name, value in sums.items()}, FAMILIES))


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_outside_the_mask_does_not_matter(kind):
    forecast, observed, mask = fields(kind, members=3)
    inside = mask[:, None].expand_as(forecast)
    results = [
        scored(torch.where(inside, forecast, filler), torch.where(mask, observed, filler), mask)
        for filler in (0.0, 50.0, torch.nan)
    ]
    same(results[0], results[1])
    same(results[0], results[2])


def test_shapes_are_as_declared():
    forecast, observed, mask = fields("random", members=3)
    scores = scored(forecast, observed, mask)
    for name, family in FAMILIES.items():
        assert family.score_axes.keys() == family.best.keys(), name
        for score, axes in family.score_axes.items():
            if score in getattr(family, "skills", ()):
                assert f"{name}/{score}" not in scores  # they ask for another model's sums
                continue
            assert scores[f"{name}/{score}"].shape == (2, *(len(family.axes[axis]) for axis in axes)), score
        needed = {
            "single": forecast[:, 0, 0],
            "members": forecast[:, :, 0],
            "probability": forecast[:, :1, 0].expand(-1, len(getattr(family, "thresholds", ())), -1, -1, -1) / 100,
        }
        values = family.statistics(needed[family.needs], observed[:, 0], mask[:, 0])
        assert {key: tuple(value.shape) for key, value in values.items()} == {
            key: (4, *shape_of(family, key)) for key in family.statistics_axes
        }


@pytest.mark.parametrize("kind", ["random", "all wet", "masked"])
def test_a_perfect_forecast_has_the_best_of_everything(kind):
    _, observed, mask = fields(kind)
    scores = scored(observed, observed, mask)
    perfect = {"nearest one": 1.0, "nearest zero": 0.0, "lowest": 0.0, "highest": 1.0}
    for name, family in FAMILIES.items():
        for score, best in family.best.items():
            if score in getattr(family, "skills", ()):
                continue
            value = scores[f"{name}/{score}"]
            defined = value[~value.isnan()]
            if best != "none":
                torch.testing.assert_close(
                    defined, torch.full_like(defined, perfect[best]), rtol=0, atol=1e-6, msg=f"{name}/{score}"
                )


def test_nothing_valid_is_undefined_everywhere():
    scores = scored(*fields("nothing valid"))
    for name, value in scores.items():
        assert value.isnan().all(), name


def test_an_ensemble_is_scored_by_its_mean_where_single_forecasts_are():
    forecast, observed, mask = fields("random", members=3)
    ours, mean = scored(forecast, observed, mask), scored(forecast.mean(1), observed, mask)
    for name in ours:
        if name.split("/")[0] not in ("spectrum", "ensemble", "probability", "rank"):
            torch.testing.assert_close(ours[name], mean[name], equal_nan=True, msg=name)


def test_missing_members_are_counted():
    forecast, observed, mask = fields("missing forecast", members=3)
    mask[0] = False
    expected = forecast[1:].isnan().any(1).sum(dim=(0, 2, 3, 4))
    assert summed(forecast, observed, mask).sums("all")["missing"].sum(0).tolist() == expected.tolist()


def test_wrong_fields_are_refused():
    forecast, observed, mask = fields("random")
    with pytest.raises(ValueError, match="3 lead times, got 2"):
        list(by_lead_time(Field(forecast), observed, mask, 3))
    with pytest.raises(ValueError, match="of the same"):
        list(by_lead_time(Field(forecast), observed[:1], mask, 2))
    observed[1, 1, 0, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="observation is NaN"):
        summed(forecast, observed, mask)
