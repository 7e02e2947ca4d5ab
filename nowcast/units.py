"""Rain rate, rain amount and reflectivity: the three quantities radar files hold, and the laws between them.

Canonical units are mm h-1, mm and dBZ. Arrays may be NumPy or torch; NaN means "no data" and stays NaN.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array")  # np.ndarray or torch.Tensor: the laws below use operators both have


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


# Factor from a unit as found in files to the canonical unit of its quantity.
_FACTORS: dict[str, tuple[Quantity, float]] = {
    "mm h-1": (Quantity.RAIN_RATE, 1.0),
    "mm hr-1": (Quantity.RAIN_RATE, 1.0),
    "mm/h": (Quantity.RAIN_RATE, 1.0),
    "mm/hr": (Quantity.RAIN_RATE, 1.0),
    "mm/hour": (Quantity.RAIN_RATE, 1.0),
    "mm hour-1": (Quantity.RAIN_RATE, 1.0),
    "kg m-2 h-1": (Quantity.RAIN_RATE, 1.0),
    "kg m-2 s-1": (Quantity.RAIN_RATE, 3600.0),
    "mm s-1": (Quantity.RAIN_RATE, 3600.0),
    "mm/s": (Quantity.RAIN_RATE, 3600.0),
    "m s-1": (Quantity.RAIN_RATE, 3.6e6),
    "m/s": (Quantity.RAIN_RATE, 3.6e6),
    "mm": (Quantity.RAIN_AMOUNT, 1.0),
    "kg m-2": (Quantity.RAIN_AMOUNT, 1.0),
    "kg/m2": (Quantity.RAIN_AMOUNT, 1.0),
    "cm": (Quantity.RAIN_AMOUNT, 10.0),
    "m": (Quantity.RAIN_AMOUNT, 1000.0),
    "dBZ": (Quantity.REFLECTIVITY, 1.0),
}


def parse_unit(unit: str) -> tuple[Quantity, float]:
    """Tell which quantity a unit string belongs to.

    Args:
        unit: A unit as written in a file, such as "kg m-2 s-1" or "mm/h"; case matters except in "dBZ".

    Returns:
        The quantity, and the factor that takes values to its canonical unit.

    Raises:
        ValueError: The unit is none of the known ones; the message lists them.
    """
    key = " ".join(unit.replace("^", "").replace("**", "").replace("·", " ").split())
    key = "dBZ" if key.lower() == "dbz" else key
    if key not in _FACTORS:
        raise ValueError(f"unknown unit {unit!r}; known units: {', '.join(sorted(_FACTORS))}")
    return _FACTORS[key]


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

    Raises:
        ValueError: The period is not positive.
    """
    if not period_seconds > 0:
        raise ValueError(f"accumulation period must be > 0 s, got {period_seconds}")
    values: Any = amount
    rate: Array = values * (3600.0 / period_seconds)
    return rate
