"""How large the cells of an archive are, and how many of them make a cell of a chosen size."""

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid

KM_PER_DEGREE = 111.195  # of latitude, on a sphere of radius 6371 km
CELL_TOLERANCE = 0.15  # a cell size may miss cell_km by this share (latitude-longitude cells are not square)


def cell_km(grid: Grid) -> tuple[float, float]:
    """(height, width) of a grid's cells in km; latitude-longitude cells at the middle of the grid."""
    height, width = _spacing(grid.y), _spacing(grid.x)
    if grid.crs and pyproj.CRS.from_user_input(grid.crs).is_geographic:
        middle = np.deg2rad(float(np.mean(grid.y)))
        return height * KM_PER_DEGREE, width * KM_PER_DEGREE * float(np.cos(middle))
    return height / 1000, width / 1000


def _spacing(centres: NDArray[np.float64]) -> float:
    if len(centres) < 2:
        raise ValueError("a grid needs at least two rows and two columns")
    return float(abs(centres[-1] - centres[0]) / (len(centres) - 1))


def averaging_factor(archive: Archive, target_km: float | None, way_out: str = "") -> tuple[int, int]:
    """Cells to average in y and x so that a cell measures about `target_km`; (1, 1) for None.

    Args:
        archive: The archive.
        target_km: Side of the cells that are wanted.
        way_out: What to do where that is impossible; "" = choose another data.windows.cell_km.

    Raises:
        ValueError: No whole number of cells comes within CELL_TOLERANCE.
    """
    if target_km is None:
        return 1, 1
    native = cell_km(archive.grid)
    factors = tuple(max(1, round(target_km / size)) for size in native)
    for factor, size in zip(factors, native, strict=True):
        if abs(factor * size / target_km - 1) > CELL_TOLERANCE:
            raise ValueError(
                f"{archive.path}: cells of {size:.3g} km cannot be averaged to cell_km={target_km:g} "
                f"({factor} cells are {factor * size:.3g} km); "
                f"{way_out or f'choose data.windows.cell_km={size:.3g} or a multiple of it'}"
            )
    return factors[0], factors[1]


def area_average(
    rain_rate: NDArray[np.float32], factor: tuple[int, int], min_valid: float = 0.5
) -> NDArray[np.float32]:
    """Mean rain rate over blocks of cells.

    Args:
        rain_rate: (T, H, W) mm h-1, NaN = no data; H and W are multiples of the factors.
        factor: Cells per block in y and x.
        min_valid: Share of valid cells below which a block is no data, not the mean of a few cells.

    Returns:
        (T, H/fy, W/fx) mm h-1: mean of the valid cells of each block.
    """
    if factor == (1, 1):
        return rain_rate
    frames, rows, columns = rain_rate.shape
    blocks = rain_rate.reshape(frames, rows // factor[0], factor[0], columns // factor[1], factor[1])
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(2, 4))
    total = np.where(valid, blocks, 0).sum(axis=(2, 4), dtype=np.float32)
    enough = count >= min_valid * factor[0] * factor[1]
    mean = np.full(total.shape, np.nan, dtype=np.float32)
    np.divide(total, count, where=enough, out=mean)
    return mean
