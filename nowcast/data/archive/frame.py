"""What every reader of a radar format returns: one field, its time, unit, grid and packing."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.units import ZR, Quantity, amount_to_rate

MAX_CELLS = 100_000_000  # cells of one field: three times the largest composite known (MRMS, 24.5 million)


MAX_FILE_CELLS = 1_000_000_000  # cells of all fields of one file that is read at once: a day of a national composite
MAX_TIMES = 5_000_000  # times of one archive: 45 years at 5 minutes


class DataFormatError(ValueError):
    """A file is not what its reader expects; the message names the file and what is wrong."""

    def __init__(self, path: Path | str, problem: str) -> None:
        """Compose the message from the file and the problem."""
        super().__init__(path, problem)
        self.path = Path(path)
        self.problem = problem

    def __str__(self) -> str:
        """The file first, so that it is found among thousands."""
        return f"{self.args[0]}: {self.problem}"  # as it was given: a Path makes one slash of the two of an address


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid. Row 0 is the northern edge: y falls, x rises.

    Args:
        x: (nx,) cell centres along a row, in the unit of the projection (metre, or degree east).
        y: (ny,) cell centres along a column, falling (metre, or degree north).
        crs: PROJ string, "EPSG:…" or WKT that pyproj understands; "" when the file does not say.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    crs: str

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return len(self.y), len(self.x)

    def same_as(self, other: "Grid") -> bool:
        """Whether two grids have the same shape and the same cell centres on Earth (to 1 % of a cell).

        Projections are compared by where they put the corners: a provider's WKT and "EPSG:3035" may be one.
        """
        if self.shape != other.shape:
            return False
        tolerance = 0.01 * max(abs(self.x[1] - self.x[0]) if len(self.x) > 1 else 1.0, 1e-9)
        pairs = ((self.x, other.x), (self.y, other.y))
        if not all(np.allclose(one, another, rtol=0, atol=tolerance) for one, another in pairs):
            return False
        if self.crs == other.crs or not (self.crs and other.crs):
            return self.crs == other.crs
        x, y = (axis.ravel() for axis in np.meshgrid(self.x[[0, -1]], self.y[[0, -1]]))
        moved = _between(self.crs, other.crs).transform(x, y)
        return bool(np.allclose((x, y), moved, rtol=0, atol=tolerance))


@functools.lru_cache(maxsize=64)
def _between(one: str, other: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(one, other, always_xy=True)


def regular_grid(left: float, top: float, cell: tuple[float, float], shape: tuple[int, int], crs: str) -> Grid:
    """The grid of cells below and right of an outer corner.

    Args:
        left: x of the western edge.
        top: y of the northern edge.
        cell: (height, width) of a cell, both positive.
        shape: (ny, nx).
        crs: See Grid.
    """
    rows: NDArray[np.float64] = np.arange(shape[0], dtype=np.float64) + 0.5
    columns: NDArray[np.float64] = np.arange(shape[1], dtype=np.float64) + 0.5
    return Grid(x=np.asarray(left + columns * cell[1]), y=np.asarray(top - rows * cell[0]), crs=crs)


def check_shape(path: Path | str, rows: int, columns: int) -> tuple[int, int]:
    """The shape that a file declares, refused before anything is allocated when it cannot be a radar field.

    Raises:
        DataFormatError: Not between 2×2 and MAX_CELLS cells.
    """
    if rows < 2 or columns < 2 or rows * columns > MAX_CELLS:
        raise DataFormatError(path, f"declares {rows} x {columns} cells; a field has 2 x 2 to {MAX_CELLS:,} cells")
    return rows, columns


def check_size(path: Path | str, name: str, size: int, most: int) -> None:
    """Refuse a number of values that a file declares, before anything is allocated for them.

    Raises:
        DataFormatError: There are more than `most`.
    """
    if size > most:
        raise DataFormatError(path, f"{name} declares {size:,} values; at most {most:,} are read")


@dataclass(frozen=True)
class Packing:
    """How to store values as 16-bit integers without losing the provider's quantisation.

    value = stored·scale + offset, stored in 0…65534; 65535 is no data.
    """

    scale: float
    offset: float


@dataclass(frozen=True)
class ToRainRate:
    """How stored physical values of an archive become rain rate in mm h-1.

    Args:
        quantity: What is stored.
        period: Seconds over which an amount fell; None unless `quantity` is an amount.
        no_echo: dBZ at or below which the rain rate is exactly 0; None unless reflectivity.
        zr: Z-R relation; None unless reflectivity.
    """

    quantity: Quantity
    period: float | None
    no_echo: float | None
    zr: ZR | None

    def __post_init__(self) -> None:
        """Refuse a quantity that lacks what its conversion needs."""
        if self.quantity is Quantity.RAIN_AMOUNT and self.period is None:
            raise ValueError("a rain amount needs its accumulation period to become a rate")
        if self.quantity is Quantity.REFLECTIVITY and (self.zr is None or self.no_echo is None):
            raise ValueError("reflectivity needs a Z-R relation and its no-echo value to become a rain rate")

    def __call__(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Rain rate in mm h-1, NaN where `values` is NaN."""
        if self.quantity is Quantity.RAIN_RATE:
            return values
        if self.period is not None:
            return amount_to_rate(values, self.period)
        assert self.zr is not None  # __post_init__ saw to it
        assert self.no_echo is not None
        return np.where(values <= self.no_echo, values.dtype.type(0), self.zr.rain_rate(values))


@dataclass(frozen=True, eq=False)
class Frame:
    """One radar field.

    Args:
        time: UTC, datetime64[s]. For an amount: the END of the accumulation period.
        quantity: What is measured; `values` are in its canonical unit (mm h-1, mm or dBZ).
        values: (ny, nx) float32; NaN = no data (outside coverage, missing). "No rain" is 0 for rates
            and amounts, and `no_echo` dBZ for reflectivity.
        grid: Where; row 0 is north.
        packing: Quantisation of the provider, None when values are genuinely floating-point.
        period: Accumulation period in seconds of an amount, None for rate and reflectivity.
        no_echo: dBZ at or below which there is no rain (exactly 0 mm h-1), None unless reflectivity.
        zr: Z-R relation to turn reflectivity into rain rate, None unless reflectivity.
        assumptions: What the file does not say and the reader took for granted, one sentence each; `prepare` prints
            them and writes them into the archive's history.
    """

    time: np.datetime64
    quantity: Quantity
    values: NDArray[np.float32]
    grid: Grid
    packing: Packing | None = None
    period: float | None = None
    no_echo: float | None = None
    zr: ZR | None = None
    assumptions: tuple[str, ...] = ()


class Reader(Protocol):
    """A radar format: a frozen dataclass whose fields are the keys of configs/source/<name>.yaml."""

    pattern: str  # glob of the file names that belong to the format
    provider: str  # who made the data, for the archive's attributes
    licence: str  # the terms as far as they are known

    def read(self, path: Path) -> list[Frame]:
        """All frames of one file, in time order.

        Raises:
            DataFormatError: The file is truncated, foreign, or holds something this reader cannot interpret.
            FileNotFoundError: There is no such file.
        """
        ...
