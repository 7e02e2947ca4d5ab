"""ODIM_H5 composites: OPERA and every service that follows the European data model."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError, Frame, Packing
from nowcast.data.formats.containers.hdf5 import Hdf5File, open_hdf5
from nowcast.data.formats.odim_grid import read_grid
from nowcast.units import ZR, Quantity

QUANTITIES = {
    "RATE": Quantity.RAIN_RATE,
    "ACRR": Quantity.RAIN_AMOUNT,
    "DBZH": Quantity.REFLECTIVITY,
    "TH": Quantity.REFLECTIVITY,
    "DBZ": Quantity.REFLECTIVITY,
}
NO_ECHO = -100.0  # dBZ that stands for "nothing detected" among floating-point values: no radar detects as little


@dataclass(frozen=True)
class OdimReader:
    """Rain rate (RATE, mm h-1), accumulation (ACRR, mm over the file's own period) or reflectivity (DBZH, TH).

    `nodata` is no data, `undetect` is no rain; NaN is no data unless the file calls it undetect. Each attribute is
    looked up by itself, at the data, then at its dataset, then at the root. Time is the nominal time /what/date and
    time for RATE and reflectivity, and the end of the accumulation for ACRR.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        quantity: Which of QUANTITIES to read; None = the first of them, in that order, that the file holds.
        dataset: Group to read, such as dataset2 or dataset1/data3; None = the only one that holds the quantity.
        gain: Instead of the file's; None = the file's. The same for the three that follow.
        offset: See gain.
        nodata: Stored value of no data, see gain; may be NaN.
        undetect: Stored value of "nothing detected", see gain; may be NaN.
        zr_a: Z-R factor for reflectivity.
        zr_b: Z-R exponent.

    Source: ODIM_H5 versions 2.0 to 2.4 (EUMETNET OPERA).
    """

    pattern: str
    provider: str
    licence: str
    quantity: str | None
    dataset: str | None
    gain: float | None
    offset: float | None
    nodata: float | None
    undetect: float | None
    zr_a: float
    zr_b: float

    def __post_init__(self) -> None:
        """Check the quantity."""
        if self.quantity is not None and self.quantity not in QUANTITIES:
            raise ValueError(f"source.quantity must be one of {', '.join(QUANTITIES)} or null, got {self.quantity!r}")

    def read(self, path: Path) -> list[Frame]:
        """The one field of the chosen quantity.

        Raises:
            DataFormatError: Not an ODIM composite, or without such a quantity, or something that the file does not say
                and that cannot be taken for granted; the message says which option helps.
        """
        with open_hdf5(path) as file:
            if not file.text("/", "Conventions").startswith("ODIM_H5"):
                raise DataFormatError(path, "attribute Conventions does not say ODIM_H5; is source= right?")
            kind = file.text("what", "object")
            if kind not in ("COMP", "IMAGE"):
                raise DataFormatError(path, f"object {kind!r} is no composite; only COMP and IMAGE are gridded")
            name, group = self._find(file)
            stored = file.field(f"{group}/data")
            coding, assumptions = self._coding(file, group, QUANTITIES[name], stored)
            grid = read_grid(file, group, (stored.shape[0], stored.shape[1]))
            period, time = None, _time(file, "what", "date", "time")
            if QUANTITIES[name] is Quantity.RAIN_AMOUNT:
                begin = _time(file, file.place(group, "what", "startdate"), "startdate", "starttime")
                time = _time(file, file.place(group, "what", "enddate"), "enddate", "endtime")
                period = float((time - begin).astype(int))
                if period <= 0:
                    raise DataFormatError(path, f"accumulation from {begin} to {time} has no length")
        reflectivity = QUANTITIES[name] is Quantity.REFLECTIVITY
        no_echo = coding.no_echo(stored.dtype) if reflectivity else None
        values = coding.values(stored, 0.0 if no_echo is None else no_echo)
        packing = coding.packing(stored.dtype, 0.0 if no_echo is None else no_echo)
        zr = ZR(self.zr_a, self.zr_b) if reflectivity else None
        return [Frame(time, QUANTITIES[name], values, grid, packing, period, no_echo, zr, assumptions)]

    def _find(self, file: Hdf5File) -> tuple[str, str]:
        """Quantity and path of its data group."""
        found: dict[str, list[str]] = {}
        for dataset in _numbered(file, "", "dataset"):
            for data in _numbered(file, dataset, "data"):
                group = f"{dataset}/{data}"
                if self.dataset not in (None, dataset, group) or not file.has_field(f"{group}/data"):
                    continue
                if file.has(place := file.place(group, "what", "quantity"), "quantity"):
                    found.setdefault(file.text(place, "quantity"), []).append(group)
        for name in [self.quantity] if self.quantity else QUANTITIES:
            groups = found.get(name, [])
            if len(groups) > 1:
                raise DataFormatError(
                    file.path, f"holds {name} {len(groups)} times: choose one with source.dataset={groups[0]}, "
                    f"of {', '.join(groups)}"
                )  # fmt: skip
            if groups:
                return name, groups[0]
        wanted = self.quantity or ", ".join(QUANTITIES)
        where = "" if self.dataset is None else f" in source.dataset={self.dataset}"
        raise DataFormatError(file.path, f"holds {', '.join(found) or 'no quantity'}{where}; expected {wanted}")

    def _coding(
        self, file: Hdf5File, group: str, quantity: Quantity, stored: NDArray[np.generic]
    ) -> tuple["Coding", tuple[str, ...]]:
        """What the stored numbers mean, and what of it was taken for granted.

        Floating-point values may go without gain and offset, and without nodata: NaN says it. Rates and amounts may
        go without undetect: 0 is no rain. Integers mean nothing without all four.
        """
        said = {name: self._said(file, group, name) for name in ("gain", "offset", "nodata", "undetect")}
        lacking = [name for name, value in said.items() if value is None]
        assumed: dict[str, str] = {}
        if stored.dtype.kind == "f":
            if {"gain", "offset"} <= set(lacking):
                assumed |= dict.fromkeys(("gain", "offset"), "no gain and no offset in the file: values are as stored")
            if "nodata" in lacking:
                assumed["nodata"] = "no nodata in the file: no number is no data, and NaN is unless it is undetect"
            # A hole in a field of reflectivity may be dry or unseen; only undetect tells them apart.
            if "undetect" in lacking and quantity is not Quantity.REFLECTIVITY:
                assumed["undetect"] = "no undetect in the file: 0 is no rain"
            elif "undetect" in lacking and not np.isnan(stored).any():
                assumed["undetect"] = "no undetect in the file: every value counts as detected"
        unclear = [name for name in lacking if name not in assumed]
        if unclear:
            raise DataFormatError(file.path, _way_out(group, unclear, stored.dtype))
        coding = Coding(
            1.0 if said["gain"] is None else said["gain"],
            0.0 if said["offset"] is None else said["offset"],
            said["nodata"],
            said["undetect"],
        )
        if not (np.isfinite([coding.gain, coding.offset]).all() and coding.gain != 0):
            raise DataFormatError(file.path, f"gain {coding.gain} and offset {coding.offset} make no values")
        if coding.is_ambiguous(stored):
            raise DataFormatError(
                file.path,
                f"nodata and undetect of {group} are both {coding.nodata}: unseen cells cannot be told from dry ones; "
                "set source.undetect=<stored value of dry cells> or source.nodata=<stored value of unseen ones>",
            )
        return coding, tuple(dict.fromkeys(assumed.values()))

    def _said(self, file: Hdf5File, group: str, name: str) -> float | None:
        """A number of the config, or of the file, or None."""
        if (given := getattr(self, name)) is not None:
            return float(given)
        place = file.place(group, "what", name)
        return file.number_or_nan(place, name) if file.has(place, name) else None


@dataclass(frozen=True)
class Coding:
    """What stored numbers mean: value = stored·gain + offset, but for two of them.

    Args:
        gain: Not 0.
        offset: In the unit of the quantity.
        nodata: Stored value of no data, None = there is none; NaN is no data, too, unless it is `undetect`.
        undetect: Stored value of "nothing detected", None = there is none.
    """

    gain: float
    offset: float
    nodata: float | None
    undetect: float | None

    def is_ambiguous(self, stored: NDArray[np.generic]) -> bool:
        """Whether cells hold one value that means both no data and no rain."""
        return bool((_equals(stored, self.nodata) & _equals(stored, self.undetect)).any())

    def values(self, stored: NDArray[np.generic], dry: float) -> NDArray[np.float32]:
        """Values in the unit of the quantity; NaN = no data, `dry` where nothing was detected."""
        numbers = stored.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # limits are for what is too large
            values = numbers * self.gain + self.offset
        values[_equals(stored, self.nodata) | ~np.isfinite(numbers)] = np.nan
        values[_equals(stored, self.undetect)] = dry
        with np.errstate(over="ignore"):
            return values.astype(np.float32)

    def no_echo(self, dtype: np.dtype[Any]) -> float:
        """What stands for "nothing detected" in dBZ: below all that can be, and the same in all files of a series."""
        if dtype.kind == "f":
            return NO_ECHO
        return self._lowest(dtype) - (0.0 if self.undetect == self._first(dtype) else abs(self.gain))

    def packing(self, dtype: np.dtype[Any], dry: float) -> Packing | None:
        """Packing that keeps the stored steps in 16 bits, None where they do not fit."""
        if dtype.kind == "f" or dtype.itemsize > 2 or self.gain < 0:
            return None
        low = self.offset if dtype.kind == "u" else self._lowest(dtype)
        if dry == 0.0:  # rates and amounts below 0 are no values
            low = max(low, self.offset)
        bottom = min(low, dry)
        apart = abs(low - dry) / self.gain  # in steps: a dry cell must lie on one
        last = max(number for number in (np.iinfo(dtype).max, np.iinfo(dtype).max - 1) if number != self.nodata)
        steps = (float(last) * self.gain + self.offset - bottom) / self.gain
        return Packing(self.gain, bottom) if abs(apart - round(apart)) < 1e-6 and steps < 65534.5 else None

    def _first(self, dtype: np.dtype[Any]) -> int:
        """The stored integer of the lowest value but for nodata."""
        ends = np.iinfo(dtype)
        first, step = (int(ends.min), 1) if self.gain > 0 else (int(ends.max), -1)
        return first + step if first == self.nodata else first

    def _lowest(self, dtype: np.dtype[Any]) -> float:
        return self._first(dtype) * self.gain + self.offset


def _equals(stored: NDArray[np.generic], value: float | None) -> NDArray[np.bool_]:
    """Where stored numbers are a value; NaN is NaN, and a value that float32 rounds is what float32 makes of it."""
    if value is None or (np.isnan(value) and stored.dtype.kind != "f"):
        return np.zeros(stored.shape, dtype=np.bool_)
    if np.isnan(value):
        return np.asarray(np.isnan(stored))
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(stored == np.asarray(value).astype(stored.dtype))
    return np.asarray(stored.astype(np.float64) == value)


def _way_out(group: str, names: list[str], dtype: np.dtype[Any]) -> str:
    lack = f"{group} has neither {' nor '.join(names)}" if len(names) > 1 else f"{group} has no {names[0]}"
    text = f"{lack}, at the data, its dataset or the root; values of type {dtype}"
    if names == ["undetect"] and dtype.kind == "f":
        return (
            f"{text} that are NaN may be dry or unseen: set source.undetect=nan if dry, source.undetect=-9999 if unseen"
        )
    settings = " ".join(f"source.{name}=<number>" for name in names)
    return f"{text} mean nothing without: set {settings}"


def _numbered(file: Hdf5File, group: str, name: str) -> list[str]:
    """Children called dataset1, dataset2, …, in the order of their numbers."""
    found = [
        (int(match[1]), child)
        for child in file.children(group)
        if (match := re.fullmatch(rf"{name}(\d{{1,6}})", child))
    ]
    return [child for _, child in sorted(found)]


def _time(file: Hdf5File, group: str, date: str, time: str) -> np.datetime64:
    day, clock = file.text(group, date), file.text(group, time)
    try:
        return np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6] or '00'}", "s")
    except ValueError as error:
        raise DataFormatError(file.path, f"{group}: date {day!r}, time {clock!r} are no time") from error
