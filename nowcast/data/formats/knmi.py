"""KNMI composites (NL25 and relatives): the institute's own HDF5 layout."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj

from nowcast.data.archive.frame import DataFormatError, Frame, Grid, Packing, regular_grid
from nowcast.data.formats.containers.hdf5 import Hdf5File, open_hdf5
from nowcast.units import Quantity

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[Ee][-+]?\d+)?"


@dataclass(frozen=True)
class KnmiReader:
    """Precipitation accumulated over the minutes that the file says; time is the END of the accumulation.

    Stored integers become mm by the file's own calibration formula. The value `calibration_missing_data` (outside
    the radars' range) is no data. Projection parameters are in km in the file and become metres here.
    """

    pattern: str
    provider: str
    licence: str

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not a KNMI composite.
        """
        with open_hdf5(path) as file:
            start = self._time(path, file.text("overview", "product_datetime_start"))
            end = self._time(path, file.text("overview", "product_datetime_end"))
            name = file.text("image1", "image_geo_parameter")
            if "PRECIPITATION" not in name or "MM" not in name:
                raise DataFormatError(path, f"image1 holds {name!r}, expected ACCUMULATED_PRECIPITATION_[MM]")
            period = (end - start).astype("timedelta64[s]").astype(int)
            if period <= 0:
                raise DataFormatError(path, f"accumulation from {start} to {end} has no length")
            scale, offset = self._calibration(path, file)
            missing = file.number("image1/calibration", "calibration_missing_data")
            stored = file.field("image1/image_data")
            if stored.dtype.kind != "u":
                raise DataFormatError(path, f"image1/image_data has type {stored.dtype}, expected unsigned integers")
            grid = self._grid(path, file, (stored.shape[0], stored.shape[1]))
        values = (stored * np.float64(scale) + offset).astype(np.float32)
        values[stored == missing] = np.nan
        return [Frame(end, Quantity.RAIN_AMOUNT, values, grid, Packing(scale, offset), period=float(period))]

    def _time(self, path: Path, stamp: str) -> np.datetime64:
        try:
            return np.datetime64(datetime.strptime(stamp.split(".")[0], "%d-%b-%Y;%H:%M:%S"), "s")
        except ValueError as error:
            raise DataFormatError(path, f"time {stamp!r} is not like 26-AUG-2010;00:00:00.000") from error

    def _calibration(self, path: Path, file: Hdf5File) -> tuple[float, float]:
        formula = file.text("image1/calibration", "calibration_formulas")
        match = re.fullmatch(rf"GEO\s*=\s*({NUMBER})\s*\*\s*PV\s*\+\s*({NUMBER})", formula.strip())
        if match is None:
            raise DataFormatError(path, f"calibration {formula!r} is not like GEO=0.01*PV+0.0")
        scale, offset = float(match[1]), float(match[2])
        if not (0 < scale < np.inf and np.isfinite(offset)):
            raise DataFormatError(path, f"calibration {formula!r} has no positive factor")
        return scale, offset

    def _grid(self, path: Path, file: Hdf5File, shape: tuple[int, int]) -> Grid:
        params = file.text("geographic/map_projection", "projection_proj4_params")
        width = file.number("geographic", "geo_pixel_size_x") * 1000
        height = abs(file.number("geographic", "geo_pixel_size_y")) * 1000
        left = file.number("geographic", "geo_column_offset") * width
        top = -file.number("geographic", "geo_row_offset") * height
        if not (width > 0 and height > 0 and np.isfinite([left, top, width, height]).all()):
            raise DataFormatError(path, f"cells of {width} x {height} m at {left}, {top} make no grid")
        return regular_grid(left, top, (height, width), shape, _metres(path, params))


def _metres(path: Path, params: str) -> str:
    """The projection with ellipsoid axes in metres; KNMI writes them in km."""
    changed = re.sub(
        rf"\+(a|b|R|x_0|y_0)=({NUMBER})", lambda found: f"+{found[1]}={float(found[2]) * 1000:.10g}", params
    )
    crs = f"{changed} +units=m +no_defs"
    try:
        pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise DataFormatError(path, f"projection {params!r} is not understood") from error
    return crs
