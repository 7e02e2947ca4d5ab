"""A CF file that is being decoded: what its user says beside it, and what had to be assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError

Variable = Any  # netCDF4 is untyped
NOT_WRITTEN = 1e36  # coordinates above it are netCDF's default fill value


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What a user says where a file does not, or says it wrongly; keys of configs/source/netcdf.yaml.

    Args:
        variable: Name of the field, with its group ("Grid/precipitation") where that is needed; None = found by unit.
        units: Unit of the field; None = the attribute.
        time_variable: Name of the time; None = the one with standard_name time.
        time_units: Unit of the time, such as "seconds since 2020-06-01 00:00:00 +02:00"; None = the attribute.
        start_variable: Name of the start of accumulation; None = from the time's bounds.
        period_seconds: Accumulation period of an amount; None = of the file.
        time_of_period: Where in its period the time of an amount lies, for files without bounds; None = at the end.
        coordinate_units: Unit of both axes; None = the attributes.
        select: Dimension → which of its values, counted from 0, for axes beside time, y and x; None = none.
        missing_values: Further stored values that are no data.
        default_fill: Whether netCDF's default fill value means no data where no attribute says it; None = yes, unless
            that cannot be told.
        keep_packing: Whether 16-bit integers keep the file's packing; else they become float32.

    Raises:
        ValueError: A value that cannot be meant.
    """

    variable: str | None
    units: str | None
    time_variable: str | None
    time_units: str | None
    start_variable: str | None
    period_seconds: float | None
    time_of_period: Literal["start", "middle", "end"] | None
    coordinate_units: Literal["m", "km", "degrees"] | None
    select: Mapping[str, int] | None
    missing_values: Sequence[float]
    default_fill: bool | None
    keep_packing: bool

    def __post_init__(self) -> None:
        """Check ranges; types are checked where settings are read."""
        if self.period_seconds is not None and not 0 < self.period_seconds < float("inf"):
            raise ValueError(f"source.period_seconds must be positive, got {self.period_seconds}")
        if self.time_units is not None and " since " not in self.time_units:
            example = "'seconds since 2020-06-01 00:00:00 +02:00'"
            raise ValueError(f"source.time_units must be such as {example}, got {self.time_units!r}")
        for name, number in (self.select or {}).items():
            if number < 0:
                raise ValueError(f"source.select.{name} must be 0 or more, got {number}")


NOTHING_TOLD = SourceSettings(
    variable=None,
    units=None,
    time_variable=None,
    time_units=None,
    start_variable=None,
    period_seconds=None,
    time_of_period=None,
    coordinate_units=None,
    select=None,
    missing_values=(),
    default_fill=None,
    keep_packing=True,
)


@dataclass
class CFFile:
    """An open file.

    Args:
        path: For messages.
        dataset: Open, with automatic masking and scaling off.
        settings: What the user says.
        by_config: Whether there is a config to say it in, for messages.

    Attributes:
        assumptions: What the file did not say and was taken for true, one sentence each.
    """

    path: Path
    dataset: netCDF4.Dataset
    settings: SourceSettings
    by_config: bool
    assumptions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Have values as they are stored."""
        self.dataset.set_auto_maskandscale(False)
        self.dataset.set_auto_chartostring(False)

    def assume(self, text: str) -> None:
        """Keep an assumption, once."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    def refuse(self, problem: str, setting: str = "", when: str = "") -> DataFormatError:
        """The error of a problem, and what to type.

        Args:
            problem: What is wrong.
            setting: What would say it, such as "units=mm h-1".
            when: The case in which that is right.
        """
        if setting:
            verb = f"set {_quoted(f'source.{setting}')}" if self.by_config else f"mend the file ({setting})"
            problem = f"{problem}; {f'{when}, ' if when else ''}{verb}"
        return DataFormatError(self.path, problem)


def _quoted(text: str) -> str:
    return f"'{text}'" if any(character in text for character in " {}[]()*&|") else text


def variables(dataset: netCDF4.Dataset) -> dict[str, Variable]:
    """All variables by name, those of groups as "group/name"."""
    found = dict(dataset.variables)
    for name, group in dataset.groups.items():
        found |= {f"{name}/{inner}": variable for inner, variable in variables(group).items()}
    return found


def lookup(variable: Variable, name: str) -> Variable | None:
    """A variable that another names: in its group or one above, as CF has it, or by its whole path."""
    group = variable.group()
    if "/" in name:
        while group.parent is not None:
            group = group.parent
        return variables(group).get(name.strip("/"))
    while group is not None:
        if name in group.variables:
            return group.variables[name]
        group = group.parent
    return None


def attribute(variable: Variable, name: str) -> str:
    """A text attribute; "" when there is none."""
    return str(getattr(variable, name, "")).strip()


def has(variable: Variable, name: str) -> bool:
    """Whether a variable has an attribute."""
    return name in variable.ncattrs()


def number_of(file: CFFile, variable: Variable, name: str, default: float) -> float:
    """An attribute that is a finite number, and not 0 if it is a scale.

    Raises:
        DataFormatError: It is something else.
    """
    if not has(variable, name):
        return default
    found = numbers_of(file, variable, name)
    number = float(found[0]) if len(found) == 1 else np.nan
    if not np.isfinite(number) or (name == "scale_factor" and number == 0):
        raise _no_number(file, variable, name)
    return number


def numbers_of(file: CFFile, variable: Variable, name: str) -> list[Any]:
    """Numbers of an attribute in its own type, which may have been written as text; none when there is no attribute.

    Raises:
        DataFormatError: It holds no numbers.
    """
    if not has(variable, name):
        return []
    values = np.ravel(variable.getncattr(name))
    if values.dtype.kind in "iuf":
        return list(values)
    try:
        return [np.float64(text) for value in values for text in str(value).replace(",", " ").split()]
    except ValueError as error:
        raise _no_number(file, variable, name) from error


def _no_number(file: CFFile, variable: Variable, name: str) -> DataFormatError:
    return file.refuse(f"attribute {name} of {variable.name} is {variable.getncattr(name)!r}, expected a number")


def numbers(file: CFFile, variable: Variable) -> NDArray[np.float64]:
    """All values of a coordinate, unpacked; NaN where they are missing.

    Raises:
        DataFormatError: It does not hold numbers.
    """
    stored = np.asarray(variable[...])
    if stored.dtype.kind not in "uif":
        raise file.refuse(f"{variable.name} holds text, expected numbers")
    missing = np.abs(stored.astype(np.float64)) > NOT_WRITTEN
    for name in ("_FillValue", "missing_value"):
        for value in numbers_of(file, variable, name):
            missing |= stored == value
    scale, offset = number_of(file, variable, "scale_factor", 1.0), number_of(file, variable, "add_offset", 0.0)
    return np.where(missing, np.nan, stored.astype(np.float64) * scale + offset)
