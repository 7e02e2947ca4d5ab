"""Probabilities of exceedance in CF files: which variable holds them, and of which rain rates.

CF has no standard name for them. Ours and those of the Met Office's IMPROVER are read: a threshold coordinate with the
standard name of what it is a threshold of, and its attribute `spp__relative_to_threshold`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.cf.axes import RAINY
from nowcast.data.cf.file import CFFile, Variable, attribute, lookup, numbers, variables
from nowcast.units import Quantity, conversion, parse_unit

PROBABILITY, THRESHOLD, LEVEL = "probability_of_exceedance", "threshold", "decision_level"  # names of our variables
DECISION, CHOICES = "decision", "level_by_decision"
ODDS, MATCHED, QUANTILE = "rain_rate_by_odds", "rain_rate_matched", "quantile"
RELATION, AT_LEAST = "spp__relative_to_threshold", "greater_than_or_equal_to"
RELATIONS = {
    "above": True, "greater_than": True, AT_LEAST: True,
    "below": False, "less_than": False, "less_than_or_equal_to": False,
}  # whether it is the probability of more  # fmt: skip
NAMED = re.compile(r"probability_of_(?P<quantity>.+)_(?P<relation>above|below)_threshold")
ROUNDING = 1e-5  # what packing and single precision may put beyond 0 and 1
DIGITS = {"f4": 6, "f8": 12}  # of thresholds: single precision makes 0.1 mm h-1 0.100000001


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Probabilities of at least so much rain.

    Args:
        values: (T, K, H, W) float32 in [0, 1]; NaN = no forecast.
        thresholds: K rain rates in mm h-1, rising, above 0.
        levels: (T, K) probabilities from which on it is decided that it rains so much, or None.
        decision: What these levels are for: "bias", "csi" or a ratio of cost to loss; "" where that is not known.
        choices: Every decision that there are levels for → its levels (T, K).
        heavy: (2, T, Q) of the field of rain where it reaches the last threshold: Q rates in mm h-1 that odds make of
            the probabilities, rising, and those in their place; NaN of a lead time without any, None = as odds say.
    """

    values: NDArray[np.float32]
    thresholds: tuple[float, ...]
    levels: NDArray[np.float32] | None = None
    decision: str = ""
    choices: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    heavy: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ProbabilityField:
    """The variable that holds probabilities.

    Args:
        variable: It.
        axis: Its dimension of thresholds; "" where there is one threshold and no dimension.
        order: Which of the file's thresholds is the lowest, the next, …
        thresholds: They in that order, mm h-1.
        factor: From the file's unit to 1.
        more: Whether it is the probability of more than a threshold; else of less.
    """

    variable: Variable
    axis: str
    order: tuple[int, ...]
    thresholds: tuple[float, ...]
    factor: float
    more: bool

    def exceedance(self, file: CFFile, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Probabilities (K, …) of more, by rising thresholds, out of the file's, whose unit is 1 by now; NaN stays NaN.

        Raises:
            DataFormatError: Some are below 0 or above 1.
        """
        low, high = float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=1.0))
        if low < -ROUNDING or high > 1 + ROUNDING:
            unit = attribute(self.variable, "units") or "1"
            raise file.refuse(
                f"{self.variable.name} holds {(low if low < -ROUNDING else high) / self.factor:g} (unit {unit}), which "
                "is no probability: they lie from 0 to 1, or from 0 to 100 %"
            )
        ordered = np.clip(values, 0, 1)[list(self.order)]
        return (ordered if self.more else 1 - ordered).astype(np.float32)


def find_probabilities(file: CFFile) -> ProbabilityField | None:
    """The variable of a file that holds probabilities of rain rates, None where none does.

    Raises:
        DataFormatError: There are several, or it cannot be told of which rates one is.
    """
    found = [x for x in variables(file.dataset).values() if x.ndim >= 2 and _of_rain(x)]
    if len(found) > 1:
        raise file.refuse(
            f"holds several probabilities of rain, {', '.join(x.name for x in found)}: leave one, for example with "
            f"ncks -x -v {found[0].name} {file.path.name} one.nc"
        )
    return _field(file, found[0]) if found else None


def levels_of(file: CFFile, field: ProbabilityField, time: str) -> NDArray[np.float32] | None:
    """The levels of decision (T, K) along the axis of lead times, None where the file has none.

    Raises:
        DataFormatError: They do not go with the probabilities.
    """
    variable = lookup(field.variable, LEVEL)
    if variable is None:
        return None
    axes = [name for name in (field.axis, time) if name]
    values = numbers(file, variable)
    if sorted(variable.dimensions) != sorted(axes) or not ((values >= 0) & (values <= 1)).all():
        raise file.refuse(
            f"{variable.name}({', '.join(variable.dimensions)}) must be probabilities from 0 to 1 by {', '.join(axes)}"
        )
    by_threshold = values.transpose([variable.dimensions.index(name) for name in axes]).reshape(len(field.order), -1)
    return by_threshold[list(field.order)].T.astype(np.float32)


def heavy_of(file: CFFile, field: ProbabilityField, time: str) -> NDArray[np.float32] | None:
    """What heavy rain is made of (2, T, Q) (`Probabilities.heavy`), None where the file has none.

    Raises:
        DataFormatError: It does not go with the probabilities.
    """
    found = [variable for name in (ODDS, MATCHED) if (variable := lookup(field.variable, name)) is not None]
    if not found:
        return None
    axes = (QUANTILE, time) if time else (QUANTILE,)
    read = [np.asarray(numbers(file, variable)) for variable in found]
    for variable, values in zip(found, read, strict=True):
        if variable.dimensions != axes or len(values) < 2 or (np.diff(values, axis=0) < 0).any():
            raise file.refuse(
                f"{variable.name}({', '.join(variable.dimensions)}) must be rain rates that rise with {QUANTILE}, by "
                f"{', '.join(axes)}"
            )
    if len(found) != 2:
        raise file.refuse(f"has {found[0].name} alone; {ODDS} and {MATCHED} make heavy rain together")
    return np.stack([values.reshape(len(values), -1).T for values in read]).astype(np.float32)


def _names(variable: Variable) -> tuple[str, str]:
    """What it is the probability of by its name, and whether of more or less; both "" of anything else."""
    for name in (variable.name, attribute(variable, "long_name")):
        if name == PROBABILITY:
            return THRESHOLD, "above"
        if match := NAMED.fullmatch(name):
            return match["quantity"], match["relation"]
    return "", ""


def _of_rain(variable: Variable) -> bool:
    quantity, _ = _names(variable)
    return quantity == THRESHOLD or any(part in quantity for part in RAINY)


def _field(file: CFFile, variable: Variable) -> ProbabilityField:
    coordinate, (_, named) = _coordinate(file, variable), _names(variable)
    relation = attribute(coordinate, RELATION) or named
    if relation not in RELATIONS or RELATIONS[relation] != RELATIONS[named]:
        raise file.refuse(
            f"{RELATION} of {coordinate.name} is {relation!r}, and {variable.name} is a probability of {named} a "
            f"threshold; it may be {', '.join(known for known in RELATIONS if RELATIONS[known] == RELATIONS[named])}"
        )
    unit = attribute(variable, "units") or "1"
    factor = conversion(unit, "1")
    if factor is None:
        raise file.refuse(f"{variable.name} has unit {unit!r}, which is none of a probability: 1 or %")
    rates = _rates(file, variable, coordinate)
    order = tuple(int(k) for k in np.argsort(rates))
    axis = coordinate.dimensions[0] if coordinate.dimensions else ""
    return ProbabilityField(
        variable, axis, order, tuple(float(rates[k]) for k in order), factor, more=RELATIONS[relation]
    )


def _coordinate(file: CFFile, variable: Variable) -> Variable:
    """The coordinate of its thresholds: called or named after what they are of."""
    quantity, _ = _names(variable)
    candidates = [
        lookup(variable, name) for name in (*variable.dimensions, *attribute(variable, "coordinates").split())
    ]
    named = [x for x in candidates if x is not None and quantity in (x.name, *_said(x))]
    if len(named) != 1 or named[0].ndim > 1 or named[0].dimensions not in ((), *((x,) for x in variable.dimensions)):
        raise file.refuse(
            f"{variable.name} needs one coordinate of thresholds that is called {quantity} or has it as standard_name; "
            f"it has {', '.join(x.name for x in candidates if x is not None) or 'none'}"
        )
    return named[0]


def _said(variable: Variable) -> tuple[str, str]:
    return attribute(variable, "standard_name"), attribute(variable, "long_name")


def _rates(file: CFFile, variable: Variable, coordinate: Variable) -> NDArray[np.float64]:
    """The thresholds in mm h-1, in the file's order."""
    unit = attribute(coordinate, "units")
    try:
        quantity, factor = parse_unit(unit)
    except ValueError:
        quantity, factor = None, 1.0
    if quantity is not Quantity.RAIN_RATE:
        raise _refused(file, variable, f"thresholds in {unit!r}, which is no rain rate such as mm h-1 or m s-1")
    digits = DIGITS.get(coordinate.dtype.str[1:], max(DIGITS.values()))
    rates = np.array([float(f"{rate * factor:.{digits}g}") for rate in np.ravel(numbers(file, coordinate))])
    if not (np.isfinite(rates).all() and (rates > 0).all() and len(set(rates.tolist())) == len(rates)):
        known = ", ".join(f"{rate:g}" for rate in rates)
        raise _refused(file, variable, f"thresholds of {known} mm h-1; each must be above 0, and there once")
    return rates


def _refused(file: CFFile, variable: Variable, problem: str) -> DataFormatError:
    return file.refuse(f"{variable.name} has {problem}")
