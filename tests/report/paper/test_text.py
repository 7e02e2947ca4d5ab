"""The report's words and tables, and the page made of them."""

import copy
import json
import re

import pytest
from PIL import Image

from nowcast.report.html.text import text_page
from nowcast.report.paper.figures import plot_lead_times, plot_losses
from nowcast.report.paper.rows import read_rows
from nowcast.report.paper.text import MISSING, pooled_table, score_table, write_text
from nowcast.verification.per_frame.paper_metrics import PaperScores
from tests.report.paper.runs import CONFIG, FACTS, PRINTED, write_run

EXPERIMENTS = {name: CONFIG for name in ("net", "fc", "other")}


@pytest.fixture
def rows(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["trainer"]["max_epochs"] = 2
    write_run(tmp_path / "net", config)
    return read_rows(tmp_path, PRINTED, dict(PaperScores.best), EXPERIMENTS)


def test_ours_printed_and_difference_stand_side_by_side(rows):
    lines = score_table(PRINTED, rows).splitlines()
    assert lines[0] == "| model | CSI | printed | difference | Rainfall-MSE |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[2] == "| ConvLSTM(3x3) | 0.500 | 0.577 | -0.077 | 0.38 |"
    assert lines[3] == "| ROVER1 | 0.500 | 0.516 | -0.016 | 0.38 |"
    assert lines[4] == f"| FC-LSTM | {MISSING} | 0.286 | {MISSING} | {MISSING} |"
    assert lines[5] == f"| elsewhere | {MISSING} | {MISSING} | {MISSING} | {MISSING} |"


def test_pooled_scores_stand_beside_the_papers(rows):
    lines = pooled_table(PRINTED, rows).splitlines()
    assert lines[0] == "| model | CSI, the paper's (> 0.5 mm h-1) | CSI, pooled (≥ 0.5 mm h-1) |"
    assert lines[2] == "| ConvLSTM(3x3) | 0.500 | 0.300 (1 of 2 lead times) |"
    assert lines[3] == f"| ROVER1 | 0.500 | {MISSING} |"


def test_the_report_says_what_was_done_and_what_is_missing(rows):
    text = write_text(PRINTED, rows, {}, ["test and training share days"], quick=True)
    assert "runs behind this page are reduced" in text
    assert "> test and training share days" in text
    assert "- `trainer.max_epochs: 200 → 2`" in text
    assert "2 train, 1 val, 0 test samples" in text
    assert "split.method=paper" in text
    assert "- FC-LSTM (folder `fc`): not begun" in text
    assert (
        "| `net` | 1,234,567 | 2 | 2026-01-01T00:00 | 2026-01-01T01:00 | 0 | cpu | 2.13.0 | 0.1.0 (0123456789) |"
        in text
    )
    assert "reduced" not in write_text(PRINTED, rows, {}, [], quick=False)


def test_a_network_that_is_not_the_papers_says_so_in_its_row(tmp_path):
    config = copy.deepcopy(CONFIG) | {"model": {"hidden": [2]}}
    write_run(tmp_path / "net", config, {key: value for key, value in FACTS.items() if key != "finished"})
    text = write_text(PRINTED, read_rows(tmp_path, PRINTED, dict(PaperScores.best), EXPERIMENTS), {}, [], quick=False)
    assert "| ConvLSTM(3x3) (ours: hidden: [64, 64] → [2]) | 0.500 | 0.577 |" in text
    assert "| ROVER1 | 0.500 |" in text
    assert f"| `net` | 1,234,567 | 2 | 2026-01-01T00:00 | {MISSING} |" in text


def test_the_table_says_whose_data_stand_on_either_side(rows):
    text = write_text(PRINTED, rows, {}, [], quick=False)
    assert "Printed: the paper's radar. Ours: 1 archives (day), 2011-05-01 to 2013-09-20. Difference" in text


def test_sequences_are_counted_in_words(tmp_path):
    write_run(tmp_path / "net")
    split = {name: {"count": count} for name, count in (("train", 10000), ("val", 2000), ("test", 3000))}
    (tmp_path / "net" / "split.json").write_text(json.dumps(split))
    text = write_text(PRINTED, read_rows(tmp_path, PRINTED, dict(PaperScores.best), EXPERIMENTS), {}, [], quick=False)
    assert "Ours: 10,000 training and 3,000 test sequences." in text


def test_figures_show_every_scored_row(rows, tmp_path):
    curves = plot_lead_times(rows, ["csi", "far", "pod"], tmp_path / "lead.svg").read_text()
    for part in (">CSI<", ">FAR<", ">POD<", "<title>ROVER1, 6: ", "<title>ConvLSTM, 12: ", ">ROVER1</text>"):
        assert part in curves, part
    losses = plot_losses(rows, tmp_path / "loss.svg").read_text()
    assert "<title>ConvLSTM, 1: " in losses
    assert "ROVER1" not in losses
    assert plot_lead_times(rows[2:3], ["csi"], tmp_path / "none.svg") is None
    assert plot_losses(rows[2:3], tmp_path / "none.svg") is None
    assert not (tmp_path / "none.svg").exists()


def test_the_page_needs_no_other_file(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    made = text_page(
        "# A <b>\n\n![x](a.png)\n\n![y](b.svg)\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n", "T & t", tmp_path
    )
    assert "<title>T &amp; t</title>" in made
    assert "<h1>A &lt;b&gt;</h1>" in made
    assert '<img src="data:image/png;base64,' in made
    assert '<img src="data:image/svg+xml;base64,' in made
    assert made.count('<div class="scroll"><table>') == made.count("</table></div>") == 1
    assert re.search(r'<td style="text-align:right">2</td>', made)
    assert "http" not in made
    with pytest.raises(FileNotFoundError):
        text_page("![x](b.png)", "t", tmp_path)
