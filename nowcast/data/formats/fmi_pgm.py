"""FMI composites as gzipped PGM pictures."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj

from nowcast.data.archive.frame import MAX_CELLS, DataFormatError, Frame, Grid, Packing, check_shape, regular_grid
from nowcast.data.formats.containers.unpack import read_unpacked
from nowcast.units import ZR, Quantity

GAIN, OFFSET = 0.5, -32.0  # dBZ = v/2 - 32
NO_DATA, NO_ECHO = 255, 0  # stored values
NUMBER = r"([-+]?\d{1,8}(?:\.\d{0,10})?)"


@dataclass(frozen=True)
class FmiPgmReader:
    """8-bit reflectivity, dBZ = v/2 - 32; 255 is no data, 0 is no echo (never -32 dBZ through the Z-R relation).

    Projection, corners and time stand in the comments of the PGM header.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        zr_a: Z-R factor.
        zr_b: Z-R exponent.
    """

    pattern: str
    provider: str
    licence: str
    zr_a: float
    zr_b: float

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file.

        Raises:
            DataFormatError: Not such a picture.
        """
        content = read_unpacked(path, MAX_CELLS)
        header, stored = _parse(path, content)
        time = _field(path, header, "obstime", r"(\d{12})")[0]
        try:
            stamp = np.datetime64(f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[8:10]}:{time[10:]}:00", "s")
        except ValueError as error:
            raise DataFormatError(path, f"obstime {time!r} is no time") from error
        values = (stored.astype(np.float32) * np.float32(GAIN) + np.float32(OFFSET)).astype(np.float32)
        values[stored == NO_DATA] = np.nan
        grid = _grid(path, header, stored.shape)
        return [
            Frame(
                stamp,
                Quantity.REFLECTIVITY,
                values,
                grid,
                Packing(GAIN, OFFSET),
                no_echo=NO_ECHO * GAIN + OFFSET,
                zr=ZR(self.zr_a, self.zr_b),
            )
        ]


def _parse(path: Path, content: bytes) -> tuple[str, np.ndarray]:
    match = re.match(rb"P5\s((?:#[^\n]*\n|\s)*)(\d{1,6})\s+(\d{1,6})\s+(\d{1,5})\s", content)
    if match is None:
        raise DataFormatError(path, "no PGM header (P5, comments, width, height, 255)")
    columns, rows, largest = int(match[2]), int(match[3]), int(match[4])
    if largest != 255:
        raise DataFormatError(path, f"largest value {largest}, expected 255 (8 bits)")
    check_shape(path, rows, columns)
    pixels = content[match.end() :]
    if len(pixels) < rows * columns:
        raise DataFormatError(path, f"truncated: {len(pixels)} of {rows * columns} pixels")
    stored = np.frombuffer(pixels, dtype=np.uint8, count=rows * columns).reshape(rows, columns)
    return match[1].decode("latin-1"), stored


def _field(path: Path, header: str, name: str, pattern: str) -> tuple[str, ...]:
    match = re.search(rf"^#\s*{name}\s+{pattern}\s*$", header, re.MULTILINE)
    if match is None:
        raise DataFormatError(path, f"no '# {name} …' in the header's comments")
    return match.groups()


def _grid(path: Path, header: str, shape: tuple[int, ...]) -> Grid:
    if _field(path, header, "type", r"(\w+)")[0] != "stereographic":
        raise DataFormatError(path, "projection type is not stereographic")
    longitude = _field(path, header, "centrallongitude", NUMBER)[0]
    latitude = _field(path, header, "centrallatitude", NUMBER)[0]
    true_latitude = _field(path, header, "truelatitude", NUMBER)[0]
    crs = f"+proj=stere +lon_0={longitude} +lat_0={latitude} +lat_ts={true_latitude} +a=6371288 +units=m +no_defs"
    try:
        project = pyproj.Proj(crs)
        left, bottom = _corner(path, header, project, "bottomleft")
        right, top = _corner(path, header, project, "topright")
    except pyproj.exceptions.ProjError as error:
        raise DataFormatError(path, f"projection {crs!r} fails: {error}") from error
    width, height = (right - left) / shape[1], (top - bottom) / shape[0]
    if not (np.isfinite([left, top, width, height]).all() and width > 0 and height > 0):
        raise DataFormatError(path, f"corners {left}, {bottom} to {right}, {top} make no grid")
    return regular_grid(left, top, (height, width), (shape[0], shape[1]), crs)


def _corner(path: Path, header: str, project: pyproj.Proj, name: str) -> tuple[float, float]:
    longitude, latitude = _field(path, header, name, f"{NUMBER} {NUMBER}")
    x, y = project(float(longitude), float(latitude))
    return float(x), float(y)
