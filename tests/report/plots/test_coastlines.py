"""Coastlines and degrees: where they are, and what is said when they are missing."""

import json
import sys

import numpy as np
import pyproj
import pytest

from nowcast.data.archive.frame import DataFormatError, Grid
from nowcast.report.plots.coastlines import degrees, map_lines

LATLON = Grid(x=4.5 + np.arange(8.0), y=54.5 - np.arange(6.0), crs="EPSG:4326")  # 4-12° E, 49-55° N
POLAR = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=0 +a=6378137 +b=6356752 +x_0=0 +y_0=0"


def coast(tmp_path, coordinates, kind="LineString"):
    path = tmp_path / "coast.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return str(path)


@pytest.mark.parametrize(
    ("kind", "nest"),
    [("LineString", 0), ("MultiLineString", 1), ("Polygon", 1), ("MultiPolygon", 2)],
)
def test_a_coast_of_ones_own_lies_where_it_should(tmp_path, kind, nest):
    coordinates = [[4.5, 54.5], [11.5, 49.5], [6.5, 50.5]]
    for _ in range(nest):
        coordinates = [coordinates]
    lines, problem = map_lines(LATLON, coast(tmp_path, coordinates, kind))
    assert problem == ""
    drawn = next(line for line in lines if line.label == "")
    kept = np.isfinite(drawn.columns)
    np.testing.assert_allclose(drawn.columns[kept], [0, 7, 2], atol=1e-9)
    np.testing.assert_allclose(drawn.rows[kept], [0, 5, 4], atol=1e-9)


def test_a_coast_far_away_is_left_out(tmp_path):
    lines, _ = map_lines(LATLON, coast(tmp_path, [[100.0, 0.0], [101.0, 1.0]]))
    assert all(line.label for line in lines)


def test_degrees_of_a_projection_are_where_pyproj_puts_them():
    grid = Grid(x=np.linspace(0, 700e3, 71), y=np.linspace(-3650e3, -4415e3, 77), crs=POLAR)
    lines = list(degrees(grid))
    assert {line.label for line in lines} >= {"2°E", "4°E", "50°N", "52°N"}
    meridian = next(line for line in lines if line.label == "4°E")
    project = pyproj.Proj(POLAR)
    x, y = grid.x[0] + meridian.columns * 10e3, grid.y[0] - meridian.rows * (765e3 / 76)
    longitude, _ = project(x, y, inverse=True)
    np.testing.assert_allclose(longitude, 4.0, atol=1e-3)
    for line in lines:
        column, row = line.leaves_at
        assert 0 < column < 71
        assert 0 < row < 77


def test_without_cartopy_and_projection_the_picture_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cartopy", None)
    monkeypatch.setitem(sys.modules, "cartopy.io", None)
    lines, problem = map_lines(LATLON, "auto")
    assert "cartopy is not installed; in the checkout: pip install -c constraints.txt -e '.[maps]'" in problem
    assert lines  # degrees need nothing
    assert map_lines(LATLON, "none")[1] == ""
    nothing, problem = map_lines(Grid(LATLON.x, LATLON.y, ""), "auto")
    assert (nothing, problem) == ([], "no coastlines and degrees: the file does not say its projection")


def test_without_a_network_the_picture_says_so(monkeypatch):
    import types

    def offline(*_):
        raise OSError("Name or service not known")

    package = types.ModuleType("cartopy.io")
    package.shapereader = types.SimpleNamespace(natural_earth=offline)
    monkeypatch.setitem(sys.modules, "cartopy", types.ModuleType("cartopy"))
    monkeypatch.setitem(sys.modules, "cartopy.io", package)
    lines, problem = map_lines(LATLON, "auto")
    assert lines
    assert "could not download them (Name or service not known)" in problem
    assert "coastlines=<GeoJSON>" in problem


def test_a_wrong_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file at coastlines=.*no\.json"):
        map_lines(LATLON, str(tmp_path / "no.json"))
    (tmp_path / "bad.json").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(DataFormatError, match=r"no GeoJSON of lines or polygons"):
        map_lines(LATLON, str(tmp_path / "bad.json"))
