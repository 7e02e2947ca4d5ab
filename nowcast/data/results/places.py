"""Whether two grids are one place on earth."""

from functools import lru_cache

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.frame import Grid

SAME_PLACE = 0.1  # of a cell


@lru_cache(maxsize=10_000)
def difference_of_place(theirs: Grid, wanted: Grid) -> str:
    """What keeps a forecast's cells from being those that are wanted, in words; "" if nothing does.

    Where both name a projection, corners and middle of the grids are compared on the earth; else only their coordinates
    can be (`unplaced` says so).
    """
    if theirs.shape != wanted.shape or not (theirs.crs and wanted.crs) or theirs.crs == wanted.crs:
        return _difference_of_coordinates(theirs, wanted)
    theirs_at, wanted_at = _landmarks(theirs), _landmarks(wanted)
    if not np.isfinite(theirs_at + wanted_at).all():
        return f"cells from {_place(theirs_at)} cannot be compared with the windows', from {_place(wanted_at)}"
    earth = pyproj.Geod(ellps="WGS84")
    _, _, apart = earth.inv(*theirs_at, *wanted_at)
    (longitudes, latitudes) = wanted_at
    _, _, cell = earth.inv(longitudes[0], latitudes[0], longitudes[-1], latitudes[-1])
    if max(apart[:-1]) <= SAME_PLACE * cell:
        return ""
    return (
        f"its cells lie from {_place(theirs_at)}, the windows' from {_place(wanted_at)}: up to "
        f"{max(apart[:-1]) / 1000:.3g} km apart"
    )


def unplaced(theirs: Grid, wanted: Grid) -> str:
    """Who does not name a projection, so that two grids were compared by their coordinates alone; "" if both do."""
    names = [name for name, grid in (("the forecast", theirs), ("the archive of the windows", wanted)) if not grid.crs]
    return " and ".join(names)


def _difference_of_coordinates(theirs: Grid, wanted: Grid) -> str:
    for kind, ours, other in (("y", wanted.y, theirs.y), ("x", wanted.x, theirs.x)):
        tolerance = SAME_PLACE * abs(ours[1] - ours[0])
        if len(ours) != len(other) or not np.allclose(ours, other, rtol=0, atol=tolerance):
            return (
                f"{kind} has {len(other)} cells from {other[0]:g} to {other[-1]:g}, the windows have {len(ours)} from "
                f"{ours[0]:g} to {ours[-1]:g}"
            )
    return ""


def _landmarks(grid: Grid) -> tuple[list[float], list[float]]:
    """Longitudes and latitudes of the corner cells, of the middle, and of the neighbour of the first corner."""
    (last_y, last_x), (y, x) = (len(grid.y) - 1, len(grid.x) - 1), (grid.y, grid.x)
    cells = [(0, 0), (0, last_x), (last_y, 0), (last_y, last_x), (last_y // 2, last_x // 2), (1, 0)]
    points: NDArray[np.float64] = np.array([(x[column], y[row]) for row, column in cells])
    longitude, latitude = _to_degrees(grid.crs).transform(points[:, 0], points[:, 1])
    return list(longitude), list(latitude)


@lru_cache(maxsize=16)
def _to_degrees(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(crs), "EPSG:4326", always_xy=True)


def _place(landmarks: tuple[list[float], list[float]]) -> str:
    """The first and the last corner in words: 60.21 N 25.12 E to 59.87 N 25.98 E."""
    longitudes, latitudes = landmarks
    return " to ".join(
        f"{abs(latitudes[k]):.2f} {'N' if latitudes[k] >= 0 else 'S'} "
        f"{abs(longitudes[k]):.2f} {'E' if longitudes[k] >= 0 else 'W'}"
        for k in (0, 3)
    )
