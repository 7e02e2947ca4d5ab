"""Rain rate and grey value, against the figures of the two papers."""

import pytest
import torch

from nowcast.scaling import GreyScale

PAPER = GreyScale(118.239, 1.5241, -10, 60)
HKO7 = GreyScale(58.53, 1.56, -10, 60)


def test_half_a_millimetre_is_the_papers_grey():
    assert PAPER.to_grey(torch.tensor([0.5]))[0].item() == pytest.approx(0.37342, abs=5e-6)


def test_thresholds_of_hko7():
    grey = HKO7.to_grey(torch.tensor([0.5, 2, 5, 10, 30], dtype=torch.float64))
    expected = torch.tensor([0.32825, 0.46243, 0.55111, 0.61820, 0.72453], dtype=torch.float64)
    torch.testing.assert_close(grey, expected, atol=6e-6, rtol=0)


def test_the_ends_of_the_scale():
    assert PAPER.to_rain_rate(torch.tensor([1.0]))[0].item() == pytest.approx(377.4, abs=0.05)
    assert PAPER.to_rain_rate(torch.tensor([1e-9]))[0].item() == pytest.approx(0.0096, abs=5e-5)
    assert PAPER.to_rain_rate(torch.tensor([0.0, -1.0])).tolist() == [0, 0]
    assert PAPER.to_grey(torch.tensor([0.0, 0.001, 1e9])).tolist() == [0, 0, 1]


def test_there_and_back():
    rates = torch.logspace(-1.9, 2.5, 100)
    torch.testing.assert_close(PAPER.to_rain_rate(PAPER.to_grey(rates)), rates, rtol=2e-5, atol=0)


def test_no_data_stays_no_data():
    assert PAPER.to_grey(torch.tensor([torch.nan])).isnan().all()
    assert PAPER.to_rain_rate(torch.tensor([torch.nan])).isnan().all()


def test_the_constants_travel_in_the_state():
    assert PAPER.state_dict()["constants"].tolist() == [118.239, 1.5241, -10, 60]


@pytest.mark.parametrize("arguments", [(200, 1.6, 60, -10), (0, 1.6, -10, 60)])
def test_impossible_scales_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must be|needs"):
        GreyScale(*arguments)
