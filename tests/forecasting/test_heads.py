"""What a network's outputs mean, and what its loss compares them with."""

import pytest
import torch

from nowcast.forecasting.forecast import Exceedance, Field
from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.scaling import GreyScale

SCALING = GreyScale(118.239, 1.5241, -10.0, 60.0)


def test_the_grey_head_is_the_papers():
    outputs = torch.randn(2, 3, 1, 4, 5)
    head = GreyHead()
    assert (head.channels, head.thresholds) == (1, ())
    assert head.logits(outputs) is outputs
    forecast = head.forecast(torch.sigmoid(outputs), SCALING)
    assert isinstance(forecast, Field)
    torch.testing.assert_close(forecast.single(), SCALING.from_grey(torch.sigmoid(outputs)), rtol=0, atol=0)
    rain = torch.rand(2, 3, 1, 4, 5) * 20
    torch.testing.assert_close(head.target(rain, SCALING), SCALING.to_grey(rain), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_a_higher_threshold_is_never_more_probable(scale):
    head = ExceedanceHead([0.1, 0.5, 2.0, 5.0])
    logits = head.logits(scale * torch.randn(3, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert (logits.diff(dim=2) <= 0).all()
    assert (head.forecast(torch.sigmoid(logits), SCALING).values.diff(dim=2) <= 0).all()
    assert logits.isfinite().all()


def test_logits_worked_by_hand():
    head = ExceedanceHead([0.5, 2.0, 5.0])
    outputs = torch.tensor([1.0, 0.0, 2.0]).view(1, 1, 3, 1, 1)
    falls = [torch.log(torch.tensor(2.0)).item(), torch.log1p(torch.tensor(2.0).exp()).item()]
    expected = [1.0, 1.0 - falls[0], 1.0 - falls[0] - falls[1]]
    assert head.logits(outputs).flatten().tolist() == pytest.approx(expected)


def test_targets_say_which_thresholds_were_reached():
    head = ExceedanceHead([0.5, 2.0])
    rain = torch.tensor([0.0, 0.5, 1.9, 2.0, torch.nan]).view(1, 1, 1, 1, 5)
    target = head.target(rain, SCALING)
    assert target.shape == (1, 1, 2, 1, 5)
    assert target[0, 0, :, 0, :4].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]
    assert target[..., 4].isnan().all()


def test_probabilities_that_a_calibration_crossed_are_put_in_order():
    said = torch.tensor([0.4, 0.6]).view(1, 1, 2, 1, 1)
    forecast = ExceedanceHead([0.5, 2.0]).forecast(said, SCALING)
    assert isinstance(forecast, Exceedance)
    assert forecast.values.flatten().tolist() == pytest.approx([0.4, 0.4])


def test_order_and_logits_are_those_of_whole_arrays():
    """What is done lead by lead, or threshold by threshold, since it is faster, changes no number."""
    draw = torch.Generator().manual_seed(0)
    outputs, said = torch.randn(2, 3, 4, 9, 11, generator=draw), torch.rand(2, 3, 4, 9, 11, generator=draw)
    said[0, 1, 2, 3] = torch.nan
    head = ExceedanceHead([0.1, 0.5, 2.0, 5.0])
    ordered = head.forecast(said, SCALING).values
    torch.testing.assert_close(ordered, said.cummin(dim=2).values, rtol=0, atol=0, equal_nan=True)
    first, falls = outputs[:, :, :1], torch.nn.functional.softplus(outputs[:, :, 1:])
    whole = torch.cat([first, first - falls.cumsum(dim=2)], dim=2)
    torch.testing.assert_close(head.logits(outputs), whole, rtol=0, atol=0)


@pytest.mark.parametrize("wrong", [[], [2.0, 0.5], [0.5, 0.5], [0.0, 1.0], [-1.0]])
def test_thresholds_that_do_not_rise_are_refused(wrong):
    with pytest.raises(ValueError, match=r"head\.thresholds must rise strictly from above 0 mm/h"):
        ExceedanceHead(wrong)
