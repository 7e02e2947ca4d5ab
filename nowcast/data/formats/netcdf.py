"""Anybody's CF netCDF files: unit, missing values, packing, time, grid and projection from their attributes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.frame import (
    DAMAGE,
    MAX_FILE_CELLS,
    MAX_TIMES,
    DataFormatError,
    Frame,
    Grid,
    Packing,
    check_shape,
    check_size,
)
from nowcast.data.probe import open_netcdf
from nowcast.units import ZR, Quantity, parse_unit

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")  # those in which UTC dates are what they seem
LENGTHS = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1000.0, "kilometers": 1000.0}
Variable = Any  # netCDF4 is untyped


@dataclass(frozen=True)
class NetcdfReader:
    """Fields (time, y, x) or (y, x) on a regular grid.

    No data are `_FillValue`, `missing_value`, values outside `valid_range`, NaN, netCDF's default fill value where
    the file names none, and `missing_values` of the config. Rows are turned so that the first is north.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        variable: Name; None = the only one whose unit is a rain rate, a rain amount or a reflectivity.
        units: Unit; None = the attribute `units`.
        time_variable: Name of the time (end of accumulation for amounts); None = the one with standard_name time.
        start_variable: Name of the start of accumulation; None = from the time's bounds.
        period_seconds: Accumulation period of an amount where the file does not say it.
        missing_values: Further stored values that are no data.
        no_echo: dBZ at or below which there is no rain, for reflectivity.
        zr_a: Z-R factor, for reflectivity.
        zr_b: Z-R exponent.
    """

    pattern: str
    provider: str
    licence: str
    variable: str | None
    units: str | None
    time_variable: str | None
    start_variable: str | None
    period_seconds: float | None
    missing_values: Sequence[float]
    no_echo: float
    zr_a: float
    zr_b: float

    def read(self, path: Path) -> list[Frame]:
        """All fields of a file.

        Raises:
            DataFormatError: Not netCDF, damaged, or something above cannot be told; the message says which option
                helps.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        try:
            with open_netcdf(path) as dataset:
                dataset.set_auto_maskandscale(False)
                return self._frames(path, dataset)
        except DataFormatError:
            raise
        except DAMAGE as error:
            raise DataFormatError(path, f"not readable as CF netCDF: {error}") from error

    def _frames(self, path: Path, dataset: netCDF4.Dataset) -> list[Frame]:
        variable = self._find(path, dataset)
        units = self.units or str(getattr(variable, "units", ""))
        try:
            quantity, factor = parse_unit(units)
        except ValueError as error:
            raise DataFormatError(path, f"variable {variable.name}: {error}; set source.units") from error
        check_shape(path, *variable.shape[-2:])
        check_size(path, variable.name, variable.size, MAX_FILE_CELLS)
        times, starts = self._times(path, dataset, variable)
        if variable.size != len(times) * variable.shape[-1] * variable.shape[-2]:
            raise DataFormatError(path, f"{variable.name} {variable.shape} is not (time, y, x) with {len(times)} times")
        grid, flip_y, flip_x = _grid(path, dataset, variable)
        period = self._period(path, times, starts) if quantity is Quantity.RAIN_AMOUNT else None
        scale = float(getattr(variable, "scale_factor", 1.0)) * factor
        offset = float(getattr(variable, "add_offset", 0.0)) * factor
        stored = variable[...].reshape(len(times), *variable.shape[-2:])
        values = stored.astype(np.float64) * scale + offset
        values[self._missing(variable, stored)] = np.nan
        values = values[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]
        reflectivity = quantity is Quantity.REFLECTIVITY
        return [
            Frame(
                time,
                quantity,
                np.ascontiguousarray(field, dtype=np.float32),
                grid,
                _packing(variable.dtype, scale, offset, reflectivity),
                period,
                self.no_echo if reflectivity else None,
                ZR(self.zr_a, self.zr_b) if reflectivity else None,
            )
            for time, field in zip(times, values, strict=True)
        ]

    def _find(self, path: Path, dataset: netCDF4.Dataset) -> Variable:
        if self.variable is not None:
            if self.variable not in dataset.variables:
                raise DataFormatError(
                    path,
                    f"no variable {self.variable!r}; there are {', '.join(dataset.variables)}: set source.variable",
                )
            variable = dataset.variables[self.variable]
            if variable.ndim < 2:
                raise DataFormatError(
                    path, f"{self.variable} has {variable.ndim} axes, expected (time, y, x) or (y, x)"
                )
            return variable
        found = [name for name, variable in dataset.variables.items() if _is_field(variable)]
        if len(found) != 1:
            raise DataFormatError(
                path,
                f"{len(found)} variables could be rain (by unit: {', '.join(found) or 'none'}; all: "
                f"{', '.join(dataset.variables)}): set source.variable, and source.units where the file has none",
            )
        return dataset.variables[found[0]]

    def _times(
        self, path: Path, dataset: netCDF4.Dataset, variable: Variable
    ) -> tuple[list[np.datetime64], list[np.datetime64] | None]:
        name = self.time_variable or _time_name(dataset, variable)
        if name is None or name not in dataset.variables:
            raise DataFormatError(path, "no time variable (standard_name time): set source.time_variable")
        time = dataset.variables[name]
        times = _decode(path, time, time)
        if self.start_variable is not None:
            start = dataset.variables[self.start_variable]
            return times, _decode(path, start, start)
        bounds = dataset.variables.get(getattr(time, "bounds", None) or "")
        if bounds is None:
            return times, None
        return times, _decode(path, time, bounds, of_pairs=True)

    def _period(self, path: Path, times: list[np.datetime64], starts: list[np.datetime64] | None) -> float:
        if self.period_seconds is not None:
            return self.period_seconds
        if starts is None or len(starts) != len(times):
            raise DataFormatError(
                path, "a rain amount whose accumulation period the file does not tell: set source.period_seconds"
            )
        periods = {float((end - start).astype(int)) for end, start in zip(times, starts, strict=True)}
        if len(periods) > 1 or min(periods) <= 0:
            raise DataFormatError(path, f"accumulation periods of {sorted(periods)} s, expected one that is positive")
        return periods.pop()

    def _missing(self, variable: Variable, stored: NDArray[Any]) -> NDArray[np.bool_]:
        missing = ~np.isfinite(stored.astype(np.float64))
        named = [value for name in ("_FillValue", "missing_value") for value in np.ravel(getattr(variable, name, []))]
        default = netCDF4.default_fillvals.get(variable.dtype.str[1:])
        if not hasattr(variable, "_FillValue") and default is not None and variable.dtype.itemsize > 1:
            named.append(np.asarray(default).astype(variable.dtype))
        for value in (*named, *self.missing_values):
            missing |= stored == value
        low, high = getattr(variable, "valid_range", (None, None))
        low, high = getattr(variable, "valid_min", low), getattr(variable, "valid_max", high)
        if low is not None:
            missing |= stored < low
        if high is not None:
            missing |= stored > high
        return missing


def _is_field(variable: Variable) -> bool:
    if variable.ndim < 2 or variable.dtype.kind not in "uif" or min(variable.shape[-2:]) < 2:
        return False
    try:
        quantity, _ = parse_unit(str(getattr(variable, "units", "")))
    except ValueError:
        return False
    lengths = ("longitude", "latitude", "altitude", "height", "projection_x_coordinate", "projection_y_coordinate")
    return quantity is not Quantity.RAIN_AMOUNT or getattr(variable, "standard_name", "") not in lengths


def _time_name(dataset: netCDF4.Dataset, variable: Variable) -> str | None:
    names = [*variable.dimensions, *str(getattr(variable, "coordinates", "")).split(), *dataset.variables]
    for name in names:
        if getattr(dataset.variables.get(name), "standard_name", None) == "time":
            return str(name)
    return "time" if "time" in dataset.variables else None


def _decode(path: Path, variable: Variable, stored: Variable, of_pairs: bool = False) -> list[np.datetime64]:
    """CF time values, or the first of each pair of bounds, as UTC; unit and calendar are those of `variable`."""
    check_size(path, stored.name, stored.size, MAX_TIMES)
    values = stored[...].reshape(-1, 2)[:, 0] if of_pairs else stored[...]
    calendar = str(getattr(variable, "calendar", "standard")).lower()
    if calendar not in CALENDARS:
        raise DataFormatError(path, f"calendar {calendar!r} of {variable.name} is not one of {', '.join(CALENDARS)}")
    numbers = np.ravel(values).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise DataFormatError(path, f"{variable.name} holds a time that is missing")
    # netCDF4 takes a trailing zone for an offset that it does not know: UTC is what CF times are in anyway.
    units = str(getattr(variable, "units", "")).removesuffix(" UTC").removesuffix("Z")
    dates = cftime.num2date(numbers, units, calendar, only_use_cftime_datetimes=True)
    return [np.datetime64(date.isoformat(), "s") for date in np.ravel(dates)]


def _grid(path: Path, dataset: netCDF4.Dataset, variable: Variable) -> tuple[Grid, bool, bool]:
    """The grid with the first row north, and whether rows and columns have to be turned for that."""
    axes = [_axis(path, dataset, name) for name in variable.dimensions[-2:]]
    (y, y_degrees), (x, x_degrees) = axes
    flip_y, flip_x = bool(y[-1] > y[0]), bool(x[-1] < x[0])
    crs = "EPSG:4326" if y_degrees and x_degrees else ""
    mapping = dataset.variables.get(str(getattr(variable, "grid_mapping", "")).split(":")[0])
    if mapping is not None:
        if stored := getattr(mapping, "nowcast_crs", None):
            crs = str(stored)
        elif hasattr(mapping, "grid_mapping_name") or hasattr(mapping, "crs_wkt"):
            attributes = {name: np.asarray(mapping.getncattr(name)).tolist() for name in mapping.ncattrs()}
            try:
                crs = _projection(json.dumps(attributes))
            except (pyproj.exceptions.CRSError, KeyError) as error:
                raise DataFormatError(path, f"grid mapping {mapping.name} is not understood: {error}") from error
    return Grid(x[::-1] if flip_x else x, y[::-1] if flip_y else y, crs), flip_y, flip_x


@lru_cache(maxsize=16)
def _projection(attributes: str) -> str:
    """WKT of CF grid mapping attributes, given as JSON; pyproj searches its database for 0.2 s each time."""
    return pyproj.CRS.from_cf(json.loads(attributes)).to_wkt()


def _axis(path: Path, dataset: netCDF4.Dataset, name: str) -> tuple[NDArray[np.float64], bool]:
    """Cell centres along an axis in metres or degrees, and whether they are degrees."""
    variable = dataset.variables.get(name)
    if variable is None or variable.ndim != 1:
        raise DataFormatError(
            path, f"axis {name} has no one-dimensional coordinate {name}({name}); curvilinear grids must be regridded"
        )
    units = str(getattr(variable, "units", "m"))
    degrees = units.startswith("degree")
    if not degrees and units not in LENGTHS:
        raise DataFormatError(path, f"coordinate {name} has unit {units!r}, expected m, km or degrees")
    values = variable[...].astype(np.float64) * (1.0 if degrees else LENGTHS[units])
    steps = np.diff(values)
    regular = np.isfinite(values).all() and steps[0] != 0 and np.allclose(steps, steps.mean(), rtol=0.02)
    if not regular:
        raise DataFormatError(path, f"coordinate {name} is not equally spaced")
    return values, degrees


def _packing(dtype: np.dtype[Any], scale: float, offset: float, reflectivity: bool) -> Packing | None:
    """Packing that keeps the stored integers, None for wider types."""
    if dtype.kind not in "ui" or dtype.itemsize > 2 or scale <= 0:
        return None
    if dtype.kind == "i" and reflectivity:  # negative values are real dBZ
        offset += scale * np.iinfo(dtype).min
    return Packing(scale, offset)
