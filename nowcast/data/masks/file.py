"""A mask as a CF netCDF file on the grid of its archive, written here, or by whoever knows where its clutter is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from nowcast import __version__
from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.data.archive.probe import open_netcdf
from nowcast.data.archive.writer import write_grid
from nowcast.data.cf.axes import axes_of, frames_index
from nowcast.data.cf.file import NOTHING_TOLD, CFFile, Variable, attribute, numbers, variables
from nowcast.data.cf.grids import grid_of
from nowcast.files import written_whole

MASK = "mask"  # name of the variable
COUNTED, CLUTTER, NO_COVERAGE = 0, 1, 2  # its values, in files of ours


def write_mask(path: Path, grid: Grid, cells: NDArray[np.integer[Any]], attributes: Mapping[str, Any]) -> None:
    """Write a mask, whole or not at all.

    Args:
        path: Where to; a file that is there is replaced.
        grid: Of the archive, row 0 north.
        cells: (H, W) COUNTED, CLUTTER or NO_COVERAGE.
        attributes: Of the file: of what it was made, and how.
    """
    with written_whole(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"Conventions": "CF-1.11", "title": "cells to leave out", **attributes})
        dataset.nowcast_version = __version__
        write_grid(dataset, grid)
        variable = dataset.createVariable(MASK, "u1", ("y", "x"), compression="zlib")
        variable.setncatts(
            {
                "long_name": "cells that are left out: all that are not 0",
                "grid_mapping": "crs",
                "flag_values": np.array([COUNTED, CLUTTER, NO_COVERAGE], dtype=np.uint8),
                "flag_meanings": "counted clutter no_coverage",
            }
        )
        variable[:] = cells


def read_mask(path: Path) -> tuple[Grid, NDArray[np.bool_]]:
    """The grid of a mask, and (H, W) the cells that it leaves out, row 0 north: all that are not 0, or have no value.

    The variable is called "mask", or is the only one with rows and columns. Axes, projections and units are those of
    CF, in either direction and order.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: It is no netCDF, holds no such variable or several, or its grid is not understood.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}; `nowcast check data=radar data.archives=[…] statistics=<folder>` makes one"
        )
    with damage(path, "not readable as a mask in CF netCDF", "netCDF4"), open_netcdf(path) as dataset:
        return _read(CFFile(path, dataset, NOTHING_TOLD, by_config=False))


def _read(file: CFFile) -> tuple[Grid, NDArray[np.bool_]]:
    variable = _variable(file)
    axes = axes_of(file, variable)
    along = {axis.kind: axis for axis in axes}
    grid, flip_y, flip_x = grid_of(file, variable, along["y"], along["x"])
    index, order = frames_index(file, variable, axes)
    shape = [size for size in variable.shape if size > 1]
    if len(shape) > 2:
        raise file.refuse(f"{variable.name} has shape {variable.shape}; a mask has one value for each cell, (y, x)")
    values = np.transpose(numbers(file, variable)[index], order).reshape(grid.shape)
    values = values[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return grid, np.ascontiguousarray(values != 0)  # NaN, which is no value, is not 0 either


def _variable(file: CFFile) -> Variable:
    every = variables(file.dataset)
    bounds = {attribute(variable, "bounds") for variable in every.values()}
    found = {
        name: variable
        for name, variable in every.items()
        if name not in bounds and sum(size > 1 for size in variable.shape) >= 2 and variable.dtype != str
    }
    chosen = {name: variable for name, variable in found.items() if name.rpartition("/")[2] == MASK} or found
    if len(chosen) != 1:
        names = ", ".join(chosen) or "none"
        raise DataFormatError(
            file.path,
            f"holds {len(chosen)} variables with rows and columns ({names}): call the one {MASK!r} that is not 0 "
            "where a cell is to be left out",
        )
    return next(iter(chosen.values()))
