"""DWD RADOLAN binary composites."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError, Frame, Grid, Packing, check_shape, regular_grid
from nowcast.data.formats.containers.unpack import read_unpacked
from nowcast.units import ZR, Quantity

CRS = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +R=6370040 +units=m +no_defs"
CENTRE = (9.0, 51.0)  # longitude, latitude from which DWD counts rows and columns of every grid
# (rows, columns) → cells from the south-western corner to the centre (columns, rows).
CORNERS = {(900, 900): (450, 450), (1100, 900): (370, 550), (1200, 1100): (470, 600), (1500, 1400): (600, 800)}
VALUE, NO_DATA, NEGATIVE, CLUTTER = 0x0FFF, 0x2000, 0x4000, 0x8000  # bits of a two-byte cell
BYTE_PRODUCTS = ("RX", "WX", "EX")  # one byte a cell: dBZ = v/2 - 32.5
BYTE_GAIN, BYTE_OFFSET, BYTE_CLUTTER, BYTE_NO_DATA = 0.5, -32.5, 249, 250
MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class RadolanReader:
    """RY, YW, RW and the other two-byte composites (mm per interval), and RX (reflectivity).

    Two bytes, little endian, hold 12 bits of value and flags: 0x1000 from another source (kept), 0x2000 no data,
    0x4000 negative, 0x8000 clutter (no data). The precision (E-01, E-02) and the interval in minutes stand in the
    header. Rows run from south to north. Time is the header's, the end of the interval.

    Args:
        pattern: Glob of file names.
        provider: For the archive.
        licence: For the archive.
        zr_a: Z-R factor for RX.
        zr_b: Z-R exponent for RX.

    Source: DWD, RADOLAN/RADVOR composite format description (header tokens, flag bits, polar stereographic grid).
    """

    pattern: str
    provider: str
    licence: str
    zr_a: float
    zr_b: float

    def read(self, path: Path) -> list[Frame]:
        """The one field of a file, plain, gzip or bzip2.

        Raises:
            DataFormatError: Not such a file.
        """
        content = read_unpacked(path, MAX_BYTES)
        end = content.find(b"\x03", 0, 2000)
        if end < 0:
            raise DataFormatError(path, "no header that ends with ETX")
        header = content[:end].decode("latin-1")
        time = _time(path, header)
        rows, columns = (
            int(part) for part in _token(path, header, r"GP\s*(\d{2,4})\s*x\s*(\d{2,4})", "GP rows x columns")
        )
        check_shape(path, rows, columns)
        grid = _grid(path, rows, columns)
        cells = content[end + 1 :]
        if header[:2] in BYTE_PRODUCTS:
            stored = _cells(path, cells, "u1", rows, columns)
            values = stored.astype(np.float32) * np.float32(BYTE_GAIN) + np.float32(BYTE_OFFSET)
            values[(stored == BYTE_NO_DATA) | (stored == BYTE_CLUTTER)] = np.nan
            zr = ZR(self.zr_a, self.zr_b)
            packing = Packing(BYTE_GAIN, BYTE_OFFSET)
            return [Frame(time, Quantity.REFLECTIVITY, values, grid, packing, no_echo=BYTE_OFFSET, zr=zr)]
        stored = _cells(path, cells, "<u2", rows, columns)
        precision = 10.0 ** -int(_token(path, header, r"PR\s*E-(\d{2})", "PR E-01")[0])
        minutes = int(_token(path, header, r"INT\s*(\d{1,4})", "INT minutes")[0])
        if minutes < 1:
            raise DataFormatError(path, f"interval of {minutes} minutes")
        values = ((stored & VALUE) * precision).astype(np.float32)
        values[(stored & NEGATIVE) > 0] *= -1
        values[(stored & (NO_DATA | CLUTTER)) > 0] = np.nan
        packing = Packing(precision, 0.0)
        return [Frame(time, Quantity.RAIN_AMOUNT, values, grid, packing, period=minutes * 60.0)]


def _token(path: Path, header: str, pattern: str, what: str) -> tuple[str, ...]:
    match = re.search(pattern, header)
    if match is None:
        raise DataFormatError(path, f"header {header[:80]!r} has no {what}")
    return match.groups()


def _time(path: Path, header: str) -> np.datetime64:
    """Header: product (2), DDHHMM (6), WMO number (5), MMYY (4)."""
    match = re.match(r"[A-Z]{2}(\d{2})(\d{2})(\d{2})\d{5}(\d{2})(\d{2})", header)
    if match is None:
        raise DataFormatError(path, f"header {header[:30]!r} is not like RY210055100001216")
    day, hour, minute, month, year = match.groups()
    try:
        return np.datetime64(f"20{year}-{month}-{day}T{hour}:{minute}:00", "s")
    except ValueError as error:
        raise DataFormatError(path, f"header {header[:30]!r} holds no time") from error


def _cells(path: Path, content: bytes, dtype: str, rows: int, columns: int) -> NDArray[np.unsignedinteger]:
    """(rows, columns) stored values with the first row north."""
    size = rows * columns * np.dtype(dtype).itemsize
    if len(content) != size:
        raise DataFormatError(path, f"{len(content)} bytes after the header, expected {size} for {rows} x {columns}")
    return np.frombuffer(content, dtype=dtype).reshape(rows, columns)[::-1]


def _grid(path: Path, rows: int, columns: int) -> Grid:
    if (rows, columns) not in CORNERS:
        known = ", ".join(f"{r} x {c}" for r, c in CORNERS)
        raise DataFormatError(path, f"grid {rows} x {columns} is none of RADOLAN's: {known}")
    x, y = pyproj.Proj(CRS)(*CENTRE)
    left, below = CORNERS[rows, columns]
    return regular_grid(x - left * 1000, y + (rows - below) * 1000, (1000.0, 1000.0), (rows, columns), CRS)
