"""Rain rate and grey value, against the figures of the two papers."""

import numpy as np
import pytest
import torch

from nowcast.scaling import GreyScale, LogAmount

PAPER = GreyScale(118.239, 1.5241, -10, 60)
HKO7 = GreyScale(58.53, 1.56, -10, 60)


def test_half_a_millimetre_is_the_papers_grey():
    assert PAPER.to_grey(torch.tensor([0.5]))[0].item() == pytest.approx(0.37342, abs=5e-6)


def test_thresholds_of_hko7():
    grey = HKO7.to_grey(torch.tensor([0.5, 2, 5, 10, 30], dtype=torch.float64))
    expected = torch.tensor([0.32825, 0.46243, 0.55111, 0.61820, 0.72453], dtype=torch.float64)
    torch.testing.assert_close(grey, expected, atol=6e-6, rtol=0)


def test_the_ends_of_the_scale():
    assert PAPER.from_grey(torch.tensor([1.0]))[0].item() == pytest.approx(377.4, abs=0.05)
    assert PAPER.from_grey(torch.tensor([1e-9]))[0].item() == pytest.approx(0.0096, abs=5e-5)
    assert PAPER.from_grey(torch.tensor([0.0, -1.0])).tolist() == [0, 0]
    assert PAPER.to_grey(torch.tensor([0.0, 0.001, 1e9])).tolist() == [0, 0, 1]


def test_there_and_back():
    rates = torch.logspace(-1.9, 2.5, 100)
    torch.testing.assert_close(PAPER.from_grey(PAPER.to_grey(rates)), rates, rtol=2e-5, atol=0)


def test_no_data_stays_no_data():
    assert PAPER.to_grey(torch.tensor([torch.nan])).isnan().all()
    assert PAPER.from_grey(torch.tensor([torch.nan])).isnan().all()


def test_the_constants_travel_in_the_state():
    assert PAPER.state_dict()["constants"].tolist() == [118.239, 1.5241, -10, 60]


@pytest.mark.parametrize("arguments", [(200, 1.6, 60, -10), (0, 1.6, -10, 60)])
def test_impossible_scales_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must be|needs"):
        GreyScale(*arguments)


def test_grey_by_the_formula():
    rates = np.geomspace(0.02, 300, 50)
    dbz = 10 * np.log10(118.239 * rates**1.5241)
    np.testing.assert_allclose(PAPER.to_grey(torch.from_numpy(rates)).numpy(), (dbz + 10) / 70, rtol=1e-12)


def test_rain_rate_by_the_formula():
    grey = np.linspace(0.01, 1, 50)
    rates = (10 ** ((70 * grey - 10) / 10) / 58.53) ** (1 / 1.56)
    np.testing.assert_allclose(HKO7.from_grey(torch.from_numpy(grey)).numpy(), rates, rtol=1e-12)


def test_the_papers_grey_is_half_a_millimetre():
    assert PAPER.from_grey(torch.tensor([0.37342]))[0].item() == pytest.approx(0.5, abs=2e-5)


@pytest.mark.parametrize("scale", [PAPER, HKO7])
def test_grey_there_and_back(scale):
    grey = torch.linspace(0, 1, 257, dtype=torch.float64)
    torch.testing.assert_close(scale.to_grey(scale.from_grey(grey)), grey, rtol=0, atol=1e-12)


def test_the_type_of_the_numbers_is_kept():
    for dtype in (torch.float32, torch.float64):
        assert PAPER.to_grey(torch.ones(1, dtype=dtype)).dtype == dtype
        assert PAPER.from_grey(torch.ones(1, dtype=dtype)).dtype == dtype


def test_weights_of_another_scaling_are_refused():
    with pytest.raises(ValueError, match=r"trained with another scaling .*: scaling\.min_dbz: -10 → 0$"):
        GreyScale(118.239, 1.5241, 0, 60).load_state_dict(PAPER.state_dict())
    with pytest.raises(ValueError, match=r"scaling\.zr_a: 118\.239 → 58\.53, scaling\.zr_b: 1\.5241 → 1\.56$"):
        HKO7.load_state_dict(PAPER.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_constants_that_a_low_precision_rounded_are_the_same(dtype):
    rounded = GreyScale(118.239, 1.5241, -10, 60).to(dtype)
    GreyScale(118.239, 1.5241, -10, 60).load_state_dict(rounded.state_dict())
    rounded.load_state_dict(PAPER.state_dict())
    with pytest.raises(ValueError, match="another scaling"):
        GreyScale(118.239, 1.5241, 0, 60).load_state_dict(rounded.state_dict())


RAINNET = LogAmount(5.0, 0.01, 200.0)


def test_amounts_by_the_formula():
    """A straight line of ln(x + 0.01), x in mm per 5 minutes, from no rain to 200 mm/h."""
    rates = np.geomspace(0.001, 200, 50)
    seen, first, last = (np.log(rate / 12 + 0.01) for rate in (rates, 0.0, 200.0))
    grey = RAINNET.to_grey(torch.from_numpy(rates)).numpy()
    np.testing.assert_allclose(grey, (seen - first) / (last - first), rtol=1e-12)
    np.testing.assert_allclose(RAINNET.from_grey(torch.from_numpy(grey)).numpy(), rates, rtol=1e-9)


def test_the_ends_of_amounts_and_no_data():
    rates = torch.tensor([0.0, 200.0, 1e4, torch.nan])
    torch.testing.assert_close(RAINNET.to_grey(rates), torch.tensor([0.0, 1.0, 1.0, torch.nan]), equal_nan=True)
    grey = torch.tensor([0.0, -1.0, torch.nan])
    torch.testing.assert_close(RAINNET.from_grey(grey), torch.tensor([0.0, 0.0, torch.nan]), equal_nan=True)


@pytest.mark.parametrize("arguments", [(0, 0.01, 200), (5, 0, 200), (5, 0.01, -1)])
def test_impossible_amounts_are_refused(arguments):
    with pytest.raises(ValueError, match=r"scaling\.minutes, scaling\.offset and scaling\.largest must be above 0"):
        LogAmount(*arguments)


def test_weights_that_saw_another_scaling_are_refused():
    with pytest.raises(ValueError, match=r"another scaling than that of the config: scaling\.offset: 0\.01 → 0\.1"):
        LogAmount(5.0, 0.1, 200.0).load_state_dict(RAINNET.state_dict())
    for one, other in ((PAPER, RAINNET), (RAINNET, PAPER)):
        with pytest.raises(ValueError, match=f"another scaling than {type(other).__name__} of the config"):
            other.load_state_dict(one.state_dict())
