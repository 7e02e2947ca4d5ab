"""Forecasts of any system, read from CF netCDF files: ours, pysteps' or others'."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import MAX_FILE_CELLS, DataFormatError, Grid, check_size
from nowcast.data.archive.probe import open_netcdf
from nowcast.data.cf.axes import NAMES, STANDARD_NAMES, Axis, axes_of, is_field
from nowcast.data.cf.file import NOTHING_TOLD, CFFile, Variable, attribute, lookup, numbers, variables
from nowcast.data.cf.grids import grid_of
from nowcast.data.cf.times import decode, field_times, since
from nowcast.data.cf.values import physical
from nowcast.data.results.places import difference_of_place, unplaced
from nowcast.units import Quantity, conversion, parse_unit

log = logging.getLogger(__name__)

RATES = ("rainfall_rate", "lwe_precipitation_rate", "rainfall_flux", "precipitation_flux")  # standard names
NEGATIVE = -1.0  # mm h-1: what lies below is no rounding of zero
ORDER = ("init", "member", "lead", "time", "y", "x")


@dataclass(frozen=True, eq=False)
class FoundForecast:
    """Where one forecast lies.

    Args:
        path: The file.
        number: Which of the file's forecasts.
        leads: Lead times in seconds, in the file's order.
        grid: Its cells, row 0 north; crs "" when the file does not say.
        members: How many it has; 1 of a single forecast.
    """

    path: Path
    number: int
    leads: tuple[int, ...]
    grid: Grid
    members: int


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
    _open: CFFile | None = field(init=False, repr=False, default=None)
    _said: set[str] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        """Look into every file for the times and places of its forecasts."""
        paths = [Path(name) for pattern in self.patterns for name in sorted(glob(str(Path(pattern).expanduser())))]  # noqa: PTH207
        if not paths:
            raise FileNotFoundError(f"no forecast file matches {', '.join(self.patterns)}")
        self.files = {}
        for path in paths:
            with _opened(path, open_netcdf) as dataset, _readable(path):
                file = CFFile(path, dataset, NOTHING_TOLD, by_config=False)
                found = _forecasts(file)
            for text in file.assumptions:
                self._warn(path, f"assumed: {text}")
            for init, one in found:
                same = [two.path for two in self.files.get(init, []) if not difference_of_place(two.grid, one.grid)]
                if same:
                    raise DataFormatError(path, f"holds the forecast from {_text(init)} UTC, as {same[0]} does")
                self.files.setdefault(init, []).append(one)

    def _warn(self, path: Path, text: str) -> None:
        """Say something of the first file that it is true of."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s: %s", path, text)

    def find(self, init_time: int, grid: Grid) -> FoundForecast | None:
        """The forecast from a time for a grid, None if there is none."""
        found = next((one for one in self.files.get(init_time, []) if not difference_of_place(one.grid, grid)), None)
        if found is not None and (who := unplaced(found.grid, grid)):
            self._warn(
                found.path,
                f"taken for the windows' place by its coordinates alone, since no projection is named by {who}",
            )
        return found

    def layout(self, init_time: int) -> tuple[list[int], Grid]:
        """Lead times in seconds, and the grid of the first of the forecasts from one of the times in `files`."""
        found = self.files[init_time][0]
        return list(found.leads), found.grid

    def read(self, init_time: int, lead_seconds: Sequence[int], grid: Grid) -> NDArray[np.float32]:
        """One forecast; of the file only that is read.

        Args:
            init_time: Seconds since 1970; one of `files`.
            lead_seconds: T lead times.
            grid: Where it is wanted.

        Returns:
            (M, T, H, W) float32 mm h-1, row 0 north; M = 1 without members; NaN = no value.

        Raises:
            DataFormatError: No forecast for that grid, a lead time that is missing, or values that are no rain.
        """
        found = self.find(init_time, grid)
        if found is None:
            other = self.files[init_time][0]
            raise DataFormatError(
                other.path,
                f"{difference_of_place(other.grid, grid)}: bring the forecasts to that grid first, and score whole "
                "grids (data.eval_crop=null)",
            )
        missing = [lead for lead in lead_seconds if lead not in found.leads]
        if missing:
            known = ", ".join(f"{lead / 60:g}" for lead in found.leads)
            raise DataFormatError(found.path, f"has no lead time of {missing[0] / 60:g} min; it has {known}")
        file = self._file(found.path)
        with _readable(found.path):
            return _rain(file, found.number, [found.leads.index(lead) for lead in lead_seconds])

    def _file(self, path: Path) -> CFFile:
        """The file, which stays open until another one is wanted: windows in order ask for the same again and again."""
        if self._open is None or self._open.path != path:
            if self._open is not None:
                self._open.dataset.close()
            self._open = None
            dataset = _opened(path, netCDF4.Dataset)  # it opened before
            self._open = CFFile(path, dataset, NOTHING_TOLD, by_config=False)
        return self._open


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a library finds damaged becomes a DataFormatError."""
    with damage(path, "not readable as a forecast", "netCDF4", "cftime"):
        yield


def _opened(path: Path, opens: Callable[[Path], netCDF4.Dataset]) -> netCDF4.Dataset:
    with damage(path, "not a netCDF file", "netCDF4"):
        return opens(path)


def _forecasts(file: CFFile) -> list[tuple[int, FoundForecast]]:
    """Start in seconds since 1970, lead times and place of every forecast of a file."""
    variable = _rain_variable(file)
    axes = _axes(file, variable)
    grid, _, _ = grid_of(file, variable, axes["y"], axes["x"])
    inits = _init_times(file, variable, axes)
    valid = (
        _seconds(field_times(file, variable, list(axes.values()), Quantity.RAIN_RATE).ends) if "time" in axes else []
    )
    leads = [] if valid else _lead_seconds(file, variable, axes)
    members = axes["member"].size if "member" in axes else 1
    return [
        (init, FoundForecast(file.path, number, tuple(leads or (time - init for time in valid)), grid, members))
        for number, init in enumerate(inits)
    ]


def _seconds(times: NDArray[np.datetime64]) -> list[int]:
    return [int(time) for time in times.astype("datetime64[s]").astype(np.int64)]


def _rain_variable(file: CFFile) -> Variable:
    every = variables(file.dataset)
    named = [x for x in every.values() if x.ndim >= 3 and attribute(x, "standard_name") in RATES]
    found = named or [x for x in every.values() if is_field(x, (Quantity.RAIN_RATE,), axes=3)]
    if len(found) != 1:
        raise file.refuse(
            f"a forecast file has one field of rain rate (standard_name {', '.join(RATES)}, or a unit such as mm h-1), "
            f"found {', '.join(x.name for x in found) or 'none'} among {', '.join(every)}"
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


def _axes(file: CFFile, variable: Variable) -> dict[str, Axis]:
    """The dimensions of the field by what they are."""
    axes = axes_of(file, variable)
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


def _rain(file: CFFile, number: int, steps: Sequence[int]) -> NDArray[np.float32]:
    """(M, T, H, W) of the forecast with a number at some steps of its axis of time."""
    variable = _rain_variable(file)
    axes = _axes(file, variable)
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
    stored = stored if "member" in left else stored[None]
    stored = stored[:, [step - first for step in steps]]
    values, _ = physical(file, variable, stored, _factor(file, variable), Quantity.RAIN_RATE)
    if (lowest := float(np.nanmin(values, initial=0.0))) < NEGATIVE:
        raise file.refuse(
            f"{variable.name} holds {lowest:g} mm h-1, which is no rain, and no attribute names it as missing"
        )
    rain: NDArray[np.float32] = np.ascontiguousarray(
        values[:, :, :: -1 if flip_y else 1, :: -1 if flip_x else 1], dtype=np.float32
    )
    return rain


def _text(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))
