"""Units and the laws between rain rate, amount and reflectivity."""

import numpy as np
import pytest
import torch

from nowcast.units import ZR, Quantity, amount_to_rate, conversion, parse_unit


@pytest.mark.parametrize(
    ("unit", "quantity", "factor"),
    [
        ("mm h-1", "rain_rate", 1),
        ("mm/h", "rain_rate", 1),
        ("mm h^-1", "rain_rate", 1),
        ("m s-1", "rain_rate", 3.6e6),
        ("kg m-2 s-1", "rain_rate", 3600),
        ("kg m-2", "rain_amount", 1),
        ("mm", "rain_amount", 1),
        ("dbz", "reflectivity", 1),
        # as UDUNITS reads them
        ("mm.h-1", "rain_rate", 1),
        ("mm h**-1", "rain_rate", 1),
        ("mm·h⁻¹", "rain_rate", 1),
        ("mm hr-1", "rain_rate", 1),
        ("mm/hour", "rain_rate", 1),
        ("millimeters per hour", "rain_rate", 1),
        ("1e-3 m h-1", "rain_rate", 1),
        ("mm (5 min)-1", "rain_rate", 12),
        ("mm d-1", "rain_rate", 1 / 24),
        ("mm s-1", "rain_rate", 3600),
        ("kg m-2 h-1", "rain_rate", 1),
        ("kg m**-2 s**-1", "rain_rate", 3600),
        ("inch/hour", "rain_rate", 25.4),
        ("0.1 mm", "rain_amount", 0.1),
        ("cm", "rain_amount", 10),
        ("m", "rain_amount", 1000),
        ("kg/m2", "rain_amount", 1),
    ],
)
def test_units_of_files(unit, quantity, factor):
    assert parse_unit(unit) == (Quantity(quantity), pytest.approx(factor, rel=1e-14))


def test_a_factor_of_one_is_exactly_one():
    assert {parse_unit(unit)[1] for unit in ("mm h-1", "1e-3 m h-1", "kg m-2 h-1", "mm/hr", "mm")} == {1.0}


@pytest.mark.parametrize(
    "unit",
    ["", "1", "K", "MM", "mm/h/h", "km s-1", "Mm h-1", "km", "seconds since 2020-01-01", "mm since 2020-01-01", "%"],
)
def test_an_unknown_unit_is_refused_with_itself_and_the_known_ones(unit):
    with pytest.raises(ValueError, match=rf"unit '{unit}' is none of .* known units are .*kg m-2"):
        parse_unit(unit)


def test_a_unit_with_another_zero_is_no_factor():
    assert conversion("degC", "K") is None
    assert conversion("km", "m") == 1000


def test_marshall_palmer_by_hand():
    zr = ZR(200, 1.6)
    # 1 mm/h: Z = 200 → 23.0103 dBZ; 10 mm/h: 200·10^1.6 → 39.0103 dBZ
    np.testing.assert_allclose(zr.reflectivity(np.array([1.0, 10.0])), [23.0103, 39.0103], atol=1e-4)
    np.testing.assert_allclose(zr.rain_rate(np.array([23.0103, 39.0103])), [1.0, 10.0], rtol=1e-5)


def test_no_rain_is_minus_infinity_and_back():
    zr = ZR(200, 1.6)
    assert zr.reflectivity(np.array([0.0]))[0] == -np.inf
    assert zr.rain_rate(np.array([-np.inf]))[0] == 0
    assert zr.reflectivity(torch.tensor([0.0]))[0] == -torch.inf


def test_no_data_stays_no_data():
    zr = ZR(223, 1.53)
    assert np.isnan(zr.rain_rate(np.array([np.nan]))).all()
    assert zr.reflectivity(torch.tensor([torch.nan])).isnan().all()
    assert np.isnan(amount_to_rate(np.array([np.nan]), 300)).all()


def test_torch_and_numpy_agree():
    rates = np.array([0.1, 1.0, 50.0])
    zr = ZR(118.239, 1.5241)
    np.testing.assert_allclose(zr.reflectivity(torch.from_numpy(rates)).numpy(), zr.reflectivity(rates))


def test_five_minutes_count_twelvefold():
    assert amount_to_rate(np.array([0.5]), 300)[0] == 6.0


@pytest.mark.parametrize("period", [0, -300, float("nan")])
def test_a_period_must_be_positive(period):
    with pytest.raises(ValueError, match="period"):
        amount_to_rate(np.array([1.0]), period)


@pytest.mark.parametrize(("a", "b"), [(0, 1.6), (200, 0), (-1, 1), (float("inf"), 1)])
def test_a_relation_must_be_monotone(a, b):
    with pytest.raises(ValueError, match="a > 0 and b > 0"):
        ZR(a, b)


def test_reflectivity_by_the_formula_and_back():
    rates = np.geomspace(0.01, 300, 40)
    for a, b in ((118.239, 1.5241), (58.53, 1.56), (223, 1.53)):
        np.testing.assert_allclose(ZR(a, b).reflectivity(rates), 10 * np.log10(a * rates**b), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ZR(a, b).rain_rate(ZR(a, b).reflectivity(rates)), rates, rtol=1e-12)


@pytest.mark.parametrize(
    ("quantity", "units"),
    [("rain_rate", "mm h-1"), ("rain_amount", "mm"), ("reflectivity", "dBZ")],
)
def test_a_canonical_unit_is_read_as_itself(quantity, units):
    assert Quantity(quantity).units == units
    assert parse_unit(units) == (Quantity(quantity), 1)


@pytest.mark.parametrize("unit", ["kg m**-2 s**-1", "kg m^-2 s^-1", "kg·m-2·s-1", " kg  m-2 s-1 "])
def test_spellings_of_a_unit_are_one_unit(unit):
    assert parse_unit(unit) == (Quantity.RAIN_RATE, 3600)


def test_an_hours_amount_is_its_rate():
    rates = amount_to_rate(torch.tensor([2.5, 0.0]), 3600)
    assert rates.tolist() == [2.5, 0.0]
