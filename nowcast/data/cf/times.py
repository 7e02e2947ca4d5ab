"""CF times as UTC, and the periods of amounts: from bounds, else from what is told, else assumed in words."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cftime
import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import MAX_TIMES, check_size
from nowcast.data.cf.axes import Axis
from nowcast.data.cf.file import CFFile, Variable, attribute, lookup, number_of, numbers, variables
from nowcast.units import Quantity, conversion

Times = NDArray[np.datetime64]
CALENDARS = ("standard", "gregorian", "proleptic_gregorian")  # those in which UTC dates are what they seem
REFERENCE = re.compile(
    r"\s*(?P<unit>\S+)\s+since\s+(?P<date>[+-]?\d{1,5}-\d{1,2}-\d{1,2})"
    r"(?:[T\s]+(?P<clock>\d{1,2}(?::\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)?))?\s*(?P<zone>\S.*)?",
    re.IGNORECASE,
)
OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?", re.IGNORECASE)
TOLERANCE = 1  # s that a time may lie outside its bounds: rounding


@dataclass(frozen=True, eq=False)
class FieldTimes:
    """When the frames of a field are.

    Args:
        ends: (T,) UTC; of means and amounts, the end of their period.
        period: Seconds in which an amount fell; None for other quantities.
    """

    ends: Times
    period: float | None


def field_times(file: CFFile, field: Variable, axes: list[Axis], quantity: Quantity) -> FieldTimes:
    """Times of the frames of a field.

    Raises:
        DataFormatError: No time, times outside their bounds, or an amount whose period nothing tells.
    """
    time = _time_variable(file, field, axes)
    times = decode(file, time)
    bounds = _bounds(file, field, time, times)
    if quantity is Quantity.RAIN_AMOUNT:
        return _amounts(file, field, times, bounds)
    if bounds is None or "point" in _method_of_time(field):
        return FieldTimes(times, None)
    if (bounds[:, 1] != times).any():
        file.assume("rates are means over the bounds of their time, whose end is taken for the time of a frame")
    return FieldTimes(bounds[:, 1], None)


def _time_variable(file: CFFile, field: Variable, axes: list[Axis]) -> Variable:
    given = file.settings.time_variable
    if given is not None:
        time = lookup(field, given)
        if time is None:
            raise file.refuse(f"no time variable {given!r} (source.time_variable); there are "
                              f"{', '.join(variables(file.dataset))}")  # fmt: skip
        return time
    along = next((axis.coordinate for axis in axes if axis.kind == "time"), None)
    if along is not None:
        return along
    named = [lookup(field, name) for name in attribute(field, "coordinates").split()]
    every = variables(file.dataset)
    for other in (*named, *every.values()):
        if other is not None and attribute(other, "standard_name") == "time":
            return other
    for name in ("time", "valid_time"):
        other = lookup(field, name)
        if other is not None:
            return other
    raise file.refuse(
        f"no time variable (standard_name time) among {', '.join(every)}; source.time_variable names it",
        _other_time(file, ""),
        "for example",
    )


def _other_time(file: CFFile, besides: str) -> str:
    """What to type to have another variable with the unit of a time; "" when there is none."""
    every = variables(file.dataset).items()
    names = (name for name, other in every if " since " in attribute(other, "units") and other.name != besides)
    return next((f"time_variable={name}" for name in names), "")


def decode(file: CFFile, variable: Variable, stored: Variable | None = None, units: str | None = None) -> Times:
    """CF time values as UTC, to the second.

    Args:
        file: The file.
        variable: A time; its unit and calendar count.
        stored: Another variable in the same unit, such as bounds.
        units: Unit instead of the attribute, where none is told.

    Returns:
        (n,) datetime64[s].

    Raises:
        DataFormatError: No number, missing, another calendar, or a unit or zone that is not unambiguous.
    """
    stored = variable if stored is None else stored
    check_size(file.path, stored.name, stored.size, MAX_TIMES)
    if getattr(stored.dtype, "kind", "U") not in "uif":
        return _from_text(file, stored)
    calendar = (attribute(variable, "calendar") or "standard").lower()
    if calendar not in CALENDARS:
        raise file.refuse(f"calendar {calendar!r} of {variable.name} is not one of {', '.join(CALENDARS)}")
    values = np.ravel(numbers(file, stored))
    if not np.isfinite(values).all():
        raise file.refuse(f"{stored.name} holds a time that is missing")
    units = file.settings.time_units or units or attribute(variable, "units")
    times = since(file, variable.name, units, values, calendar)
    return _as_written(file, stored, times, units)


def since(file: CFFile, name: str, units: str, values: NDArray[np.float64], calendar: str = "standard") -> Times:
    """Numbers in a unit such as "seconds since 2020-06-01 00:00:00 +02:00" as UTC, to the second.

    Raises:
        DataFormatError: It is no such unit, or its zone is not UTC, GMT, Z or an offset.
    """
    match = REFERENCE.fullmatch(units)
    if match is None:
        raise file.refuse(
            f"{name} has unit {units!r}, expected one such as 'seconds since 1970-01-01 00:00:00'",
            "time_units=seconds since 1970-01-01 00:00:00",
        )
    start = f"{match['unit']} since {match['date']} {match['clock'] or '00:00:00'}"
    ahead = _seconds_ahead(match["zone"] or "")
    if ahead is None:
        raise file.refuse(
            f"{name} counts {units!r}: zone {match['zone']!r} is not unambiguous; UTC, GMT, Z and offsets from UTC are",
            f"time_units={start} +02:00",
            "if it is two hours ahead of UTC",
        )
    try:
        dates = cftime.num2date(values, start.lower(), calendar, only_use_cftime_datetimes=True)
    except (ValueError, OverflowError) as error:
        raise file.refuse(
            f"{name} counts {units!r}, which is not understood ({error})", f"time_units={start}"
        ) from error
    exact = [np.datetime64(date.isoformat(), "us") for date in np.ravel(dates)]
    rounded = (np.array(exact, dtype="datetime64[us]") + np.timedelta64(500_000, "us")).astype("datetime64[s]")
    return np.asarray(rounded - np.timedelta64(ahead, "s"))


def _seconds_ahead(zone: str) -> int | None:
    """Seconds that a zone is ahead of UTC; None when its name does not tell."""
    if zone.upper() in ("", "Z", "UTC", "GMT"):
        return 0
    match = OFFSET.fullmatch(zone.replace(" ", ""))
    if match is None:
        return None
    seconds = 3600 * int(match["hours"]) + 60 * int(match["minutes"] or 0)
    return -seconds if match["sign"] == "-" else seconds


def _as_written(file: CFFile, stored: Variable, times: Times, units: str) -> Times:
    """Times whose numbers are too coarse for seconds, as the whole minutes or hours that were written.

    Raises:
        DataFormatError: Which those are cannot be told.
    """
    factor = conversion(units.split()[0], "s") or 1.0
    if stored.dtype.kind != "f" or len(times) == 0:
        return times
    coarse = float(np.spacing(np.abs(np.asarray(stored[...])).max()))
    step = coarse * abs(number_of(file, stored, "scale_factor", 1.0)) * factor
    if step <= 0.5:
        return times
    seconds = times.astype("datetime64[s]").astype(np.int64)
    for unit in (60, 3600):
        whole = np.rint(seconds / unit).astype(np.int64) * unit
        if step < unit / 2 and (np.abs(seconds - whole) <= step / 2 + 0.5).all():
            if (whole != seconds).any():
                name = {60: "minute", 3600: "hour"}[unit]
                file.assume(f"{stored.name} is {stored.dtype}, good to {step:.2g} s: rounded to the {name}")
            return whole.astype("datetime64[s]")
    raise file.refuse(
        f"{stored.name} is {stored.dtype} in {units!r}, whose neighbouring values lie {step:.3g} s apart: the times "
        "cannot be told. Have the file written again with double precision or whole seconds"
    )


def _from_text(file: CFFile, stored: Variable) -> Times:
    values = np.asarray(stored[...])
    if values.dtype.kind == "S":
        values = netCDF4.chartostring(values)
    times = []
    for text in (str(value).strip("\x00 ") for value in np.ravel(values)):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise file.refuse(
                f"{stored.name} holds text, {text!r}, that is no time such as 2020-06-01T00:05:00Z; CF times are "
                "numbers with a unit such as 'seconds since 1970-01-01 00:00:00'",
                _other_time(file, stored.name),
                "where that holds the time",
            ) from error
        if moment.tzinfo is None:
            file.assume(f"{stored.name} is text without a zone: taken for UTC")
            moment = moment.replace(tzinfo=UTC)
        times.append(np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s"))
    return np.array(times, dtype="datetime64[s]")


def _bounds(file: CFFile, field: Variable, time: Variable, times: Times) -> NDArray[Any] | None:
    """(T, 2) begins and ends, checked against the times; None when the file has none."""
    if file.settings.start_variable is not None:
        start = lookup(field, file.settings.start_variable)
        if start is None:
            raise file.refuse(f"no variable {file.settings.start_variable!r} (source.start_variable); there are "
                              f"{', '.join(variables(file.dataset))}")  # fmt: skip
        starts = decode(file, start)
        pairs = np.stack([starts, times], axis=1) if len(starts) == len(times) else None
    else:
        name = attribute(time, "bounds")
        stored = lookup(time, name) if name else None
        if stored is None:
            if name:
                file.assume(f"{time.name} names bounds {name}, which are not there")
            return None
        units = attribute(stored, "units") or None
        two = stored.shape[-1:] == (2,)
        pairs = np.sort(decode(file, time, stored, units).reshape(-1, 2), axis=1) if two else None
    if pairs is None or len(pairs) != len(times):
        raise file.refuse(f"bounds of {time.name} are not pairs of begin and end for its {len(times)} times")
    before, after = (pairs[:, 0] - times).astype(np.int64), (times - pairs[:, 1]).astype(np.int64)
    outside = np.maximum(before, after) > TOLERANCE
    if outside.any():
        at = int(np.argmax(outside))
        raise file.refuse(
            f"time {times[at]} lies outside its bounds {pairs[at, 0]} to {pairs[at, 1]}: the file contradicts itself",
            _other_time(file, time.name),
            "where that holds the time",
        )
    return pairs


def _amounts(file: CFFile, field: Variable, times: Times, bounds: NDArray[Any] | None) -> FieldTimes:
    given = file.settings.period_seconds
    if bounds is not None and (given is None or file.settings.time_of_period is None):
        lengths = sorted({int(length) for length in (bounds[:, 1] - bounds[:, 0]).astype(int)})
        if given is None and (len(lengths) != 1 or lengths[0] <= 0):
            raise file.refuse(f"accumulation periods of {lengths} s, expected one that is positive")
        if given is not None and lengths != [given]:
            raise file.refuse(
                f"source.period_seconds={given:g}, and the bounds of the time are {', '.join(map(str, lengths[:5]))} s "
                "long: leave it to them, or say where in the period the time lies",
                "time_of_period=end",
                "if it is the end",
            )
        return FieldTimes(bounds[:, 1], float(lengths[0]))
    if bounds is not None:
        file.assume(f"bounds of the time are not used: period and place of the time in it are told, {given:g} s")
    period = given or _interval(file, field)
    if period is None:
        raise file.refuse(
            f"{field.name} is a rain amount whose accumulation period the file does not tell (no bounds of the time)",
            "period_seconds=300",
            "if it is five minutes",
        )
    where = file.settings.time_of_period
    if where is None:
        where = "end"
        file.assume(
            f"without bounds, the time of an amount is taken for the end of its {period:g} s (source.time_of_period)"
        )
    shift = {"start": period, "middle": period / 2, "end": 0.0}[where]
    return FieldTimes(times + np.timedelta64(round(shift), "s"), period)


def _method_of_time(field: Variable) -> str:
    """The cell method of time: "sum (interval: 5 min)"; "" when there is none."""
    match = re.search(r"\btime\s*:\s*(?!\w+\s*:)(\w+[^()]*(?:\([^)]*\))?)", attribute(field, "cell_methods"))
    return match[1] if match else ""


def _interval(file: CFFile, field: Variable) -> float | None:
    """Seconds of "interval: 5 minutes" in the cell method of time."""
    match = re.search(r"interval:\s*([\d.eE+-]+)\s*([A-Za-z]+)", _method_of_time(field))
    if match is None or not _method_of_time(field).startswith("sum"):
        return None
    factor = conversion(match[2], "s")
    try:
        period = float(match[1]) * (factor or np.nan)
    except ValueError:
        period = np.nan
    if not 0 < period < np.inf:
        raise file.refuse(
            f"{field.name} has cell_methods {attribute(field, 'cell_methods')!r}, whose interval is no time",
            "period_seconds=300",
            "if it is five minutes",
        )
    file.assume(f"the period of {period:g} s is that of cell_methods {attribute(field, 'cell_methods')!r}")
    return period
