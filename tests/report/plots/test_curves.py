"""Curves of scores by lead time."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nowcast.report.plots import svg
from nowcast.report.plots.curves import csi_charts, plot_csi
from tests.report.test_tables import scores_of


def texts(path):
    return [element.text for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_curves_with_gaps(tmp_path):
    models = [scores_of("a"), scores_of("b", hole=True)]
    charts = csi_charts(models)
    assert [chart.title for chart in charts] == ["rain rate ≥ 0.5 mm/h", "rain rate ≥ 5 mm/h"]
    for k, chart in enumerate(charts):
        for number, (line, model) in enumerate(zip(chart.lines, models, strict=True)):
            assert (line.name, line.number) == (model.name, number)
            np.testing.assert_array_equal(line.x, model.lead_minutes)
            np.testing.assert_array_equal(line.y, model.scores["csi"][k])
    path = plot_csi(models, tmp_path / "new" / "csi.svg")
    assert texts(path)[-2:] == ["a", "b"]
    assert path.read_text().count("<circle") == 16 + 8 + 3 + 2  # defined values, and the key's


def test_every_defined_value_is_inside_its_chart_and_all_charts_have_one_axis():
    model = scores_of("a", hole=True)
    model.scores["csi"][0, :3] = [0.0, 1.0, 0.5]
    charts = csi_charts([model, scores_of("b")])
    assert {chart.y_range for chart in charts} == {(0.0, 1.05)}
    assert {chart.x_range for chart in charts} == {(0.0, 1.04 * 40)}


def test_a_chart_without_any_value_says_so(tmp_path):
    model = scores_of("a")
    model.scores["csi"][1] = np.nan
    assert texts(plot_csi([model], tmp_path / "s.svg")).count("undefined here") == 1
    model.scores["csi"][:] = np.nan
    assert texts(plot_csi([model], tmp_path / "s.svg")).count("undefined here") == 2
    assert csi_charts([model])[0].y_range[1] > 0


def test_one_lead_time(tmp_path):
    assert plot_csi([scores_of("a", steps=1)], tmp_path / "s.svg").exists()


def test_charts_stand_beside_and_below_each_other_and_a_long_key_has_lines(tmp_path):
    names = [f"a model with a long name <{k}>" for k in range(6)]
    charts = [svg.Chart("t", "x", "y", [svg.Line(name, np.ones(2), np.ones(2), k) for k, name in enumerate(names)])] * 5
    root = ET.parse(svg.write_charts(tmp_path / "s.svg", charts, names, most_columns=2)).getroot()
    panels = [(float(one.get("x")), float(one.get("y"))) for one in root.findall("{*}svg")]
    assert panels == [(column * svg.WIDTH, row * svg.HEIGHT) for row in range(3) for column in range(2)][:5]
    key = root.find("{*}g")
    assert [entry.find("{*}text").text for entry in key] == names
    assert len({entry.get("transform").split()[1] for entry in key}) == 3
    *_, width, height = map(float, root.get("viewBox").split())
    assert (width, height) == (2 * svg.WIDTH, 3 * svg.HEIGHT + 3 * svg.KEY_HEIGHT)


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    def half(path, text, **_):
        path.write_bytes(text.encode()[:9])
        raise OSError("disk full")

    (tmp_path / "s.svg").write_bytes(b"earlier")
    monkeypatch.setattr(type(tmp_path), "write_text", half)
    with pytest.raises(OSError, match="disk full"):
        plot_csi([scores_of("a")], tmp_path / "s.svg")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"s.svg": b"earlier"}


def test_scores_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no scores"):
        plot_csi([], tmp_path / "none.svg")
    other = dataclasses.replace(scores_of("b"), thresholds=(0.5, 10.0))
    with pytest.raises(ValueError, match="b and a have other thresholds"):
        plot_csi([scores_of("a"), other], tmp_path / "none.svg")
    assert not list(tmp_path.iterdir())
