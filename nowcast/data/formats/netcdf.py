"""Anybody's CF netCDF files: unit, missing values, packing, time, grid and projection from their attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import MAX_FILE_CELLS, DataFormatError, Frame, check_shape, check_size
from nowcast.data.archive.probe import open_netcdf
from nowcast.data.cf.axes import Axis, axes_of, find_field, frames_index
from nowcast.data.cf.file import CFFile, SourceSettings, Variable, attribute
from nowcast.data.cf.grids import grid_of
from nowcast.data.cf.times import field_times
from nowcast.data.cf.values import physical
from nowcast.units import ZR, Quantity, parse_unit


@dataclass(frozen=True, kw_only=True)
class NetcdfReader(SourceSettings):
    """Fields of (time, y, x) in any order, or (y, x), on a regular grid; rows are turned so that the first is north.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        no_echo: dBZ at or below which there is no rain, for reflectivity.
        zr_a: Z-R factor, for reflectivity.
        zr_b: Z-R exponent.

    Raises:
        ValueError: A value that cannot be meant.
    """

    pattern: str
    provider: str
    licence: str
    no_echo: float
    zr_a: float
    zr_b: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        ZR(self.zr_a, self.zr_b)

    def read(self, path: Path) -> list[Frame]:
        """All fields of a file.

        Raises:
            DataFormatError: Not netCDF, damaged, or something above cannot be told; the message says which option
                helps.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        with damage(path, "not readable as CF netCDF", "netCDF4"), open_netcdf(path) as dataset:
            return self._frames(CFFile(path, dataset, self, by_config=True))

    def _frames(self, file: CFFile) -> list[Frame]:
        variable = find_field(file)
        quantity, factor = _unit(file, variable)
        axes = axes_of(file, variable)
        along = {axis.kind: axis for axis in axes}
        check_shape(file.path, along["y"].size, along["x"].size)
        index, order = frames_index(file, variable, axes)
        check_size(file.path, variable.name, _cells(axes, index), MAX_FILE_CELLS)
        times = field_times(file, variable, axes, quantity)
        grid, flip_y, flip_x = grid_of(file, variable, along["y"], along["x"])
        if not grid.crs:
            file.assume(f"{variable.name} names no projection (grid_mapping): where on earth it lies is not known")
        stored = np.transpose(variable[index], order)
        stored = stored.reshape(-1, *grid.shape)
        if len(stored) != len(times.ends):
            raise DataFormatError(
                file.path, f"{variable.name} {variable.shape} is not (time, y, x) with {len(times.ends)} times"
            )
        values, packing = physical(file, variable, stored, factor, quantity)
        values = values[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]
        reflectivity = quantity is Quantity.REFLECTIVITY
        return [
            Frame(
                time,
                quantity,
                np.ascontiguousarray(field, dtype=np.float32),
                grid,
                packing,
                times.period,
                self.no_echo if reflectivity else None,
                ZR(self.zr_a, self.zr_b) if reflectivity else None,
                tuple(file.assumptions),
            )
            for time, field in zip(times.ends, values, strict=True)
        ]


def _unit(file: CFFile, variable: Variable) -> tuple[Quantity, float]:
    try:
        return parse_unit(file.settings.units or attribute(variable, "units"))
    except ValueError as error:
        raise file.refuse(
            f"variable {variable.name}: {error}", "units=mm h-1", "if it is a rain rate in mm h-1"
        ) from error


def _cells(axes: Sequence[Axis], index: Sequence[slice | int]) -> int:
    sizes = [axis.size for axis, one in zip(axes, index, strict=True) if isinstance(one, slice)]
    return int(np.prod(sizes, dtype=object))
