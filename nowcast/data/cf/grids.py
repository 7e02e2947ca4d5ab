"""The grid of a CF field: cell centres in metres or degrees, row 0 north, and the projection."""

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.frame import Grid, check_shape
from nowcast.data.cf.axes import Axis
from nowcast.data.cf.file import CFFile, Variable, attribute, lookup, numbers
from nowcast.units import conversion

SPACING = 0.02  # share by which steps of an axis may differ: coordinates are often single precision
SMALLEST_CELL = 10.0  # m: below it, and without a unit, they are no metres
FIGURE = (
    "crs_wkt", "earth_radius", "semi_major_axis", "reference_ellipsoid_name", "horizontal_datum_name",
    "geographic_crs_name", "inverse_flattening", "semi_minor_axis",
)  # attributes that give the figure of the earth  # fmt: skip
TEXTS = ("spatial_ref", "proj4", "proj4text", "proj4_params", "proj4_string")  # of projections beside CF's


def grid_of(file: CFFile, field: Variable, y: Axis, x: Axis) -> tuple[Grid, bool, bool]:
    """The grid with the first row north, and whether rows and columns have to be turned for that.

    Raises:
        DataFormatError: An axis has no coordinate, is not equally spaced, or its unit cannot be told.
    """
    check_shape(file.path, y.size, x.size)
    (rows, y_degrees), (columns, x_degrees) = _centres(file, field, y), _centres(file, field, x)
    if y_degrees != x_degrees:
        raise file.refuse(
            f"one of {y.name} and {x.name} is in degrees, the other is not",
            "coordinate_units=m",
            "if both are in metres",
        )
    crs = _projection_of(file, field)
    rotated = any(attribute(axis.coordinate, "standard_name").startswith("grid_") for axis in (y, x))
    if not crs and rotated:
        raise file.refuse(
            f"{y.name} and {x.name} are on a rotated pole, and {field.name} has no grid_mapping to say which"
        )
    if not crs and y_degrees:
        crs = "EPSG:4326"
    if crs and y_degrees != _is_geographic(crs):
        unit = "degrees" if y_degrees else "metres"
        raise file.refuse(f"{y.name} and {x.name} are in {unit}, the grid_mapping of {field.name} is of another kind")
    if y_degrees:
        columns = _longitudes(columns)
        if np.abs(rows).max() > 90.01:
            raise file.refuse(f"{y.name} reaches {rows[np.abs(rows).argmax()]:g} degrees north")
    for axis, values in ((y, rows), (x, columns)):
        steps = np.diff(values)
        if not (steps[0] != 0 and np.allclose(steps, steps.mean(), rtol=SPACING, atol=0)):
            raise file.refuse(f"coordinate {axis.name} is not equally spaced: {_steps(steps)}")
    flip_y, flip_x = bool(rows[-1] > rows[0]), bool(columns[-1] < columns[0])
    return Grid(columns[::-1] if flip_x else columns, rows[::-1] if flip_y else rows, crs), flip_y, flip_x


def _steps(steps: NDArray[np.float64]) -> str:
    return f"its steps are {steps.min():.6g} to {steps.max():.6g}"


def _longitudes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without the jump at 180 or 360 degrees, their middle from -180 to 180: 358 and -2 are one place."""
    smooth = np.unwrap(values, period=360.0)
    return np.asarray(smooth - 360.0 * np.floor((round(float(smooth.mean()), 6) + 180.0) / 360.0))


def _centres(file: CFFile, field: Variable, axis: Axis) -> tuple[NDArray[np.float64], bool]:
    """Cell centres along an axis in metres or degrees, and whether they are degrees."""
    variable = axis.coordinate
    if variable is None or variable.ndim != 1:
        raise file.refuse(
            f"axis {axis.name} of {field.name} has no one-dimensional coordinate {axis.name}({axis.name}); curvilinear "
            "grids must be regridded"
        )
    values = numbers(file, variable)
    if not np.isfinite(values).all():
        raise file.refuse(f"coordinate {variable.name} is not equally spaced: a value is missing")
    units = file.settings.coordinate_units or attribute(variable, "units")
    standard = attribute(variable, "standard_name")
    angular = standard in ("latitude", "longitude", "grid_latitude", "grid_longitude")
    if not units:
        return _without_unit(file, variable, values, standard if angular else "")
    degrees = None if units.lower().startswith("rad") else conversion(units, "degree")
    metres = conversion(units, "m")
    if degrees is not None:
        return values * degrees, True
    if metres is not None and not angular:
        return values * metres, False
    raise file.refuse(
        f"coordinate {variable.name} ({standard or 'no standard_name'}) has unit {units!r}, expected m, km or degrees",
        "coordinate_units=m",
        "if it is in metres",
    )


def _without_unit(
    file: CFFile, variable: Variable, values: NDArray[np.float64], standard: str
) -> tuple[NDArray[np.float64], bool]:
    if variable.name.lower() in ("lat", "latitude", "lon", "longitude"):
        standard = standard or variable.name
    if standard:
        file.assume(f"coordinate {variable.name} has no unit: degrees, as it is called {standard}")
        return values, True
    if np.abs(np.diff(values)).min() < SMALLEST_CELL:
        raise file.refuse(
            f"coordinate {variable.name} has no unit, and its values {values[0]:g}, {values[1]:g}, … are hardly metres",
            "coordinate_units=degrees",
            "if they are degrees (or km)",
        )
    file.assume(f"coordinate {variable.name} has no unit: metres")
    return values, False


def _projection_of(file: CFFile, field: Variable) -> str:
    """What pyproj understands of a field's grid mapping; "" when the field names none."""
    name = attribute(field, "grid_mapping").split(":")[0].strip()
    mapping = lookup(field, name) if name else None
    proj = attribute(file.dataset, "projection")
    if "+proj=" in proj and (mapping is None or not any(key in FIGURE for key in mapping.ncattrs())):
        return _from_text(file, "projection", proj)  # as pysteps writes it, beside a mapping without the earth's figure
    if mapping is None:
        if name:
            file.assume(f"{field.name} names a grid_mapping {name}, which is not there")
        return ""
    attributes = {key: np.asarray(mapping.getncattr(key)).tolist() for key in mapping.ncattrs()}
    if "nowcast_crs" in attributes:  # "" where the archive does not know it
        text = str(attributes["nowcast_crs"])
        return text and _from_text(file, f"{mapping.name}.nowcast_crs", text, as_it_is=True)
    if "grid_mapping_name" in attributes or "crs_wkt" in attributes:
        if not any(key in FIGURE for key in attributes):
            file.assume(f"grid mapping {mapping.name} does not give the figure of the earth: WGS 84")
        try:
            return _from_cf(json.dumps(attributes))
        except (pyproj.exceptions.CRSError, KeyError, ValueError, TypeError) as error:
            raise file.refuse(f"grid mapping {mapping.name} is not understood: {error}") from error
    for key in TEXTS:
        if key in attributes:
            return _from_text(file, f"{mapping.name}.{key}", str(attributes[key]))
    file.assume(f"grid mapping {mapping.name} has no grid_mapping_name: not used")
    return ""


def _from_text(file: CFFile, name: str, text: str, as_it_is: bool = False) -> str:
    try:
        crs = pyproj.CRS.from_user_input(text)
        return text if as_it_is else _in_metres(crs)
    except pyproj.exceptions.CRSError as error:
        raise file.refuse(f"projection {name} = {text!r} is not understood: {error}") from error


@lru_cache(maxsize=16)
def _from_cf(attributes: str) -> str:
    """WKT of CF grid mapping attributes, given as JSON; pyproj searches its database for 0.2 s each time."""
    loaded: dict[str, Any] = json.loads(attributes)
    return _in_metres(pyproj.CRS.from_cf(loaded))


def _in_metres(crs: pyproj.CRS) -> str:
    """WKT of a projection that counts in metres, as our grids do."""
    if not crs.is_projected or crs.axis_info[0].unit_conversion_factor == 1:
        return str(crs.to_wkt())
    parts = crs.to_json_dict()
    parts.pop("id", None)
    for axis in parts["coordinate_system"]["axis"]:
        axis["unit"] = "metre"
    return str(pyproj.CRS.from_json_dict(parts).to_wkt())


@lru_cache(maxsize=16)
def _is_geographic(crs: str) -> bool:
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)
