"""Stored values of a CF field as physical ones: packing, and every way to say "no data"."""

from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import Packing
from nowcast.data.cf.file import CFFile, Variable, attribute, has, number_of, numbers_of
from nowcast.units import Quantity

SAME = 1e-6  # relative difference of a missing value and its copy in another floating-point type
IMPOSSIBLE = 1e6  # mm h-1, mm or dBZ: a fill value that no attribute names
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def physical(
    file: CFFile, variable: Variable, stored: NDArray[Any], factor: float, quantity: Quantity
) -> tuple[Values, Packing | None]:
    """Values of a field in the canonical unit of its quantity.

    Args:
        file: The file.
        variable: The field, for its attributes.
        stored: Part of its values, as stored.
        factor: From the file's unit to the canonical one.
        quantity: What they are.

    Returns:
        Values like `stored`, NaN = no data, and the packing that keeps the stored integers; None for wider types, and
        for rain in signed integers with an offset: such packing is made anew for each file, and zero is rarely a step.

    Raises:
        DataFormatError: An attribute is not understood, or whether a value is "no data" cannot be told.
    """
    stored = _sign(variable, stored)
    scale, offset = number_of(file, variable, "scale_factor", 1.0), number_of(file, variable, "add_offset", 0.0)
    unpacked = stored.astype(np.float64) * scale + offset
    missing = (
        ~np.isfinite(unpacked) | _named(file, variable, stored, unpacked) | _outside(file, variable, stored, unpacked)
    )
    if not has(variable, "_FillValue"):
        missing |= _default(file, variable, stored, offset)
    rain = quantity is not Quantity.REFLECTIVITY
    machine_made = rain and stored.dtype.kind == "i" and offset != 0
    if rain and offset != 0 and stored.dtype.kind in "iu":
        unpacked[np.abs(unpacked) < abs(scale) / 2] = 0  # the step that stands for no rain
    values = unpacked * factor
    values[missing] = np.nan
    _check_possible(file, variable, stored, values)
    keep = file.settings.keep_packing and not machine_made
    return values, _packing(stored.dtype, scale * factor, offset * factor, rain) if keep else None


def _sign(variable: Variable, stored: NDArray[Any]) -> NDArray[Any]:
    """Integers with the sign that the attribute `_Unsigned` gives them: netCDF-3 has only signed ones."""
    unsigned = attribute(variable, "_Unsigned").lower()
    if unsigned == "true" and stored.dtype.kind == "i":
        return stored.view(f"{stored.dtype.byteorder}u{stored.dtype.itemsize}")
    if unsigned == "false" and stored.dtype.kind == "u":
        return stored.view(f"{stored.dtype.byteorder}i{stored.dtype.itemsize}")
    return stored


def _named(file: CFFile, variable: Variable, stored: NDArray[Any], unpacked: Values) -> Mask:
    """Where attributes or the config say that a value is no data."""
    missing = np.zeros(stored.shape, dtype=bool)
    for name in ("_FillValue", "missing_value"):
        for value in numbers_of(file, variable, name):
            missing |= _equal(stored, unpacked, value)
    for given in file.settings.missing_values:
        missing |= _equal(stored, unpacked, np.float64(given))
    return missing


def _equal(stored: NDArray[Any], unpacked: Values, value: Any) -> Mask:  # noqa: ANN401 (any number of NumPy's)
    """Where stored values are a named one, whose type may be another than theirs.

    A number that the stored integers cannot hold is meant in the unit of the unpacked ones.
    """
    if stored.dtype.kind == "f":
        target = np.float64(value)
        same: Mask = np.isclose(stored.astype(np.float64), target, rtol=SAME, atol=0.0)
        return same
    if isinstance(value, np.integer) and value.dtype.itemsize == stored.dtype.itemsize:
        value = np.asarray(value).astype(value.dtype.newbyteorder("=")).view(stored.dtype.newbyteorder("="))[()]
    limits = np.iinfo(stored.dtype)
    if float(value).is_integer() and limits.min <= value <= limits.max:
        return np.asarray(stored == int(value))
    return np.isclose(unpacked, np.float64(value), rtol=SAME, atol=0.0)


def _default(file: CFFile, variable: Variable, stored: NDArray[Any], offset: float) -> Mask:
    """Where values are netCDF's default fill value, which means "never written" where no attribute names another.

    Raises:
        DataFormatError: It may as well be the lowest value that was packed: programs that pack use all integers.
    """
    default = netCDF4.default_fillvals.get(variable.dtype.str[1:])
    if default is None or variable.dtype.itemsize == 1 or file.settings.default_fill is False:
        return np.zeros(stored.shape, dtype=bool)
    filled = np.asarray(stored == np.asarray(default).astype(variable.dtype).view(stored.dtype))
    if file.settings.default_fill is None and offset != 0 and stored.dtype.kind == "i" and filled.any():
        lowest = float(default) * number_of(file, variable, "scale_factor", 1.0) + offset
        raise file.refuse(
            f"{variable.name} holds {int(filled.sum())} values {default}: netCDF's default for no data, or the lowest "
            f"value of its packing ({lowest:g}); the file has no _FillValue to tell",
            "default_fill=true",
            "if they are no data (false if they are values)",
        )
    return filled


def _outside(file: CFFile, variable: Variable, stored: NDArray[Any], unpacked: Values) -> Mask:
    """Where values are outside the valid range.

    The range is that of stored values, unless its type is wider than theirs and that of scale_factor or add_offset:
    then it is in the unit of unpacked values. Source: NetCDF Users Guide, appendix A, valid_range.
    """
    low: Any = None
    high: Any = None
    if has(variable, "valid_range"):
        limits = numbers_of(file, variable, "valid_range")
        if len(limits) != 2:
            raise file.refuse(f"valid_range of {variable.name} is {limits}, expected two numbers")
        low, high = limits
    low = next(iter(numbers_of(file, variable, "valid_min")), low)
    high = next(iter(numbers_of(file, variable, "valid_max")), high)
    missing = np.zeros(stored.shape, dtype=bool)
    for limit, below in ((low, True), (high, False)):
        if limit is None:
            continue
        values: NDArray[Any] = stored
        slack = 0.0
        if stored.dtype.kind in "iu" and _is_unpacked(variable, limit):
            file.assume(
                f"the valid range of {variable.name} is in the unit of unpacked values, since its type is theirs"
            )
            values, slack = unpacked, SAME * abs(float(limit))
        elif isinstance(limit, np.integer) and limit.dtype.itemsize == stored.dtype.itemsize:
            limit = np.asarray(limit).view(stored.dtype.newbyteorder("="))[()]
        missing |= values < limit - slack if below else values > limit + slack
    return missing


def _is_unpacked(variable: Variable, limit: Any) -> bool:  # noqa: ANN401
    packing = [np.asarray(variable.getncattr(x)).dtype for x in ("scale_factor", "add_offset") if has(variable, x)]
    kind = np.asarray(limit).dtype
    return kind.kind == "f" and any(one.kind == "f" and one.itemsize >= kind.itemsize for one in packing)


def _check_possible(file: CFFile, variable: Variable, stored: NDArray[Any], values: Values) -> None:
    size = np.abs(values)
    worst = float(np.nanmax(size, initial=0.0, where=np.isfinite(size)))
    if worst > IMPOSSIBLE:
        value = f"{float(stored[size == worst][0]):.9g}"
        raise file.refuse(
            f"{variable.name} holds {value} ({attribute(variable, 'units')}), which is no rain, and no attribute names "
            "it as missing",
            f"missing_values=[{value}]",
            "if it means no data",
        )


def _packing(dtype: np.dtype[Any], scale: float, offset: float, rain: bool) -> Packing | None:
    """Packing that keeps the stored integers, None for wider types, or where no step is zero rain."""
    if dtype.kind not in "ui" or dtype.itemsize > 2 or scale <= 0:
        return None
    if rain and abs(offset / scale - round(offset / scale)) > SAME:
        return None
    if dtype.kind == "i" and not rain:  # negative values are real dBZ
        offset += scale * np.iinfo(dtype).min
    return Packing(scale, offset)
