"""What a store says of its field: which it is, quantity, times and grid, in the words of the mlcast specification."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import Grid, Packing, ToRainRate, check_shape
from nowcast.data.cf.axes import axes_of, find_field
from nowcast.data.cf.file import CFFile, Variable, attribute, has, number_of, numbers_of
from nowcast.data.cf.grids import grid_of
from nowcast.data.cf.times import FieldTimes, decode, field_times, since
from nowcast.data.cf.values import physical
from nowcast.units import ZR, Quantity, parse_unit

log = logging.getLogger(__name__)

# Source: mlcast source-data specification 0.2.0. Standard name → quantity, and the names of variables without one.
STANDARD_NAMES = {
    "rainfall_flux": Quantity.RAIN_RATE, "precipitation_flux": Quantity.RAIN_RATE,
    "rainfall_rate": Quantity.RAIN_RATE, "lwe_precipitation_rate": Quantity.RAIN_RATE,
    "equivalent_reflectivity_factor": Quantity.REFLECTIVITY,
    "precipitation_amount": Quantity.RAIN_AMOUNT, "rainfall_amount": Quantity.RAIN_AMOUNT,
    "lwe_thickness_of_precipitation_amount": Quantity.RAIN_AMOUNT,
}  # fmt: skip
NAMES = {
    "mmh", "rr", "rain_rate", "rainfall_rate", "rainfall_flux", "tprate", "prate", "dbz", "rare",
    "equivalent_reflectivity_factor", "rainfall_amount", "mm", "precipitation_amount", "tp",
}  # fmt: skip
PACKING = "nowcast_packing"  # step and offset of floating-point values that were integers
MAPPINGS = ("crs", "spatial_ref")  # of fields that name no grid_mapping
ZR_ASSUMED, NO_ECHO_ASSUMED = ZR(200.0, 1.6), 0.0  # of reflectivity, as configs/source/netcdf.yaml has them


@dataclass(frozen=True, eq=False)
class Header:
    """What is known of a store without its field.

    Attributes:
        field: Name of the variable.
        factor: From its unit to the canonical one.
        to_rain_rate: How its values become rain rate.
        packing: How its integers are kept, None for floating-point values.
        times: (N,) UTC, of the frames that count.
        kept: (N,) where they lie on the time axis of the store.
        grid: Row 0 north.
        flips: Whether rows and columns of the store run the other way.
        digest: Of times and grid.
    """

    field: str
    factor: float
    to_rain_rate: ToRainRate
    packing: Packing | None
    times: NDArray[np.datetime64]
    kept: NDArray[np.int64]
    grid: Grid
    flips: tuple[bool, bool]
    digest: str


def read_header(file: CFFile) -> Header:
    """Decode all but the field.

    Raises:
        DataFormatError: No field, several, another quantity or unit, or times or axes that are none of an archive's.
    """
    field = _find(file)
    quantity, factor = _unit(file, field)
    axes = axes_of(file, field)
    if [axis.kind for axis in axes] != ["time", "y", "x"]:
        found = ", ".join(axis.name for axis in axes)
        raise file.refuse(f"{field.name} has axes ({found}); a store of radar frames has (time, y, x)")
    check_shape(file.path, axes[1].size, axes[2].size)
    _name_mapping(file, field)
    grid, *flips = grid_of(file, field, axes[1], axes[2])
    times = _times(file, field, axes, quantity)
    kept = _kept(file, times.ends)
    _check_times(file, field, times.ends[kept])
    reflectivity = quantity is Quantity.REFLECTIVITY
    no_echo = number_of(file, field, "no_echo", NO_ECHO_ASSUMED) if reflectivity else None
    to_rain_rate = ToRainRate(quantity, times.period, no_echo, _zr(file, field) if reflectivity else None)
    _, packing = physical(file, field, np.empty(0, dtype=field.dtype), factor, quantity)
    packing = packing or _steps_of_floats(file, field)
    ends = times.ends[kept]
    digest = hashlib.sha256(ends.astype(np.int64).tobytes() + grid.x.tobytes() + grid.y.tobytes()).hexdigest()
    return Header(field.name, factor, to_rain_rate, packing, ends, kept, grid, (flips[0], flips[1]), digest)


def _find(file: CFFile) -> Variable:
    """The field by its standard name, else by its name, else by its unit."""
    every = [one for one in file.dataset.variables.values() if one.ndim == 3 and one.dtype.kind in "iuf"]
    for fits in (
        [one for one in every if attribute(one, "standard_name") in STANDARD_NAMES],
        [one for one in every if one.name.lower() in NAMES],
    ):
        if len(fits) == 1:
            return fits[0]
    return find_field(file)


def _unit(file: CFFile, field: Variable) -> tuple[Quantity, float]:
    standard, unit = attribute(field, "standard_name"), attribute(field, "units")
    try:
        quantity, factor = parse_unit(unit)
    except ValueError as error:
        problem = f"variable {field.name}: {error}"
        raise file.refuse(problem, "units=mm h-1", "if it is a rain rate in mm h-1") from error
    expected = STANDARD_NAMES.get(standard, quantity)
    if quantity is not expected:
        raise file.refuse(
            f"variable {field.name} is {standard} and has unit {unit!r}, one of {quantity}; expected one of {expected}",
            f"units={expected.units}",
            "if its values are that",
        )
    return quantity, factor


def _steps_of_floats(file: CFFile, field: Variable) -> Packing | None:
    """The steps of floating-point values of a store of ours, so that they are kept as 16 bits like those of netCDF."""
    told = [float(number) for number in numbers_of(file, field, PACKING)]
    if field.dtype.kind != "f" or not told:
        return None
    if len(told) != 2 or not np.isfinite(told).all() or told[0] <= 0:
        raise file.refuse(f"{field.name} has {PACKING} {told}, expected a positive step and an offset")
    return Packing(*told)


def _name_mapping(file: CFFile, field: Variable) -> None:
    """Have a field know the projection that lies beside it."""
    beside = [name for name in MAPPINGS if name in file.dataset.variables]
    if not attribute(field, "grid_mapping") and beside:
        file.assume(f"{field.name} names no grid_mapping: {beside[0]} is taken for it")
        field.add("grid_mapping", beside[0])


def _times(file: CFFile, field: Variable, axes: list[Any], quantity: Quantity) -> FieldTimes:
    """Times, and the period of amounts: that of the file, else the commonest step."""
    time = axes[0].coordinate
    told = time is None or attribute(time, "bounds") or "interval" in attribute(field, "cell_methods")
    if quantity is Quantity.RAIN_AMOUNT and not told:
        ends = decode(file, time)
        period = number_of(file, field, "accumulation_period", float("nan"))
        if not np.isfinite(period) and len(ends) > 1:
            period = float(Counter(np.diff(ends[_kept(file, ends)]).astype(int).tolist()).most_common(1)[0][0])
            file.assume(f"amounts of {field.name} fell in {period:g} s up to their time: the commonest step")
        if period > 0:
            file.settings = replace(file.settings, period_seconds=period, time_of_period="end")
    return field_times(file, field, axes, quantity)


def _kept(file: CFFile, times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Which times count: from `consistent_timestep_start` on, and without the `missing_times`."""
    keep = np.ones(len(times), dtype=bool)
    start = str(getattr(file.dataset, "consistent_timestep_start", "")).strip()
    if start:
        keep &= times >= _moment(file, start)
        if not keep.all():
            file.assume(f"{int((~keep).sum())} frames before consistent_timestep_start={start} are left out")
    missing = file.dataset.variables.get("missing_times")
    if missing is not None and missing.size:
        absent = np.isin(times, decode(file, missing))
        if absent.any():
            file.assume(f"{int(absent.sum())} frames of missing_times are left out")
        keep &= ~absent
    return np.flatnonzero(keep)


def _moment(file: CFFile, text: str) -> np.datetime64:
    """UTC of an ISO time."""
    units = f"seconds since {text.replace('T', ' ')}"
    return np.datetime64(since(file, "consistent_timestep_start", units, np.zeros(1))[0], "s")


def _check_times(file: CFFile, field: Variable, times: NDArray[np.datetime64]) -> None:
    if len(times) == 0:
        raise file.refuse(f"{field.name} holds no frame")
    steps = np.diff(times).astype(np.int64)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        raise file.refuse(f"times do not rise strictly: {times[at + 1]} comes after {times[at]}")


def _zr(file: CFFile, field: Variable) -> ZR:
    a, b = (number_of(file, field, name, value) for name, value in (("zr_a", ZR_ASSUMED.a), ("zr_b", ZR_ASSUMED.b)))
    if not (has(field, "zr_a") and has(field, "zr_b")):
        file.assume(f"Z-R relation {a:g}, {b:g}")
    return ZR(a, b)


def tell(file: CFFile, texts: Iterable[str]) -> None:
    """Log what was assumed."""
    for text in texts:
        log.info("%s: assumed: %s", file.path, text)
