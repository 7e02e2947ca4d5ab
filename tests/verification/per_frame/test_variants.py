"""Tables and files of scores counted in another way."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from nowcast.data.archive.frame import DataFormatError
from nowcast.verification.per_frame.variants import VariantScores, read_variant_csv, variant_table, write_variant_csv

BEST = {"csi": "highest", "far": "lowest"}


def scores(model="net", csi=(0.5, 0.25), far=(0.1, math.nan)):
    by_lead_time = {"csi": np.array(csi), "far": np.array(far)}
    overall = {"csi": float(np.mean(csi)), "far": float(np.mean(far))}
    return VariantScores("paper", model, (6.0, 12.0), "minutes", by_lead_time, overall, BEST)


def test_written_and_read_back(tmp_path):
    models = [scores(), scores("rover1", (1 / 3, 0.0), (0.2, 0.3))]
    write_variant_csv(tmp_path / "paper.csv", models)
    lines = (tmp_path / "paper.csv").read_text().splitlines()
    assert lines[0] == "model,lead_time_minutes,csi,far"
    assert lines[1:3] == ["net,overall,0.375,nan", "net,6.0,0.5,0.1"]
    again = read_variant_csv(tmp_path / "paper.csv", BEST)
    assert [model.model for model in again] == ["net", "rover1"]
    for one, two in zip(models, again, strict=True):
        assert (one.lead_times, one.unit, one.variant) == (two.lead_times, two.unit, two.variant)
        for name in BEST:
            np.testing.assert_array_equal(one.by_lead_time[name], two.by_lead_time[name])
            np.testing.assert_equal(one.overall[name], two.overall[name])


def test_the_table_shows_the_best_of_each_column():
    out = io.StringIO()
    table = variant_table(
        [scores(far=(0.1, 0.2)), scores("rover1", (0.9, 0.8), (0.3, 0.3)), scores("x", far=(0.2, math.nan))]
    )
    Console(file=out, force_terminal=True, width=80, color_system="standard").print(table)
    text = out.getvalue()
    assert "\x1b[1m0.850\x1b[0m" in text
    assert "\x1b[1m0.150\x1b[0m" in text
    assert "\x1b[1m0.375" not in text
    assert "\N{EN DASH}" in text


@pytest.mark.parametrize(
    "content",
    ["", "model,lead_time_minutes,csi\n", "model,lead_time_minutes,csi,far\nnet,overall,1,x\n",
     "model,lead_time_minutes,csi,far\nnet,6.0,1,1\n", "model,lead_time_minutes,csi,far\nnet,overall,1,1\nnet,6.0,1\n"],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "paper.csv").write_text(content)
    with pytest.raises(DataFormatError, match=r"paper\.csv"):
        read_variant_csv(tmp_path / "paper.csv", BEST)
