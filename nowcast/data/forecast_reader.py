"""Forecasts of any system, read from CF netCDF files: ours, pysteps' or others'."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.frame import (
    DAMAGE,
    MAX_CELLS,
    MAX_FILE_CELLS,
    MAX_TIMES,
    DataFormatError,
    Grid,
    check_shape,
    check_size,
)  # fmt: skip
from nowcast.data.probe import open_netcdf

STANDARD_NAMES = ("rainfall_rate", "lwe_precipitation_rate", "rainfall_flux", "precipitation_flux")
TO_MM_PER_HOUR = {
    "mm h-1": 1.0, "mm/h": 1.0, "mm hr-1": 1.0, "mm/hr": 1.0, "mm h^-1": 1.0, "mm hour-1": 1.0,
    "kg m-2 s-1": 3600.0, "mm s-1": 3600.0, "m s-1": 3.6e6,
}  # fmt: skip
# How an axis may be called where a file does not give its standard name.
NAMES = {
    "member": ("realization", ("realization", "member", "ensemble", "ens_number", "number")),
    "init": ("forecast_reference_time", ("forecast_reference_time", "init_time", "reference_time")),
    "lead": ("forecast_period", ("forecast_period", "lead_time", "leadtime", "step")),
    "time": ("time", ("time", "valid_time")),
    "y": ("projection_y_coordinate", ("y", "lat", "latitude")),
    "x": ("projection_x_coordinate", ("x", "lon", "longitude")),
}
SAME_PLACE = 0.1  # of a cell


@dataclass(frozen=True, eq=False)
class FoundForecast:
    """Where one forecast lies.

    Args:
        path: The file.
        number: Which of the file's forecasts.
        grid: Its cells, row 0 north; crs "" when the file does not say.
    """

    path: Path
    number: int
    grid: Grid


@dataclass
class ForecastFiles:
    """Forecasts of one system by time of their last observation and by place.

    Args:
        patterns: Files or globs.

    Attributes:
        files: init_time (seconds since 1970) → the forecasts from then, one for each place.

    Raises:
        FileNotFoundError: Nothing matches.
        DataFormatError: A file lacks something that makes a forecast, or two hold the same one.
    """

    patterns: Sequence[str]
    files: dict[int, list[FoundForecast]] = field(init=False, repr=False)
    _open: tuple[Path, netCDF4.Dataset] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        """Look into every file for the times and places of its forecasts."""
        paths = [Path(name) for pattern in self.patterns for name in sorted(glob(str(Path(pattern).expanduser())))]  # noqa: PTH207
        if not paths:
            raise FileNotFoundError(f"no forecast file matches {', '.join(self.patterns)}")
        self.files = {}
        for path in paths:
            with _opened(path, open_netcdf) as dataset, _readable(path):
                inits = _init_times(path, dataset)
                grid = _grid(path, dataset)
            for number, init in enumerate(inits):
                same = [one.path for one in self.files.get(init, []) if not difference_of_place(one.grid, grid)]
                if same:
                    raise DataFormatError(path, f"holds the forecast from {_text(init)} UTC, as {same[0]} does")
                self.files.setdefault(init, []).append(FoundForecast(path, number, grid))

    def find(self, init_time: int, grid: Grid) -> FoundForecast | None:
        """The forecast from a time for a grid, None if there is none."""
        return next((one for one in self.files.get(init_time, []) if not difference_of_place(one.grid, grid)), None)

    def layout(self, init_time: int) -> tuple[list[int], Grid]:
        """Lead times in seconds, and the grid of the first of the forecasts from one of the times in `files`."""
        found = self.files[init_time][0]
        dataset = self._dataset(found.path)
        with _readable(found.path):
            axes = _axes(found.path, dataset, _rain_variable(found.path, dataset))
            return _lead_seconds(found.path, dataset, axes, init_time), found.grid

    def read(self, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> NDArray[np.float32]:
        """One forecast; of the file only that is read.

        Args:
            init_time: Seconds since 1970; one of `files`.
            lead_seconds: T lead times.
            grid: Where it is wanted.

        Returns:
            (M, T, H, W) float32 mm h-1, row 0 north; M = 1 without members; NaN = no value.

        Raises:
            DataFormatError: No forecast for that grid, a lead time that is missing, or an unknown unit.
        """
        found = self.find(init_time, grid)
        if found is None:
            other = self.files[init_time][0]
            raise DataFormatError(
                other.path,
                f"{difference_of_place(other.grid, grid)}: bring the forecasts to that grid first, and score whole "
                "grids (data.eval_crop=null)",
            )
        path, dataset = found.path, self._dataset(found.path)
        with _readable(path):
            variable = _rain_variable(path, dataset)
            axes = _axes(path, dataset, variable)
            leads = _lead_seconds(path, dataset, axes, init_time)
            missing = [lead for lead in lead_seconds if lead not in leads]
            if missing:
                raise DataFormatError(
                    path,
                    f"has no lead time of {missing[0] / 60:g} min; it has {', '.join(f'{x / 60:g}' for x in leads)}",
                )
            wanted = [leads.index(lead) for lead in lead_seconds]
            first, stop = min(wanted), max(wanted) + 1
            steps = slice(first, stop)
            parts = {"init": slice(found.number, found.number + 1), "lead": steps, "time": steps}
            block = tuple(parts.get(axis, slice(0, size)) for axis, size in zip(axes, variable.shape, strict=True))
            check_size(path, variable.name, math.prod(part.stop - part.start for part in block), MAX_FILE_CELLS)
            values = variable[block]
            order = [axes.index(name) for name in ("init", "member", "lead", "time", "y", "x") if name in axes]
            values = np.ma.filled(np.ma.asarray(values, dtype=np.float32), np.nan).transpose(order)
            values = values[0] if "init" in axes else values
            values = values if "member" in axes else values[None]
            values = values[:, [index - first for index in wanted]] * np.float32(_factor(path, variable.units))
            flip = _from_south(_centres(path, dataset)[0])
        north_first: NDArray[np.float32] = np.ascontiguousarray(values[:, :, ::-1] if flip else values)
        return north_first

    def _dataset(self, path: Path) -> netCDF4.Dataset:
        """The file, which stays open until another one is wanted: windows in order ask for the same again and again."""
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                self._open[1].close()
            self._open = None
            self._open = path, _opened(path, netCDF4.Dataset)  # it opened before
        return self._open[1]


def difference_of_place(theirs: Grid, wanted: Grid) -> str:
    """What keeps a forecast's cells from being those that are wanted, in words; "" if nothing does."""
    for kind, ours, other in (("y", wanted.y, theirs.y), ("x", wanted.x, theirs.x)):
        tolerance = SAME_PLACE * abs(ours[1] - ours[0])
        if len(ours) != len(other) or not np.allclose(ours, other, rtol=0, atol=tolerance):
            return (
                f"{kind} has {len(other)} cells from {other[0]:g} to {other[-1]:g}, the windows have {len(ours)} from "
                f"{ours[0]:g} to {ours[-1]:g}"
            )
    return ""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a damaged file makes fail inside becomes a DataFormatError."""
    try:
        yield
    except DataFormatError:
        raise
    except DAMAGE as error:
        raise DataFormatError(path, f"not readable as a forecast: {error}") from error


def _opened(path: Path, opens: Callable[[Path], netCDF4.Dataset]) -> netCDF4.Dataset:
    try:
        return opens(path)
    except OSError as error:
        raise DataFormatError(path, f"not a netCDF file ({error})") from error


def _rain_variable(path: Path, dataset: netCDF4.Dataset) -> "netCDF4.Variable[Any]":
    fields = [variable for variable in dataset.variables.values() if variable.ndim >= 3]
    named = [x for x in fields if getattr(x, "standard_name", "") in STANDARD_NAMES]
    found = named or [x for x in fields if getattr(x, "units", "") in TO_MM_PER_HOUR]
    if len(found) != 1:
        raise DataFormatError(
            path,
            f"a forecast file holds one field of rain rate (standard_name {', '.join(STANDARD_NAMES)}, or a unit of "
            f"{', '.join(TO_MM_PER_HOUR)}); found {', '.join(x.name for x in found) or 'none'}",
        )
    _factor(path, getattr(found[0], "units", ""))
    return found[0]


def _factor(path: Path, units: str) -> float:
    if units not in TO_MM_PER_HOUR:
        raise DataFormatError(path, f"rain rate in {units!r}; known units are {', '.join(TO_MM_PER_HOUR)}")
    return TO_MM_PER_HOUR[units]


def _axes(path: Path, dataset: netCDF4.Dataset, variable: "netCDF4.Variable[Any]") -> list[str]:
    """What each dimension of the field is."""
    axes = []
    for dimension in variable.dimensions:
        standard = getattr(dataset.variables.get(dimension), "standard_name", "")
        kinds = [kind for kind, (name, _) in NAMES.items() if standard == name]
        kinds = kinds or [kind for kind, (_, names) in NAMES.items() if dimension in names]
        if not kinds:
            raise DataFormatError(path, f"{variable.name} has an axis {dimension!r} that is none of {', '.join(NAMES)}")
        axes.append(kinds[0])
    times = [axis for axis in axes if axis in ("time", "lead")]
    if len(set(axes)) < len(axes) or not {"y", "x"} <= set(axes) or len(times) != 1:
        raise DataFormatError(path, f"{variable.name} needs y, x and one of time and forecast_period; it has {axes}")
    return axes


def _coordinate(dataset: netCDF4.Dataset, kind: str) -> "netCDF4.Variable[Any] | None":
    """The variable of an axis, by standard name or by name."""
    standard, names = NAMES[kind]
    by_standard = [x for x in dataset.variables.values() if getattr(x, "standard_name", "") == standard and x.ndim <= 1]
    by_name = [dataset.variables[name] for name in names if name in dataset.variables]
    return next(iter(by_standard + by_name), None)


def _seconds(path: Path, variable: "netCDF4.Variable[Any]") -> list[int]:
    """Times as seconds since 1970."""
    check_size(path, variable.name, variable.size, MAX_TIMES)
    if " since " not in getattr(variable, "units", ""):
        raise DataFormatError(path, f"{variable.name} has no unit such as {'seconds since 1970-01-01'!r}")
    dates = np.atleast_1d(
        cftime.num2date(
            np.atleast_1d(np.ma.getdata(variable[...])),
            variable.units,
            only_use_cftime_datetimes=False,
            only_use_python_datetimes=True,
        )
    )
    return [int(np.datetime64(date, "s").astype(np.int64)) for date in dates]


def _init_times(path: Path, dataset: netCDF4.Dataset) -> list[int]:
    reference = _coordinate(dataset, "init")
    if reference is not None:
        return _seconds(path, reference)
    time = _coordinate(dataset, "time")
    if time is not None and "pysteps" in str(getattr(dataset, "title", "")).lower():
        # pysteps writes no reference time, but counts seconds from it.
        epoch = cftime.num2date(0, time.units, only_use_cftime_datetimes=False, only_use_python_datetimes=True)
        return [int(np.datetime64(epoch, "s").astype(np.int64))]
    raise DataFormatError(path, "says nowhere when the forecast began: no variable with standard_name "
                          "forecast_reference_time")  # fmt: skip


def _lead_seconds(path: Path, dataset: netCDF4.Dataset, axes: list[str], init_time: int) -> list[int]:
    if "time" in axes:
        time = _coordinate(dataset, "time")
        if time is None:
            raise DataFormatError(path, "the time axis has no coordinate")
        return [valid - init_time for valid in _seconds(path, time)]
    lead = _coordinate(dataset, "lead")
    scale = {"s": 1, "seconds": 1, "min": 60, "minutes": 60, "h": 3600, "hours": 3600}
    if lead is None or getattr(lead, "units", "") not in scale:
        raise DataFormatError(path, f"forecast_period needs a unit of {', '.join(scale)}")
    return [round(float(value) * scale[lead.units]) for value in np.ma.getdata(lead[...])]


def _centres(path: Path, dataset: netCDF4.Dataset) -> list[NDArray[np.float64]]:
    """Y and x of the cells as they stand in the file, in metres or degrees."""
    found = []
    for kind in ("y", "x"):
        variable = _coordinate(dataset, kind)
        if variable is None:
            raise DataFormatError(path, f"the {kind} axis has no coordinate")
        check_size(path, variable.name, variable.size, MAX_CELLS)
        factor = 1000.0 if getattr(variable, "units", "") == "km" else 1.0
        found.append(np.ma.getdata(variable[...]).astype(np.float64) * factor)
    return found


def _from_south(y: NDArray[np.float64]) -> bool:
    return bool(len(y) > 1 and y[0] < y[-1])


def _crs(dataset: netCDF4.Dataset, variable: "netCDF4.Variable[Any]") -> str:
    """The projection of a field's grid mapping, or ""."""
    mapping = dataset.variables.get(getattr(variable, "grid_mapping", ""))
    if mapping is None:
        return ""
    attributes = {name: mapping.getncattr(name) for name in mapping.ncattrs()}
    if "nowcast_crs" in attributes:
        return str(attributes["nowcast_crs"])
    try:
        return str(pyproj.CRS.from_cf(attributes).to_wkt())
    except (pyproj.exceptions.CRSError, KeyError, ValueError):
        return ""


def _grid(path: Path, dataset: netCDF4.Dataset) -> Grid:
    """The cells of the file's field, row 0 north; crs "" when the file does not say."""
    y, x = _centres(path, dataset)
    check_shape(path, len(y), len(x))
    return Grid(x=x, y=y[::-1] if _from_south(y) else y, crs=_crs(dataset, _rain_variable(path, dataset)))


def _text(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))
