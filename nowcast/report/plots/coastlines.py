"""Coastlines, parallels and meridians of a grid, in its own projection."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.files import how_to_install

Numbers = NDArray[np.float64]
COAST, DEGREE = "#303030", "#8c8c8c"
SPACINGS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)  # degrees between lines
POINTS = 200  # of a parallel or meridian
OFF, AUTO = "none", "auto"


@dataclass(frozen=True, eq=False)
class MapLine:
    """A line over a map, in cells: (0, 0) is the centre of the north-western one.

    Args:
        columns: (N,) positions from west to east, NaN = the line is broken.
        rows: (N,) positions from north to south.
        colour: Of the line.
        width: In points.
        label: Text beside it, or "".
        leaves_at: (column, row) where the label stands.
    """

    columns: Numbers
    rows: Numbers
    colour: str
    width: float
    label: str = ""
    leaves_at: tuple[float, float] = (0.0, 0.0)


def map_lines(grid: Grid, coastlines: str) -> tuple[list[MapLine], str]:
    """What to draw over a map, and a sentence on what is missing, or "".

    Args:
        grid: The map's.
        coastlines: auto (by cartopy, where it is installed and has its data), none, or a GeoJSON file of one's own.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: It is no GeoJSON.
    """
    if not grid.crs:
        return [], "no coastlines and degrees: the file does not say its projection"
    if coastlines == OFF:
        return list(degrees(grid)), ""
    if coastlines == AUTO:
        lines, problem = natural_earth()
    else:
        lines, problem = list(geojson(Path(coastlines).expanduser())), ""
    return [*degrees(grid), *coasts(grid, lines)], problem


def natural_earth() -> tuple[list[Numbers], str]:
    """Coasts and borders of the world as (N, 2) degrees east and north; or nothing, and why."""
    try:
        from cartopy.io import shapereader
    except ImportError:
        return [], (f"no coastlines: cartopy is not installed; {how_to_install('maps')}, or give coastlines=<GeoJSON>")
    lines: list[Numbers] = []
    try:
        for category, name in (("physical", "coastline"), ("cultural", "admin_0_boundary_lines_land")):
            path = shapereader.natural_earth("50m", category, name)
            lines += [np.array(part.coords)[:, :2] for shape in shapereader.Reader(path).geometries()
                      for part in getattr(shape, "geoms", [shape])]  # fmt: skip
    except Exception as error:  # whatever a download may end with
        return [], (
            f"no coastlines: cartopy has no map data on this machine and could not download them ({error}); run once "
            "with a network, put Natural Earth's files where CARTOPY_DATA_DIR says, or give coastlines=<GeoJSON>"
        )
    return lines, ""


def geojson(path: Path) -> Iterator[Numbers]:
    """Lines and outlines in a GeoJSON file as (N, 2) degrees.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: It is no GeoJSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file at coastlines={path}; give a GeoJSON file, auto or none")
    try:
        yield from _coordinates(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataFormatError(path, f"no GeoJSON of lines or polygons ({error})") from error


def _coordinates(node: dict[str, Any]) -> Iterator[Numbers]:
    kind = node["type"]
    if kind in ("FeatureCollection", "GeometryCollection"):
        for part in node["features" if kind == "FeatureCollection" else "geometries"]:
            yield from _coordinates(part)
    elif kind == "Feature":
        yield from _coordinates(node["geometry"])
    elif kind in DEPTH:
        parts = node["coordinates"]
        for _ in range(DEPTH[kind]):
            parts = [inner for part in parts for inner in part]
        yield from (np.array(part, dtype=np.float64)[:, :2] for part in (parts if DEPTH[kind] >= 0 else [parts]))


DEPTH = {"LineString": -1, "MultiLineString": 0, "Polygon": 0, "MultiPolygon": 1}  # lists around a list of lines


def coasts(grid: Grid, lines: Iterable[Numbers]) -> Iterator[MapLine]:
    """The lines that cross the map, as one."""
    west, south, east, north = _extent(grid)
    columns: list[Any] = []
    rows: list[Any] = []
    for line in lines:
        x, y = line[:, 0], line[:, 1]
        if x.max() < west or x.min() > east or y.max() < south or y.min() > north:
            continue
        near = (x > west - 2) & (x < east + 2) & (y > south - 2) & (y < north + 2)  # others may have no place here
        there = _cells(grid, np.where(near, x, np.nan), np.where(near, y, np.nan))
        for parts, values in zip((columns, rows), there, strict=True):
            parts += [values, [np.nan]]
    if columns:
        yield MapLine(np.concatenate(columns), np.concatenate(rows), COAST, 0.6)


def degrees(grid: Grid) -> Iterator[MapLine]:
    """Parallels and meridians, three to six each, labelled where they enter the map."""
    west, south, east, north = _extent(grid)
    spacing = next((value for value in SPACINGS if max(east - west, north - south) / value <= 6), SPACINGS[-1])
    for value in np.arange(math.ceil(west / spacing), math.floor(east / spacing) + 1) * spacing:
        line = _cells(grid, np.full(POINTS, value), np.linspace(south, north, POINTS))
        yield from _labelled(grid, line, f"{abs(value):g}°{'E' if value >= 0 else 'W'}", from_south=True)
    for value in np.arange(math.ceil(south / spacing), math.floor(north / spacing) + 1) * spacing:
        line = _cells(grid, np.linspace(west, east, POINTS), np.full(POINTS, value))
        yield from _labelled(grid, line, f"{abs(value):g}°{'N' if value >= 0 else 'S'}", from_south=False)


def _labelled(grid: Grid, line: tuple[Numbers, Numbers], label: str, *, from_south: bool) -> Iterator[MapLine]:
    columns, rows = line
    inside = (columns > 0) & (columns < 0.9 * len(grid.x)) & (rows > 0.1 * len(grid.y)) & (rows < len(grid.y) - 1)
    if inside.sum() > 1:
        end = int(np.flatnonzero(inside)[np.argmax(rows[inside]) if from_south else np.argmin(columns[inside])])
        yield MapLine(columns, rows, DEGREE, 0.4, label, (float(columns[end]), float(rows[end])))


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east and north of a grid's outline in degrees."""
    across, down = np.meshgrid(grid.x, grid.y[[0, -1]]), np.meshgrid(grid.x[[0, -1]], grid.y)
    x, y = (np.concatenate([across[k].ravel(), down[k].ravel()]) for k in (0, 1))
    longitude, latitude = _from_degrees(grid).transform(x, y, direction="INVERSE")
    known = np.isfinite(longitude) & np.isfinite(latitude)
    if not known.any():
        return 0.0, 0.0, 0.0, 0.0
    low, high = longitude[known], latitude[known]
    return float(low.min()), float(high.min()), float(low.max()), float(high.max())


def _from_degrees(grid: Grid) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("OGC:CRS84", grid.crs, always_xy=True)


def _cells(grid: Grid, longitude: Numbers, latitude: Numbers) -> tuple[Numbers, Numbers]:
    """Columns and rows of places."""
    x, y = _from_degrees(grid).transform(longitude, latitude)
    columns = (np.asarray(x) - grid.x[0]) / (grid.x[-1] - grid.x[0]) * (len(grid.x) - 1)
    rows = (np.asarray(y) - grid.y[0]) / (grid.y[-1] - grid.y[0]) * (len(grid.y) - 1)
    outside = ~(np.isfinite(columns) & np.isfinite(rows))
    return np.where(outside, np.nan, columns), np.where(outside, np.nan, rows)
