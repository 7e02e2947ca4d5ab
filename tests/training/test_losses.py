"""Losses by hand, their masks and their gradients."""

import math
import re

import pytest
import torch

from nowcast.config.build import build
from nowcast.config.mistakes import UsageError
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.training.losses.cells import (
    BalancedError,
    CrossEntropy,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Pinball,
    WeightedError,
)
from nowcast.training.losses.events import ExceedanceLoss, SoftCsi
from nowcast.training.losses.fields import FourierLoss, ProbabilityMatching
from nowcast.training.losses.fitting import refuse_head_without_rain, refuse_loss_of_another_head
from nowcast.training.trial_build import build_objective
from tests.programs import composed

SCALE = {"zr_a": 58.53, "zr_b": 1.56, "min_dbz": -10.0, "max_dbz": 60.0}
HKO7 = {"thresholds": [2, 5, 10, 30], "weights": [1, 2, 5, 10, 30], "mse_factor": 1.0, "mae_factor": 1.0}
LOSSES = [
    CrossEntropy("sequence"),
    CrossEntropy("cell"),
    MeanSquaredError("cell"),
    MeanAbsoluteError("sequence"),
    LogCosh("cell", 7.4),
    BalancedError(**HKO7, scale=1.0, **SCALE),
    ExceedanceLoss([1.0], 0.5),
    SoftCsi([5.0], [1.0], 0.1, **SCALE),
    FourierLoss(0.4),
    FourierLoss(0.4).eval(),  # both of its parts
    ProbabilityMatching(0.25),
    Pinball("cell", 0.9),
    WeightedError("sequence", 24.0, **SCALE),
]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, 1, -1)


def test_cross_entropy_by_hand():
    target, logits = tensor(1.0, 0.25), tensor(0.0, math.log(3))  # P = 0.5 and 0.75
    by_hand = math.log(2) - (0.25 * math.log(0.75) + 0.75 * math.log(0.25))
    mask = torch.ones_like(target, dtype=torch.bool)
    assert CrossEntropy("sequence")(logits, target, mask).item() == pytest.approx(by_hand)
    assert CrossEntropy("cell")(logits, target, mask).item() == pytest.approx(by_hand / 2)


def test_log_cosh_by_hand_and_without_overflow():
    target, logits = tensor(1.0, 0.25, 0.5), tensor(0.0, math.log(3), 0.0)  # differences of -0.5, 0.5 and 0
    mask = torch.ones_like(target, dtype=torch.bool)
    assert LogCosh("sequence", 4.0)(logits, target, mask).item() == pytest.approx(2 * math.log(math.cosh(2.0)))
    assert LogCosh("sequence", 2000.0)(logits, target, mask).item() == pytest.approx(2 * (1000 - math.log(2)))
    with pytest.raises(ValueError, match=r"loss\.range must be above 0, got 0"):
        LogCosh("cell", 0)


def test_the_range_of_log_cosh_is_that_of_rainnets_scaling():
    config = composed("experiment=rainnet", "data.archives=[x.nc]")
    build_objective(config)
    assert build(config.loss).range == pytest.approx(build(config.scaling).range, abs=1e-6)


def test_a_sequence_is_summed_and_the_batch_averaged():
    logits, target = torch.randn(2, 3, 1, 4, 4), torch.rand(2, 3, 1, 4, 4)
    mask = torch.ones_like(target, dtype=torch.bool)
    each = [CrossEntropy("sequence")(logits[k : k + 1], target[k : k + 1], mask[k : k + 1]) for k in (0, 1)]
    torch.testing.assert_close(CrossEntropy("sequence")(logits, target, mask), (each[0] + each[1]) / 2)


def test_squared_and_absolute_error_by_hand():
    target, logits = tensor(1.0, 0.25), tensor(0.0, math.log(3))
    mask = torch.ones_like(target, dtype=torch.bool)
    assert MeanSquaredError("cell")(logits, target, mask).item() == pytest.approx((0.25 + 0.25) / 2)
    assert MeanAbsoluteError("cell")(logits, target, mask).item() == pytest.approx((0.5 + 0.5) / 2)


def test_balanced_error_weighs_by_the_truth():
    # Grey values of HKO-7 between its thresholds 0.46243, 0.55111, 0.61820, 0.72453: weights 1, 2, 5, 10, 30.
    target = tensor(0.1, 0.5, 0.6, 0.7, 0.8)
    logits = torch.zeros_like(target)  # P = 0.5
    errors = [0.4, 0.0, 0.1, 0.2, 0.3]
    by_hand = sum(w * (e**2 + e) for w, e in zip([1, 2, 5, 10, 30], errors, strict=True))
    loss = BalancedError(**HKO7, scale=2.0, **SCALE)
    mask = torch.ones_like(target, dtype=torch.bool)
    assert loss(logits, target, mask).item() == pytest.approx(2 * by_hand, rel=1e-6)
    two_frames = (x.expand(1, 2, 1, 1, 5) for x in (logits, target, mask))
    assert loss(*two_frames).item() == pytest.approx(2 * by_hand, rel=1e-6)  # mean over frames


@pytest.mark.parametrize("loss", LOSSES)
def test_masked_cells_have_neither_value_nor_gradient(loss):
    logits = torch.randn(2, 2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 2, 1, 3, 3, dtype=torch.float64)
    mask = torch.rand(2, 2, 1, 3, 3) > 0.5
    holey = torch.where(mask, target, torch.nan)
    value = loss(logits, holey, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == pytest.approx(loss(logits, target, mask).item())
    assert not gradient[~mask].any()
    assert gradient[mask].all()


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_valid_is_zero(loss):
    logits = torch.randn(1, 2, 1, 3, 3, requires_grad=True)
    mask = torch.zeros(1, 2, 1, 3, 3, dtype=torch.bool)
    value = loss(logits, torch.full_like(logits, torch.nan), mask)
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss):
    logits = torch.randn(1, 2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    target, mask = torch.rand(1, 2, 1, 2, 2, dtype=torch.float64), torch.rand(1, 2, 1, 2, 2) > 0.3
    assert torch.autograd.gradcheck(lambda x: loss(x, target, mask), (logits,))


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_logits_stay_finite(loss):
    logits = torch.tensor([1e4, -1e4]).view(1, 1, 1, 1, 2).requires_grad_()
    target = torch.tensor([0.0, 1.0]).view(1, 1, 1, 1, 2)
    value = loss(logits, target, torch.ones_like(target, dtype=torch.bool))
    value.backward()
    assert value.isfinite()
    assert value > 0
    assert logits.grad.isfinite().all()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="sequence or cell"):
        CrossEntropy("mean")
    with pytest.raises(ValueError, match="one entry more"):
        BalancedError(**(HKO7 | {"weights": [1, 2]}), scale=1.0, **SCALE)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_by_hand_points_from_forecast_to_truth(loss):
    # P = 0.5 against truth 0.8: every loss falls when the logit grows, and the other way round for truth 0.2.
    logits = torch.zeros(1, 1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    target = tensor(0.8, 0.2)
    (gradient,) = torch.autograd.grad(loss(logits, target, torch.ones_like(target, dtype=torch.bool)), logits)
    assert gradient.sign().flatten().tolist() == [-1, 1]


def test_the_gradient_of_the_cross_entropy_is_forecast_minus_truth():
    logits, target = tensor(0.0, math.log(3), -2.0).requires_grad_(), tensor(1.0, 0.25, 0.6)
    mask = torch.ones_like(target, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(CrossEntropy("sequence")(logits, target, mask), logits)
    torch.testing.assert_close(gradient, tensor(0.5, 0.75, 1 / (1 + math.exp(2))) - target)


def test_extreme_logits_cost_as_many_nats_as_they_are_wrong():
    logits, target = tensor(1e4, -1e4, 1e4), tensor(0.0, 1.0, 1.0)
    mask = torch.ones_like(target, dtype=torch.bool)
    assert CrossEntropy("sequence")(logits, target, mask).item() == pytest.approx(2e4)


def test_a_mean_over_cells_divides_by_the_valid_ones_only():
    logits, target = tensor(0.0, 0.0, 0.0), tensor(1.0, 0.4, 0.9)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 1, 3)
    assert MeanSquaredError("cell")(logits, target, mask).item() == pytest.approx((0.25 + 0.01) / 2)
    assert MeanSquaredError("sequence")(logits, target, mask).item() == pytest.approx(0.25 + 0.01)


def test_balanced_weights_follow_the_truth_and_not_the_forecast():
    loss = BalancedError(**HKO7, scale=1.0, **SCALE)
    mask = torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)
    light, heavy = 0.1, 0.8  # weights 1 and 30
    logit = [math.log(p / (1 - p)) for p in (light, heavy)]
    missed, invented = (loss(tensor(x), tensor(y), mask).item() for x, y in ((logit[0], heavy), (logit[1], light)))
    assert invented == pytest.approx(0.7**2 + 0.7, rel=1e-6)
    assert missed == pytest.approx(30 * invented, rel=1e-6)


def test_balanced_parts_have_their_own_factors():
    target, mask = tensor(0.1), torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)
    factors = {"mse_factor": 3.0, "mae_factor": 7.0}
    loss = BalancedError(**(HKO7 | factors), scale=1.0, **SCALE)
    assert loss(tensor(0.0), target, mask).item() == pytest.approx(3 * 0.4**2 + 7 * 0.4, rel=1e-6)


def test_exceedance_by_hand():
    # Two thresholds, three cells of which the last does not count; P = 1/2 and 3/4, events 1 and 0; 1/2, 1/2 and 0, 0.
    logits = torch.tensor([[0.0, math.log(3), 9.0], [0.0, 0.0, 9.0]]).view(1, 1, 2, 1, 3)
    target = torch.tensor([[1.0, 0.0, math.nan], [0.0, 0.0, math.nan]]).view(1, 1, 2, 1, 3)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 1, 3)
    first, second = (math.log(2) + math.log(4)) / 2, math.log(2)
    assert ExceedanceLoss([1.0, 3.0], 0.0)(logits, target, mask).item() == pytest.approx((first + 3 * second) / 4)
    off = 1 - 0.5 / (0.5 + 0.75 + 1 - 0.5)  # the second threshold was nowhere reached
    assert ExceedanceLoss([1.0, 3.0], 2.0)(logits, target, mask).item() == pytest.approx(
        (first + 2 * off + 3 * second) / 4
    )
    assert ExceedanceLoss([0.0, 1.0], 2.0)(logits, target, mask).item() == pytest.approx(second)


def test_a_field_that_is_right_has_no_jaccard_part():
    target = torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2)
    loss = ExceedanceLoss([1.0], 1.0)(target * 200 - 100, target, torch.ones_like(target, dtype=torch.bool))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_cross_entropy_of_thresholds_is_that_of_exceedance():
    logits, target = torch.randn(2, 3, 4, 5, 5), (torch.rand(2, 3, 4, 5, 5) > 0.7).float()
    mask = torch.rand(2, 3, 1, 5, 5) > 0.3
    weighted = ExceedanceLoss([1.0] * 4, 0.0)(logits, target, mask)
    torch.testing.assert_close(CrossEntropy("cell")(logits, target, mask), 4 * weighted)


@pytest.mark.parametrize(("weights", "jaccard"), [([], 0.0), ([0.0, 0.0], 0.0), ([1.0, -1.0], 0.0), ([1.0], -0.5)])
def test_weights_of_exceedance_are_checked(weights, jaccard):
    with pytest.raises(ValueError, match=r"loss\.(weights|jaccard) must be 0 or more"):
        ExceedanceLoss(weights, jaccard)


def test_a_loss_of_another_head_is_refused():
    grey, exceedance = GreyHead(), ExceedanceHead([0.5, 2.0])
    for loss in (CrossEntropy("cell"), MeanSquaredError("cell")):
        refuse_loss_of_another_head(loss, grey)
        refuse_loss_of_another_head(loss, exceedance)
    refuse_loss_of_another_head(ExceedanceLoss([1.0, 1.0], 0.0), exceedance)
    for loss, head, way in (
        (ExceedanceLoss([1.0], 0.0), grey, "choose head=exceedance"),
        (BalancedError(**HKO7, scale=1.0, **SCALE), exceedance, "choose loss=exceedance"),
        (ExceedanceLoss([1.0], 0.0), exceedance, r"loss\.weights has 1 entries, head\.thresholds 2"),
    ):
        with pytest.raises(UsageError, match=way):
            refuse_loss_of_another_head(loss, head)


def test_events_that_a_head_says_nothing_of_are_refused_and_the_advice_is_taken():
    typed = ["head=exceedance", "loss=exceedance"]
    build_objective(composed(*typed, "verification.thresholds=[0.5,10]"))
    # Amounts have no last threshold.
    build_objective(composed("head=grey", "loss=mse", "verification.thresholds=[0.5,10,30]"))
    with pytest.raises(UsageError, match="says nothing of at least 20, 30 mm/h") as refused:
        build_objective(composed(*typed, "verification.thresholds=[0.5,10,20,30]"))
    fewer, more = re.findall(r"(?:verification|head)\.thresholds=\[\S+\]", str(refused.value))[-2:]
    build_objective(composed(*typed, fewer))
    weights = "loss.weights=[1,1,1,1,1,1,1,1]"
    build_objective(composed(*typed, "verification.thresholds=[0.5,10,20,30]", more, weights))


def test_thresholds_of_rain_are_refused_for_pictures():
    refuse_head_without_rain(GreyHead(), "brightness")
    refuse_head_without_rain(ExceedanceHead([0.5]), "rain_rate")
    with pytest.raises(UsageError, match=r"\[0\.5\] are mm/h, and the data is brightness: use .* head=grey loss="):
        refuse_head_without_rain(ExceedanceHead([0.5]), "brightness")
