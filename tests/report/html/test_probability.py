"""Charts of probabilities: of which numbers, and where a model cannot give them."""

import numpy as np

from nowcast.report.html.charts import sections
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
