"""scripts/report_pictures.py: the pictures of pages that cannot hold a report."""

import dataclasses
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from nowcast.data.results.statistics_file import write_statistics
from tests.statistics import statistics

SCRIPT = Path(__file__).parents[2] / "scripts" / "report_pictures.py"


@pytest.mark.thorough
def test_pictures_of_a_written_evaluation(tmp_path, monkeypatch):
    sums, _ = statistics({"network": 0.3, "network_calibrated": 0.1, "persistence": 1.0}, ensemble=True)
    events = {key: values[:, :2].copy() for key, values in sums.sums["block"].items()}
    sums = dataclasses.replace(
        sums, groups=sums.groups | {"event": ("one", "two")}, sums=sums.sums | {"event": events}
    )  # fmt: skip
    write_statistics(tmp_path / "statistics.nc", sums)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path), str(tmp_path / "out")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found >= {"events.png", "csi_bias.png", "errors.png", "fss.png", "spectra.png", "best.png", "best.gif"}


def test_events_are_those_of_the_sums(tmp_path):
    sums, families = statistics({"network": 0.3, "persistence": 1.0})
    counts = {key: values[:, :2] for key, values in sums.sums["block"].items()}
    sums = dataclasses.replace(sums, groups={"event": ("one", "two")}, sums={"event": counts})
    csi = runpy.run_path(str(SCRIPT))["events"](sums, families)["network"]
    hits, misses, false_alarms, _ = np.moveaxis(counts["categorical/counts"][0], -1, 0)
    np.testing.assert_allclose(csi, hits / (hits + misses + false_alarms), rtol=1e-6)


def test_examples_show_the_models_that_are_named(monkeypatch):
    script = runpy.run_path(str(SCRIPT))
    sums, _ = statistics({"network": 0.3, "persistence": 1.0})
    drawn = []
    monkeypatch.setitem(script["draw_example"].__globals__, "plot_forecast", lambda case, *_, **__: drawn.append(case))
    next(script["draw_example"](sums.examples[0], ["persistence"], Path("unused")))
    assert list(drawn[0].forecasts) == ["persistence"]
