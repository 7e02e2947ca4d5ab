"""The grid of an ODIM_H5 composite."""

import re

import numpy as np
import pyproj

from nowcast.data.archive.frame import DataFormatError, Grid, regular_grid
from nowcast.data.formats.containers.hdf5 import Hdf5File

CELL_TOLERANCE = 0.05  # by which a cell in degrees may differ from the corners' distance by the number of cells


def read_grid(file: Hdf5File, group: str, shape: tuple[int, int]) -> Grid:
    """The grid from projection, upper left corner and cell size, which may stand at the data, its dataset or the root.

    Args:
        file: The file.
        group: The data group.
        shape: (ny, nx) of the data.

    Raises:
        DataFormatError: Something is missing, contradicts the data, or makes no grid.
    """
    for name, size in (("ysize", shape[0]), ("xsize", shape[1])):
        place = file.place(group, "where", name)
        if file.has(place, name) and file.number(place, name) != size:
            raise DataFormatError(
                file.path,
                f"{place}/{name} is {file.number(place, name):g}, but {group}/data is {shape[0]} x {shape[1]}",
            )
    text = file.text(file.place(group, "where", "projdef"), "projdef")
    try:
        crs = pyproj.CRS.from_user_input(text)
        if crs.is_projected and crs.axis_info[0].unit_conversion_factor != 1:  # ODIM counts in metres all the same
            text = re.sub(r"\+(units|to_meter)=\S+", "", text)
        project = pyproj.Proj(text)
    except pyproj.exceptions.ProjError as error:
        raise DataFormatError(file.path, f"projection {text!r} is not understood") from error

    def where(name: str) -> float:
        return file.number(file.place(group, "where", name), name)

    longitude, latitude, width, height = where("UL_lon"), where("UL_lat"), where("xscale"), where("yscale")
    if crs.is_geographic:
        left, top = longitude, latitude
        width, height = _degrees(file, shape, (longitude, latitude), (where("LR_lon"), where("LR_lat")), width, height)
    else:
        left, top = (round(value, 3) for value in project(longitude, latitude))
    reach = 4e7 if crs.is_projected else 360.0  # metres round the earth, or degrees
    if not (0 < width * shape[1] <= reach and 0 < height * shape[0] <= reach and np.isfinite([left, top]).all()):
        raise DataFormatError(file.path, f"cells of {width} x {height} at {left}, {top} make no grid")
    return regular_grid(left, top, (height, width), shape, text)


def _degrees(
    file: Hdf5File,
    shape: tuple[int, int],
    upper_left: tuple[float, float],
    lower_right: tuple[float, float],
    width: float,
    height: float,
) -> tuple[float, float]:
    """(width, height) of cells of longitude and latitude in degrees: of the file, which some write in metres."""
    across = (lower_right[0] - upper_left[0]) / shape[1], (upper_left[1] - lower_right[1]) / shape[0]
    in_degrees = all(
        abs(said - found) <= CELL_TOLERANCE * abs(found) for said, found in zip((width, height), across, strict=True)
    )
    in_metres = width > 1 and height > 1 and min(across) > 0 and 0.9 < height / (across[1] * 111_195) < 1.1
    if not (in_degrees or in_metres):
        raise DataFormatError(
            file.path, f"cells of {width:g} x {height:g} do not fit corners {across[0]:g} x {across[1]:g} degrees apart"
        )
    return (width, height) if in_degrees else across
