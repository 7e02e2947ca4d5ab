"""Grids are the same when their cells are, however their projection is written."""

import numpy as np
import pyproj
import pytest

from nowcast.data.archive.frame import Grid
from tests.data.archives import frame, write
from tests.data.modules import module

X, Y = 4.0e6 + np.arange(8) * 1000.0, 3.0e6 - np.arange(6) * 1000.0
LAEA = "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m"
FROM_CF = pyproj.CRS.from_cf(pyproj.CRS("EPSG:3035").to_cf()).to_wkt()


@pytest.mark.parametrize("text", [LAEA, FROM_CF, pyproj.CRS("EPSG:3035").to_wkt()])
def test_one_projection_may_be_written_in_several_ways(text):
    assert Grid(X, Y, "EPSG:3035").same_as(Grid(X, Y, text))
    assert Grid(X, Y, text).same_as(Grid(X, Y, "EPSG:3035"))


@pytest.mark.parametrize("text", ["EPSG:3067", LAEA.replace("+lon_0=10", "+lon_0=10.1"), ""])
def test_the_same_numbers_on_another_projection_are_another_place(text):
    assert not Grid(X, Y, "EPSG:3035").same_as(Grid(X, Y, text))
    assert not Grid(X, Y, text).same_as(Grid(X, Y, "EPSG:3035"))


def test_archives_of_one_place_have_a_map_of_scores(tmp_path):
    for name, text in (("a", "EPSG:3035"), ("b", FROM_CF)):
        write(tmp_path / f"{name}.nc", [frame(5 * k, np.ones((6, 8)), grid=Grid(X, Y, text)) for k in range(8)])
    data = module(tmp_path, crop=None, eval_crop=None)
    data.setup()
    assert data.common_shape("test") == (6, 8)
