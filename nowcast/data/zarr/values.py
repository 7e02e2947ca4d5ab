"""Stored values of a store as those of an archive; what comes most often is done without decoding each value by CF."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.writer import pack_values
from nowcast.data.cf.file import CFFile, has, number_of, numbers_of
from nowcast.data.cf.values import IMPOSSIBLE, physical
from nowcast.data.zarr.dataset import StoreVariable
from nowcast.data.zarr.header import Header
from nowcast.units import Quantity

Values = NDArray[Any]
OF_VALUES = ("missing_value", "valid_min", "valid_max", "valid_range", "scale_factor", "add_offset", "_Unsigned")


def translator(file: CFFile, variable: StoreVariable, header: Header) -> Callable[[Values], Values]:
    """What makes stored values of an archive of stored values of a store: 16-bit integers, or float32 in its unit.

    It may write into what it is given.

    Raises:
        DataFormatError: By the function: a value is neither possible nor "no data".
    """

    def by_cf(stored: Values) -> Values:
        quantity = header.to_rain_rate.quantity
        values, _ = physical(file, variable, stored, header.factor, quantity)
        if quantity is not Quantity.REFLECTIVITY:
            np.maximum(values, 0, out=values)  # rain below 0 is rounding of lossy codecs; NaN stays NaN
        return _kept(file, header, values.astype(np.float32))

    if header.packing is not None and variable.dtype.itemsize <= 2:
        return _by_table(variable.dtype, by_cf)
    if _is_plain(file, variable, header):
        return lambda stored: _as_it_is(stored, file, header, by_cf)
    return by_cf


def _kept(file: CFFile, header: Header, values: Values) -> Values:
    """Values in their unit as an archive keeps them: floating-point ones may have steps, too (header.py)."""
    try:
        return pack_values(values, header.packing, header.to_rain_rate.quantity.units)
    except ValueError as error:
        raise DataFormatError(file.path, f"{header.field}: {error}") from error


def _by_table(dtype: np.dtype[Any], by_cf: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """What every integer becomes is found once: whatever is read is then looked up."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    native = dtype.newbyteorder("=")
    every = np.arange(np.iinfo(unsigned).max + 1, dtype=unsigned).view(native)
    try:
        table = by_cf(every)
    except DataFormatError:  # integers that mean nothing, which the field may well not hold: it is told when one is met
        return by_cf
    if native == table.dtype and np.array_equal(table, every):
        return lambda stored: stored.astype(native, copy=False)
    return lambda stored: table.take(stored.astype(native, copy=False).view(unsigned), mode="clip")


def _is_plain(file: CFFile, variable: StoreVariable, header: Header) -> bool:
    """Whether values are 32-bit numbers in the archive's unit, of which none but NaN is named as no data."""
    named = [value for value in numbers_of(file, variable, "_FillValue") if not np.isnan(value)]
    said = any(has(variable, name) for name in OF_VALUES) or header.factor != 1
    of_user = file.settings.missing_values or number_of(file, variable, "scale_factor", 1.0) != 1
    return variable.dtype.kind == "f" and variable.dtype.itemsize == 4 and not (named or said or of_user)


def _as_it_is(stored: Values, file: CFFile, header: Header, by_cf: Callable[[Values], Values]) -> Values:
    if (stored > IMPOSSIBLE).any() or (stored < -IMPOSSIBLE).any():  # infinite, netCDF's default, or an error
        return by_cf(stored)
    values = stored.astype(np.float32, copy=False)
    if header.to_rain_rate.quantity is not Quantity.REFLECTIVITY:
        np.maximum(values, 0, out=values)
    return _kept(file, header, values)
