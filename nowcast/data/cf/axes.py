"""Which variable of a CF file is the field, and what each of its dimensions is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nowcast.data.cf.file import CFFile, Variable, attribute, lookup, numbers, variables
from nowcast.units import Quantity, parse_unit

# What a dimension is: by the standard name of its coordinate, and by its name where a file gives none.
STANDARD_NAMES = {
    "time": "time", "forecast_reference_time": "init", "forecast_period": "lead", "realization": "member",
    "latitude": "y", "grid_latitude": "y", "projection_y_coordinate": "y", "projection_y_angular_coordinate": "y",
    "longitude": "x", "grid_longitude": "x", "projection_x_coordinate": "x", "projection_x_angular_coordinate": "x",
    "height": "level", "altitude": "level", "air_pressure": "level", "depth": "level", "model_level_number": "level",
    "geopotential_height": "level", "height_above_mean_sea_level": "level",
}  # fmt: skip
NAMES = {
    "init": ("forecast_reference_time", "init_time", "reference_time"),
    "lead": ("forecast_period", "lead_time", "leadtime", "step"),
    "time": ("time", "valid_time", "t"),
    "member": ("realization", "member", "ensemble", "ens_number", "number"),
    "y": ("y", "lat", "latitude", "rlat", "northing", "yc"),
    "x": ("x", "lon", "longitude", "rlon", "easting", "xc"),
    "level": ("height", "z", "level", "lev", "altitude", "alt", "elevation", "plev"),
}
RAINY = ("rain", "precip", "reflectivity", "lwe")  # parts of standard names of what is wanted
SPATIAL = ("y", "x", "level")


@dataclass(frozen=True)
class Axis:
    """A dimension of a field.

    Args:
        name: Of the dimension.
        kind: A key of NAMES; "" when nothing tells.
        size: Number of values.
        coordinate: The one-dimensional variable that holds them, None when there is none.
    """

    name: str
    kind: str
    size: int
    coordinate: Variable | None


def find_field(file: CFFile) -> Variable:
    """The variable that is told, or the only one whose unit is one of rain or reflectivity.

    Raises:
        DataFormatError: There is none, or several.
    """
    every = variables(file.dataset)
    wanted = file.settings.variable
    if wanted is not None:
        named = [path for path in every if path == wanted.strip("/")] or [
            path for path in every if path.rpartition("/")[2] == wanted
        ]
        if len(named) != 1:
            problem = f"no variable {wanted!r}" if not named else f"{len(named)} variables {wanted!r}"
            raise file.refuse(f"{problem}; there are {_listed(every)}", _example(named, every),
                              "for example")  # fmt: skip
        variable = every[named[0]]
        if variable.ndim < 2:
            raise file.refuse(f"{wanted} has {variable.ndim} axes, expected (time, y, x) or (y, x)")
        return variable
    bounds = {attribute(variable, "bounds") for variable in every.values()}
    found = [path for path, variable in every.items() if variable.name not in bounds and is_field(variable)]
    found = [path for path in found if _rainy(every[path])] or found if len(found) > 1 else found
    if len(found) != 1:
        raise file.refuse(
            f"{len(found)} variables could be rain (by unit: {_listed(found)}; all: {_listed(every)}); source.variable "
            "chooses one, source.units gives the unit of one that has none",
            _example(found, every),
            "for example",
        )
    return every[found[0]]


def is_field(variable: Variable, quantities: Sequence[Quantity] = tuple(Quantity), axes: int = 2) -> bool:
    """Whether a variable can be a field of these quantities, by its unit."""
    if variable.ndim < axes or _type(variable) not in "uif" or sum(size > 1 for size in variable.shape) < 2:
        return False
    try:
        quantity, _ = parse_unit(attribute(variable, "units"))
    except ValueError:
        return False
    standard = attribute(variable, "standard_name")
    return quantity in quantities and (not standard or any(part in standard for part in RAINY))


def _type(variable: Variable) -> str:
    return getattr(variable.dtype, "kind", "U")  # that of strings of any length is the class str


def _rainy(variable: Variable) -> bool:
    return any(part in attribute(variable, "standard_name") for part in RAINY)


def _listed(names: Sequence[str] | dict[str, Variable]) -> str:
    return ", ".join(names) or "none"


def _example(names: Sequence[str], every: dict[str, Variable]) -> str:
    """What to type: one of those that could be meant, else of those with the axes of a field; "" without any."""
    fields = [path for path, variable in every.items() if variable.ndim > 1 and _type(variable) in "uif"]
    return next((f"variable={name}" for name in (*names, *fields)), "")


def axes_of(file: CFFile, variable: Variable) -> list[Axis]:
    """What each dimension of a field is.

    Raises:
        DataFormatError: Two are the same, or a coordinate contradicts itself.
    """
    axes = [_axis(file, variable, name, size) for name, size in zip(variable.dimensions, variable.shape, strict=True)]
    kinds = [axis.kind for axis in axes]
    unknown = [k for k, kind in enumerate(kinds) if not kind]
    last = len(axes) - 2
    if "y" not in kinds and "x" not in kinds and unknown[-2:] == [last, last + 1]:
        (y, x) = axes[last:]
        file.assume(f"nothing says which axis is which: {y.name} and {x.name} of {variable.name} taken for y and x")
        axes[last:] = [Axis(y.name, "y", y.size, y.coordinate), Axis(x.name, "x", x.size, x.coordinate)]
        kinds[last:] = ["y", "x"]
    for kind in (kind for kind in NAMES if kinds.count(kind) > 1):
        same = ", ".join(axis.name for axis in axes if axis.kind == kind)
        raise file.refuse(f"{variable.name} has several axes of {kind}: {same}")
    if not {"y", "x"} <= set(kinds):
        found = ", ".join(f"{axis.name} = {axis.kind or '?'}" for axis in axes)
        raise file.refuse(
            f"{variable.name} needs an axis y and an axis x; found {found}. Coordinates tell by standard_name, unit "
            "(degrees_north) or the attribute axis"
        )
    return axes


def _axis(file: CFFile, variable: Variable, name: str, size: int) -> Axis:
    coordinate = _coordinate(file, variable, name)
    kind = "" if coordinate is None else _kind(file, coordinate)
    if not kind:
        kind = next((kind for kind, names in NAMES.items() if name.lower() in names), "")
    return Axis(name, kind, size, coordinate)


def _coordinate(file: CFFile, variable: Variable, name: str) -> Variable | None:
    """The coordinate of a dimension: told, of its name, named by the field, or a time of that length."""
    given = file.settings.time_variable and lookup(variable, file.settings.time_variable)
    others = [lookup(variable, other) for other in attribute(variable, "coordinates").split()]
    times = [other for other in variable.group().variables.values() if attribute(other, "standard_name") == "time"]
    for other in (given, lookup(variable, name), *others, *times):
        if other is not None and other.dimensions == (name,):
            return other
    text = lookup(variable, name)
    return text if text is not None and text.dimensions[:1] == (name,) and _type(text) == "S" else None


def _kind(file: CFFile, coordinate: Variable) -> str:
    units = attribute(coordinate, "units").lower()
    standard = STANDARD_NAMES.get(attribute(coordinate, "standard_name"), "")
    by_axis = {"T": "time", "Y": "y", "X": "x", "Z": "level"}.get(attribute(coordinate, "axis"), "")
    by_unit = ""
    if match := re.fullmatch("degrees?_?(north|n|east|e)", units):
        by_unit = "y" if match[1].startswith("n") else "x"
    elif " since " in units:
        by_unit = "time"
    said = {kind for kind in (standard, by_axis, by_unit) if kind in SPATIAL}
    if len(said) > 1:
        raise file.refuse(
            f"coordinate {coordinate.name} contradicts itself: standard_name "
            f"{attribute(coordinate, 'standard_name')!r}, axis {attribute(coordinate, 'axis')!r}, unit {units!r}"
        )
    by_name = next((kind for kind in ("init", "lead") if coordinate.name.lower() in NAMES[kind]), "")
    kind = by_unit or by_axis
    return standard or (by_name if kind == "time" and by_name else kind)  # all of the three are times


def frames_index(file: CFFile, variable: Variable, axes: Sequence[Axis]) -> tuple[tuple[slice | int, ...], list[int]]:
    """How to read a field as (time, y, x) or (y, x).

    Returns:
        The index, with one number of every other axis, and the order in which to transpose what it gives.

    Raises:
        DataFormatError: Another axis has several values and none is chosen, or what is chosen is not there.
    """
    select = file.settings.select or {}
    strange = sorted(set(select) - {axis.name for axis in axes})
    if strange:
        raise file.refuse(
            f"source.select names {', '.join(strange)}; {variable.name} has {', '.join(axis.name for axis in axes)}"
        )
    index: list[slice | int] = []
    for axis in axes:
        chosen = select.get(axis.name)
        if chosen is not None and chosen >= axis.size:
            raise file.refuse(f"source.select.{axis.name}={chosen}: it has {axis.size}, counted from 0")
        if chosen is None and axis.kind not in ("time", "y", "x"):
            if axis.size != 1:
                raise file.refuse(
                    f"{variable.name} has an axis {axis.name} of {axis.size} ({_values(file, axis)}); one is read",
                    f"select={{{axis.name}:0}}",
                    "for the first",
                )
            chosen = 0
        index.append(slice(None) if chosen is None else chosen)
    kept = [axis.kind for axis, one in zip(axes, index, strict=True) if isinstance(one, slice)]
    if not {"y", "x"} <= set(kept):
        raise file.refuse("source.select leaves no field of y and x")
    return tuple(index), [kept.index(kind) for kind in ("time", "y", "x") if kind in kept]


def _values(file: CFFile, axis: Axis) -> str:
    """The first values of an axis with their numbers: "0 = 500 m, 1 = 1000 m"."""
    count = min(axis.size, 10)
    if axis.coordinate is None or _type(axis.coordinate) not in "uif":
        return f"numbers 0 to {axis.size - 1}"
    values, unit = numbers(file, axis.coordinate), attribute(axis.coordinate, "units")
    text = ", ".join(f"{k} = {value:g}{f' {unit}' if unit else ''}" for k, value in enumerate(values[:count]))
    return text + (", …" if axis.size > count else "")
