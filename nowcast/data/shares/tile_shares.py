"""Shares of rain and of data from the tile summaries of an archive, in which every tile weighs as many cells as it has.

Tiles at the lower and right edge of a grid are smaller than TILE×TILE: a mean over tiles would weigh them like others.
"""

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import TILE, Archive

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]  # rainy and valid cells


def tile_sides(cells: int) -> NDArray[np.int64]:
    """(tiles,) cells of each tile along an axis of so many cells."""
    edges = np.append(np.arange(0, cells, TILE), cells)
    return np.diff(edges)


def cell_counts(archive: Archive) -> Counts:
    """(N, tiles_y, tiles_x) rainy and valid cells of each tile. Counts are whole: the archive stores them as shares."""
    rows, columns = archive.grid.shape
    cells = np.outer(tile_sides(rows), tile_sides(columns))
    valid = np.rint(archive.valid_fraction * cells).astype(np.int64)
    wet = np.rint(archive.rain_fraction * valid).astype(np.int64)
    return wet, valid


def archive_shares(archive: Archive) -> tuple[float, float]:
    """Share of rainy among valid cells, and of cells without data, of all frames; 0 rain where no cell is valid."""
    wet, valid = (int(count.sum()) for count in cell_counts(archive))
    rows, columns = archive.grid.shape
    return wet / max(valid, 1), 1 - valid / (len(archive.times) * rows * columns)


def window_counts(archive: Archive, starts: NDArray[np.int64], length: int, every: int) -> Counts:
    """(windows, tiles_y, tiles_x) rainy and valid cells of each tile, summed over the frames of each window.

    Args:
        archive: The archive.
        starts: (windows,) first frame of each window.
        length: Frames of a window.
        every: Archive frames per time step; those in between do not count.
    """
    totals = []
    for counts in cell_counts(archive):
        running = np.concatenate([np.zeros_like(counts[:1]).repeat(every, axis=0), counts])
        for phase in range(every):
            np.cumsum(running[phase::every], axis=0, out=running[phase::every])
        totals.append(running[starts + length * every] - running[starts])
    return totals[0], totals[1]


def crop_shares(
    counts: Counts, length: int, shape: tuple[int, int], rows: slice, columns: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(windows,) share of rainy among valid cells, and of valid cells, in a crop of each window.

    Of a tile that the crop cuts, as much counts as the crop holds of its cells: that is exact where crops begin and end
    with tiles, and else what the summaries can say.

    Args:
        counts: Of `window_counts`.
        length: Frames of a window.
        shape: (ny, nx) of the grid.
        rows: Rows of the crop.
        columns: Columns of the crop.

    Returns:
        Shares in [0, 1]; 0 rain where no cell is valid.
    """
    weights = [_shares_inside(cells, part) for cells, part in zip(shape, (rows, columns), strict=True)]
    wet, valid = (np.einsum("nij,i,j->n", count, *weights) for count in counts)
    cells = length * (rows.stop - rows.start) * (columns.stop - columns.start)
    return np.divide(wet, valid, where=valid > 0, out=np.zeros_like(wet)), np.minimum(valid / cells, 1.0)


def _shares_inside(cells: int, part: slice) -> NDArray[np.float64]:
    """(tiles,) share of each tile's cells along an axis that lie in a slice of it."""
    sides = tile_sides(cells)
    first = np.arange(len(sides)) * TILE
    inside = np.minimum(first + sides, part.stop) - np.maximum(first, part.start)
    return np.asarray(np.maximum(inside, 0) / sides)
