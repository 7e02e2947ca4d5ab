"""What a forecast file holds: which variable, what its dimensions are, when and where it is for, and its values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import MAX_FILE_CELLS, Grid, check_size
from nowcast.data.cf.axes import NAMES, STANDARD_NAMES, Axis, axes_of, is_field
from nowcast.data.cf.file import CFFile, Variable, attribute, lookup, numbers, variables
from nowcast.data.cf.grids import grid_of
from nowcast.data.cf.times import decode, field_times, since
from nowcast.data.cf.values import physical
from nowcast.data.results.probabilities import ProbabilityField, find_probabilities, heavy_of, levels_of
from nowcast.units import Quantity, conversion, parse_unit

RATES = ("rainfall_rate", "lwe_precipitation_rate", "rainfall_flux", "precipitation_flux")  # standard names
NEGATIVE = -1.0  # mm h-1: what lies below is no rounding of zero
ORDER = ("init", "member", "threshold", "lead", "time", "y", "x")


@dataclass(frozen=True, eq=False)
class FoundForecast:
    """Where one forecast lies.

    Args:
        path: The file.
        number: Which of the file's forecasts.
        leads: Lead times in seconds, in the file's order.
        grid: Its cells, row 0 north; crs "" when the file does not say.
        members: How many it has; 1 of a single forecast.
        thresholds: Rain rates in mm h-1 that it has probabilities of, rising; none where it has rain rates.
        levels: For each lead time and threshold the probability from which on it is decided that it rains so much;
            None where the file does not say.
        heavy: What heavy rain is made of (`Probabilities.heavy`); None where the file does not say.
    """

    path: Path
    number: int
    leads: tuple[int, ...]
    grid: Grid
    members: int
    thresholds: tuple[float, ...] = ()
    levels: NDArray[np.float32] | None = None
    heavy: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class _Content:
    """What a file forecasts, and the dimensions of that by what they are.

    Args:
        variable: Rain rates or probabilities.
        axes: Kind, of ORDER → dimension.
        probability: What it is the probability of; None of rain rates.
    """

    variable: Variable
    axes: dict[str, Axis]
    probability: ProbabilityField | None

    @property
    def members(self) -> int:
        return self.axes["member"].size if "member" in self.axes else 1


def forecasts_of(file: CFFile) -> list[tuple[int, FoundForecast]]:
    """Start in seconds since 1970, lead times and place of every forecast of a file."""
    return _found(file, _content(file))


def rain_forecasts_of(file: CFFile) -> list[tuple[int, FoundForecast]]:
    """The same of a file's rain rates, whether it holds probabilities beside them or not."""
    return _found(file, _rain_content(file))


def _found(file: CFFile, content: _Content) -> list[tuple[int, FoundForecast]]:
    variable, axes, probability = content.variable, content.axes, content.probability
    grid, _, _ = grid_of(file, variable, axes["y"], axes["x"])
    inits = _init_times(file, variable, axes)
    valid = (
        _seconds(field_times(file, variable, list(axes.values()), Quantity.RAIN_RATE).ends) if "time" in axes else []
    )
    leads = [] if valid else _lead_seconds(file, variable, axes)
    thresholds = () if probability is None else probability.thresholds
    steps = axes["time" if "time" in axes else "lead"]
    levels = None if probability is None else levels_of(file, probability, steps.name)
    heavy = None if probability is None else heavy_of(file, probability, steps.name)
    return [
        (
            init,
            FoundForecast(
                file.path, number, tuple(leads or (time - init for time in valid)), grid, content.members,
                thresholds, levels, heavy,
            ),
        )
        for number, init in enumerate(inits)
    ]  # fmt: skip


def _content(file: CFFile) -> _Content:
    """Members of rain rates, else probabilities, else a field of rain rates."""
    probability = find_probabilities(file)
    if probability is None or len(_rain_variables(file)) == 1:
        rain = _rain_content(file)
        if probability is None or rain.members > 1:
            return rain
    axes = _axes(file, probability.variable, probability.axis)
    if "member" in axes and axes.pop("member").size > 1:
        raise file.refuse(f"{probability.variable.name} has members, and probabilities are of all members together")
    return _Content(probability.variable, axes, probability)


def _rain_content(file: CFFile) -> _Content:
    variable = _rain_variable(file, _rain_variables(file))
    return _Content(variable, _axes(file, variable), None)


def _seconds(times: NDArray[np.datetime64]) -> list[int]:
    return [int(time) for time in times.astype("datetime64[s]").astype(np.int64)]


def _rain_variables(file: CFFile) -> list[Variable]:
    every = variables(file.dataset).values()
    named = [x for x in every if x.ndim >= 3 and attribute(x, "standard_name") in RATES]
    return named or [x for x in every if is_field(x, (Quantity.RAIN_RATE,), axes=3)]


def _rain_variable(file: CFFile, found: Sequence[Variable]) -> Variable:
    if len(found) != 1:
        raise file.refuse(
            f"a forecast file has one field of rain rate (standard_name {', '.join(RATES)}, or a unit such as mm h-1), "
            f"found {', '.join(x.name for x in found) or 'none'} among {', '.join(variables(file.dataset))}"
        )
    _factor(file, found[0])
    return found[0]


def _factor(file: CFFile, variable: Variable) -> float:
    try:
        quantity, factor = parse_unit(attribute(variable, "units"))
    except ValueError as error:
        raise file.refuse(f"{variable.name}: {error}", "units=mm h-1", "if it is a rain rate in mm h-1") from error
    if quantity is not Quantity.RAIN_RATE:
        raise file.refuse(
            f"{variable.name} has unit {attribute(variable, 'units')!r}, which is no rain rate such as mm h-1"
        )
    return factor


def _axes(file: CFFile, variable: Variable, thresholds: str = "") -> dict[str, Axis]:
    """The dimensions of the field by what they are, that of thresholds by its name."""
    axes = [replace(x, kind="threshold") if x.name == thresholds else x for x in axes_of(file, variable)]
    for axis in axes:
        if axis.kind not in ORDER and axis.size != 1:
            raise file.refuse(
                f"{variable.name} has an axis {axis.name!r} of {axis.size} values, none of {', '.join(ORDER)}: take "
                f"one out, for example with ncks -d {axis.name},0 {file.path.name} one.nc"
            )
    found = {axis.kind: axis for axis in axes if axis.kind in ORDER}
    if ("time" in found) == ("lead" in found):
        raise file.refuse(
            f"{variable.name} needs one of time and forecast_period as an axis; it has {', '.join(found)}"
        )
    return found


def _coordinate(file: CFFile, variable: Variable, axes: dict[str, Axis], kind: str) -> Variable | None:
    """The variable that says what an axis, or the whole file, is: by axis, standard name or name."""
    if kind in axes and axes[kind].coordinate is not None:
        return axes[kind].coordinate
    every = [x for x in variables(file.dataset).values() if x.ndim <= 1]
    by_standard = [x for x in every if STANDARD_NAMES.get(attribute(x, "standard_name")) == kind]
    by_name = [lookup(variable, name) for name in NAMES[kind]]
    return next((x for x in by_standard + by_name if x is not None), None)


def _init_times(file: CFFile, variable: Variable, axes: dict[str, Axis]) -> list[int]:
    reference = _coordinate(file, variable, axes, "init")
    if reference is not None:
        return _seconds(decode(file, reference))
    time = _coordinate(file, variable, axes, "time")
    if time is not None and "pysteps" in attribute(file.dataset, "title").lower():
        # pysteps writes no reference time, but counts seconds from it.
        return _seconds(since(file, time.name, attribute(time, "units"), np.zeros(1)))
    raise file.refuse(
        "says nowhere when the forecast began: no variable with standard_name forecast_reference_time among "
        f"{', '.join(variables(file.dataset))}"
    )


def _lead_seconds(file: CFFile, variable: Variable, axes: dict[str, Axis]) -> list[int]:
    lead = _coordinate(file, variable, axes, "lead")
    factor = None if lead is None else conversion(attribute(lead, "units"), "s")
    if lead is None or factor is None:
        unit = "no variable" if lead is None else repr(attribute(lead, "units"))
        raise file.refuse(f"forecast_period needs a unit of time such as s, minutes or hours; it has {unit}")
    values = np.ravel(numbers(file, lead)) * factor
    if not np.isfinite(values).all():
        raise file.refuse(f"{lead.name} holds a lead time that is missing")
    return [round(float(value)) for value in values]


def rain_of(file: CFFile, number: int, steps: Sequence[int]) -> NDArray[np.float32]:
    """(M, T, H, W) of the forecast with a number at some steps of its axis of time."""
    content = _rain_content(file)
    values = _values(file, content, number, steps, _factor(file, content.variable))
    if (lowest := float(np.nanmin(values, initial=0.0))) < NEGATIVE:
        raise file.refuse(
            f"{content.variable.name} holds {lowest:g} mm h-1, which is no rain, and no attribute names it as missing"
        )
    rain: NDArray[np.float32] = np.ascontiguousarray(values, dtype=np.float32)
    return rain


def exceedance_of(file: CFFile, number: int, steps: Sequence[int]) -> NDArray[np.float32]:
    """(T, K, H, W) of the forecast with a number at some steps of its axis of time."""
    content = _content(file)
    assert content.probability is not None  # it has thresholds, or this is not called
    values = _values(file, content, number, steps, content.probability.factor)
    return np.ascontiguousarray(content.probability.exceedance(file, values).swapaxes(0, 1))


def _values(file: CFFile, content: _Content, number: int, steps: Sequence[int], factor: float) -> NDArray[np.float64]:
    """(M, T, H, W), or (K, T, H, W) of probabilities, times a factor; row 0 north, NaN = no value."""
    variable, axes = content.variable, content.axes
    _, flip_y, flip_x = grid_of(file, variable, axes["y"], axes["x"])
    first, stop = min(steps), max(steps) + 1
    parts = {"init": slice(number, number + 1), "lead": slice(first, stop), "time": slice(first, stop)}
    kinds = {axis.name: kind for kind, axis in axes.items()}
    whole = zip(variable.dimensions, variable.shape, strict=True)
    block = tuple(parts.get(kinds.get(name, ""), slice(0, size)) for name, size in whole)
    check_size(file.path, variable.name, math.prod(part.stop - part.start for part in block), MAX_FILE_CELLS)
    others = tuple(k for k, name in enumerate(variable.dimensions) if name not in kinds)  # of one value each
    stored = np.squeeze(variable[block], axis=others)
    left = [kinds[name] for name in variable.dimensions if name in kinds]
    stored = stored.transpose([left.index(kind) for kind in ORDER if kind in left])
    stored = stored[0] if "init" in left else stored
    stored = stored if {"member", "threshold"} & set(left) else stored[None]
    stored = stored[:, [step - first for step in steps]]
    values, _ = physical(file, variable, stored, factor, Quantity.RAIN_RATE)
    return values[:, :, :: -1 if flip_y else 1, :: -1 if flip_x else 1]
