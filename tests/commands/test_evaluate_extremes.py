"""`nowcast evaluate … data=extremes`: scores by case, and an example of each."""

import pytest

from nowcast.data.results.statistics_file import read_statistics
from tests.programs import rows, run

CASES = ["small_cell", "squall_line", "stationary", "entering", "dissolving"]
FAST = ["scores=basic", "uncertainty.resamples=20"]


@pytest.fixture
def extremes(tmp_path):
    return ["data=extremes", f"data.archives.folder={tmp_path / 'extremes'}", "data.archives.members=2"]


def test_every_case_has_its_scores_and_its_example(extremes, tmp_path):
    assert run("evaluate", "model=extrapolation", *extremes, *FAST, "examples=events", f"output={tmp_path / 'a'}") == (
        0, "",
    )  # fmt: skip
    csi = {
        row["group"]: float(row["value"])
        for row in rows(tmp_path / "a" / "strata.csv")
        if (row["stratum"], row["score"], row["threshold_mmh"], row["lead_time"]) == ("event", "csi", "0.5", "30")
    }
    assert list(csi) == CASES
    assert csi["squall_line"] > 0.9 > csi["entering"]  # all of it is seen; of it much is not yet
    examples = read_statistics(tmp_path / "a" / "statistics.nc").examples
    assert [(one.name, one.archive) for one in examples] == [(case, case) for case in CASES]
    assert all(set(one.rain) == {"observed", "extrapolation"} for one in examples)
    report = (tmp_path / "a" / "report.html").read_text()
    assert "event: squall_line" in report
    assert "CSI of the first model undefined, hardly any rain" in report  # of the small cell


@pytest.mark.thorough
def test_a_network_of_a_checkpoint_keeps_its_own_steps(trained, extremes, tmp_path):
    shown = ["data.archives.cell_km=2", f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"]
    assert run("evaluate", *shown, *extremes, *FAST, "html=false", f"output={tmp_path / 'a'}") == (0, "")
    table = rows(tmp_path / "a" / "scores.csv")
    assert {row["lead_time_minutes"] for row in table} == {"5.0", "10.0", "15.0", "20.0"}
    assert {row["model"] for row in table} >= {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}


def test_extremes_are_nothing_to_train_on(extremes, tmp_path):
    code, message = run("train", *extremes, f"output={tmp_path / 'a'}", "data.crop=32", "callbacks.progress=null")
    assert code != 0
    assert "data.split.method=all is for evaluation" in message


def test_other_examples_are_refused(extremes, tmp_path):
    code, message = run("evaluate", "model=persistence", *extremes, "examples=all", f"output={tmp_path / 'a'}")
    assert (code, message.splitlines()[0].endswith("examples must be ranked or events, got 'all'")) == (1, True)
