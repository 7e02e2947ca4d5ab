"""Rain rate, rain amount and reflectivity: the three quantities radar files hold, and the relations between them.

Canonical units are mm h-1, mm and dBZ. Arrays may be NumPy or torch; NaN means "no data" and stays NaN.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array")  # np.ndarray or torch.Tensor: the relations below use operators both have


class Spacing(NamedTuple):
    """How far apart the frames, and the cells, of the windows of a batch are.

    Attributes:
        step_minutes: (B,) float32.
        cell_km: (B, 2) float32, height and width of a cell.
    """

    step_minutes: "Tensor"
    cell_km: "Tensor"


class Quantity(StrEnum):
    """What a radar field measures; the value is the variable's name in every file we write."""

    RAIN_RATE = "rain_rate"
    RAIN_AMOUNT = "rain_amount"
    REFLECTIVITY = "reflectivity"

    @property
    def units(self) -> str:
        """Canonical unit of the quantity, in UDUNITS spelling."""
        return {"rain_rate": "mm h-1", "rain_amount": "mm", "reflectivity": "dBZ"}[self.value]

    @property
    def standard_name(self) -> str:
        """CF standard name of the quantity."""
        return {
            "rain_rate": "lwe_precipitation_rate",
            "rain_amount": "lwe_thickness_of_precipitation_amount",
            "reflectivity": "equivalent_reflectivity_factor",
        }[self.value]


# What a unit must be convertible to, and the largest factor that can be meant: echo tops in km are no rain, Mm no mm.
_TARGETS = (
    (Quantity.RAIN_RATE, ("mm h-1", "kg m-2 h-1"), 3.6e6),
    (Quantity.RAIN_AMOUNT, ("mm", "kg m-2"), 1000.0),
)
_SPELLINGS = str.maketrans({"⁻": "-", "¹": "1", "²": "2", "³": "3", "·": "."})


@lru_cache(maxsize=256)
def conversion(unit: str, target: str) -> float | None:
    """Factor that takes values in a unit to another, both as UDUNITS and CF write them ("mm.h-1", "1e-3 m h**-1").

    Returns:
        The factor; None when the unit is not known, is no unit of the same kind, or has another zero.
    """
    from cf_units import Unit  # 0.15 s, needed by few commands

    try:
        parsed = Unit(unit.translate(_SPELLINGS))
    except ValueError:
        return None
    if parsed.is_time_reference() or not parsed.is_convertible(target) or parsed.convert(0.0, target) != 0:
        return None
    return float(f"{parsed.convert(1.0, target):.15g}")  # 1, where binary fractions make 0.9999999999999999


def parse_unit(unit: str) -> tuple[Quantity, float]:
    """Tell which quantity a unit string belongs to.

    Args:
        unit: A unit as UDUNITS and CF write it, such as "kg m-2 s-1", "mm/h" or "1e-3 m h-1"; case matters except in
            "dBZ".

    Returns:
        The quantity, and the factor that takes values to its canonical unit.

    Raises:
        ValueError: The unit is none of rain or reflectivity; the message gives examples of those that are.
    """
    if unit.strip().lower() == "dbz":
        return Quantity.REFLECTIVITY, 1.0
    for quantity, targets, largest in _TARGETS:
        for target in targets:
            factor = conversion(unit, target)
            if factor is not None and factor <= largest * (1 + 1e-9):
                return quantity, factor
    raise ValueError(
        f"unit {unit!r} is none of rain or reflectivity; known units are those of UDUNITS for a rate (mm h-1, mm d-1, "
        "kg m-2 s-1, up to m s-1), an amount (mm, kg m-2, up to m), and dBZ"
    )


@dataclass(frozen=True)
class ZR:
    """Z-R relation Z = a·R^b between reflectivity factor (mm6 m-3) and rain rate (mm h-1).

    Args:
        a: Factor, > 0.
        b: Exponent, > 0.

    Raises:
        ValueError: a or b is not a positive finite number.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        """Refuse relations that are not monotone."""
        if not (self.a > 0 and self.b > 0 and math.isfinite(self.a) and math.isfinite(self.b)):
            raise ValueError(f"Z = a·R^b needs a > 0 and b > 0, got a={self.a}, b={self.b}")

    def rain_rate(self, dbz: Array) -> Array:
        """Rain rate in mm h-1 of a reflectivity in dBZ; -inf dBZ is 0 mm h-1.

        >>> round(float(ZR(200.0, 1.6).rain_rate(np.float64(23.0103))), 3)
        1.0

        Source: R = (10^(dBZ/10) / a)^(1/b).
        """
        values: Any = dbz
        rate: Array = 10.0 ** ((values - 10.0 * math.log10(self.a)) / (10.0 * self.b))
        return rate

    def reflectivity(self, rain_rate: Array) -> Array:
        """Reflectivity in dBZ of a rain rate in mm h-1; 0 mm h-1 is -inf dBZ.

        Source: dBZ = 10·log10(a) + 10·b·log10(R).
        """
        dbz: Array = 10.0 * math.log10(self.a) + 10.0 * self.b * _log10(rain_rate)
        return dbz


def _log10(values: Any) -> Any:  # noqa: ANN401 (NumPy or torch)
    if hasattr(values, "log10"):  # torch
        return values.log10()
    with np.errstate(divide="ignore"):
        return np.log10(values)


def amount_to_rate(amount: Array, period_seconds: float) -> Array:
    """Mean rain rate in mm h-1 over the period in which an amount in mm fell.

    >>> amount_to_rate(np.array([0.0, 0.5, np.nan]), 300)
    array([ 0.,  6., nan])

    Raises:
        ValueError: The period is not positive.
    """
    if not period_seconds > 0:
        raise ValueError(f"accumulation period must be > 0 s, got {period_seconds}")
    values: Any = amount
    rate: Array = values * (3600.0 / period_seconds)
    return rate
