"""Charts of probabilities: of which numbers, and where a model cannot give them."""

import base64
import dataclasses
import html
from io import BytesIO

import numpy as np
from PIL import Image

from nowcast.report.html.charts import sections
from nowcast.report.html.page import write_report
from nowcast.report.html.pictures import example, probability_classes, probability_palette
from nowcast.verification.bootstrap import Bootstrap
from nowcast.verification.intervals import estimate
from tests.statistics import mixed_statistics

TITLES = {
    "Brier score and its skills by lead time", "Reliability", "Relative operating characteristic",
    "CSI at the best decision level", "Relative economic value",
}  # fmt: skip


def test_charts_show_the_numbers_and_their_intervals():
    sums, families = mixed_statistics()
    numbers = estimate(sums, families, Bootstrap(200, 0.95, 10, 0))
    shown = {section.title: section for section in sections(sums, families, numbers)}
    assert shown.keys() >= TITLES
    first, share, *_ = shown["Reliability"].charts
    line, one = first.lines[2], numbers.scores["probabilities"]
    said = np.isfinite(one["probability/forecast_probability"].value[0, 0])
    np.testing.assert_array_equal(line.y, one["probability/reliability"].value[0, 0][said])
    np.testing.assert_array_equal(line.low, one["probability/reliability"].low[0, 0][said])
    assert line.bars
    assert all((line.y > 0).any() and not (line.y == 0).any() for line in share.lines)
    rate = one["probability/csi_by_level"].value[0, 0, 0]
    np.testing.assert_array_equal(first.guides[1][1], [rate, rate])
    assert not any("Lagrangian" in chart.title for chart in shown[min(TITLES)].charts)  # it was not scored
    without = {name: family for name, family in families.items() if name != "probability"}
    assert not TITLES & {section.title for section in sections(sums, without, numbers)}


def test_examples_show_what_is_probable_beside_what_was_decided(tmp_path):
    sums, families = mixed_statistics()
    numbers = estimate(sums, families, Bootstrap(200, 0.95, 10, 0))
    for examples, shown in ((sums.examples, True), ([], False)):
        write_report(
            tmp_path / "r.html", dataclasses.replace(sums, examples=examples), families, numbers,
            Bootstrap(200, 0.95, 10, 0), downloads=[], colour_blind_safe=False, main_threshold=0.5,
        )  # fmt: skip
        text = html.unescape((tmp_path / "r.html").read_text(encoding="utf-8"))
        assert ("probability, %" in text) == shown
        assert text.count("<figcaption>probabilities P(≥\u00a00.5\u00a0mm/h)</figcaption>") == shown
    panel = example(sums.examples[0], False).panels[-1]
    picture = Image.open(BytesIO(base64.b64decode(panel.source.partition(",")[2])))
    said = sums.examples[0].probabilities["probabilities"]
    classes = np.array(picture).reshape(said.shape)
    assert len(np.unique(classes)) > 3
    assert (classes[said < 0.05] == 1).all()
    assert (classes[said == 1] == len(probability_palette()) - 1).all()


def test_classes_of_probability_begin_with_their_edges():
    said = np.array([[np.nan, 0.0, 0.049, 0.05, 0.7, 0.95, 1.0]], dtype=np.float32)
    assert probability_classes(said).tolist() == [[0, 1, 1, 2, 9, 11, 11]]
    assert len(probability_palette()) == 12
