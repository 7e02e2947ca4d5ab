"""Charts: what is drawn is where the numbers are."""

import re
import xml.etree.ElementTree as ET

import numpy as np

from nowcast.report.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line, draw

X = np.array([5.0, 10.0, 15.0, 20.0])


def drawn(chart):
    return ET.fromstring(draw(chart))


def circles(root):
    return [(float(c.get("cx")), float(c.get("cy")), c.find("title").text) for c in root.iter("circle")]


def test_points_are_where_their_values_are():
    line = Line("a <model>", X, np.array([0.0, 0.5, 1.0, 0.25]), 0)
    root = drawn(Chart("CSI & more", "x", "y", [line], y_range=(0.0, 1.0), x_range=(0.0, 20.0)))
    points = circles(root)
    assert points[3][0] == WIDTH - RIGHT
    assert points[0][1] == HEIGHT - BOTTOM
    assert points[2][1] == TOP
    assert points[1][0] == LEFT + (WIDTH - LEFT - RIGHT) / 2
    assert points[1][2] == "a <model>, 10: 0.5"
    assert root.get("aria-label") == "CSI & more"


def test_gaps_are_gaps_and_bands_have_holes():
    y = np.array([0.1, np.nan, 0.3, 0.4])
    line = Line("a", X, y, 1, low=y - 0.1, high=np.array([0.2, 0.3, np.nan, 0.5]))
    root = drawn(Chart("t", "x", "y", [line]))
    assert len(circles(root)) == 3
    assert "(0 to 0.2)" in circles(root)[0][2]
    curves = [path for path in root.iter("path") if path.get("stroke") == "#d55e00"]
    assert len(curves) == 2
    assert not re.search("nan", ET.tostring(root, "unicode"))


def test_positions_that_are_undefined_are_left_out():
    line = Line("a", np.array([np.nan, 0.2, 0.3, np.nan]), X / 20, 0)
    text = draw(Chart("t", "x", "y", [line], x_range=(0.0, 1.0), y_range=(0.0, 1.0)))
    assert "nan" not in text
    assert text.count("<circle") == 2


def test_nothing_defined_is_said():
    root = drawn(Chart("t", "x", "y", [Line("a", X, np.full(4, np.nan), 0)]))
    assert "undefined here" in ET.tostring(root, "unicode")


def test_logarithms_have_even_decades():
    line = Line("a", np.array([1.0, 10.0, 100.0]), np.array([0.01, 1.0, 100.0]), 0)
    root = drawn(Chart("t", "x", "y", [line], x_log=True, y_log=True))
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = circles(root)
    assert abs((x1 - x0) - (x2 - x1)) < 0.2
    assert abs((y1 - y0) - (y2 - y1)) < 0.2


def test_whole_numbers_alone_stand_at_the_axis_of_epochs():
    line = Line("a", np.array([1.0, 2.0]), np.array([2593.0, 2618.0]), 0)
    texts = [text.text for text in drawn(Chart("t", "x", "y", [line], x_whole=True, y_zero=False)).iter("text")]
    assert [text for text in texts if text in ("1", "1.2", "1.5", "2")] == ["1", "2"]
    assert "0" not in texts


def test_constant_and_zero_values_have_an_axis():
    for value in (0.0, 3.0, -2.0):
        text = draw(Chart("t", "x", "y", [Line("a", X, np.full(4, value), 0)]))
        assert "nan" not in text
        assert text.count("<circle") == 4
