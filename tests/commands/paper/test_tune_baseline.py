"""Settings of a baseline that score best on validation."""

import csv
import math

import pytest

from nowcast.studies.baseline_grid import best_candidate
from tests.programs import TINY, run

GRID = ["grid={alpha:[500.0,2000.0,8000.0],sigma:[2.0]}"]
ROVERS = [
    "model@baselines.rover1=rover1",
    "model@baselines.rover2=rover2",
    "same_settings=[rover2]",
    "frame_scores=paper",
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    return [*TINY, *ROVERS, f"data.archives.folder={folder}"]


def test_the_best_settings_on_validation_become_overrides(settings, tmp_path, capsys):
    assert run("tune_baseline", *settings, *GRID, f"output={tmp_path}") == (0, "")
    with (tmp_path / "paper.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lead_time_minutes"] == "overall"]
    assert len(rows) == 3
    best = max(rows, key=lambda row: float(row["csi"]))["model"]
    alpha = best.split()[0].split("=")[1]
    lines = (tmp_path / "overrides.txt").read_text().splitlines()
    assert lines == [
        f"baselines.{name}.{setting}" for name in ("rover1", "rover2") for setting in (f"alpha={alpha}", "sigma=2.0")
    ]
    shown = capsys.readouterr().out
    assert f"{best}: csi" in shown
    assert ("widen grid" in shown) == (float(alpha) != 2000.0)
    # What was written is understood by `nowcast train`.
    again = [*settings[:-1], "trainer.max_epochs=1", "picture=false", *lines, settings[-1]]
    again = [text for text in again if not text.startswith("same_settings")]
    assert run("train", *again, f"output={tmp_path / 'run'}") == (0, "")
    assert f"alpha: {alpha}" in (tmp_path / "run" / "config.yaml").read_text()


def test_lowest_is_best_where_it_is(settings, tmp_path):
    assert run("tune_baseline", *settings, *GRID, "score=far", f"output={tmp_path}") == (0, "")
    with (tmp_path / "paper.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lead_time_minutes"] == "overall"]
    best = min(rows, key=lambda row: float(row["far"]))["model"]
    assert f"baselines.rover1.{best.split()[0]}" in (tmp_path / "overrides.txt").read_text()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [("baseline=rover9", "rover9 is not among the experiment's baselines: persistence, extrapolation, rover1"),
     ("+grid.alhpa=[1.0]", "grid.alhpa: rover1 has no such setting; it has weights, zr_a"),
     ("score=cis", "score=cis is not among paper's: rainfall_mse, csi"),
     ("variant=frames", "variant=frames is not among frame_scores: paper"),
     ("grid={alpha:[-1.0]}", "rover needs settings above 0")],
)  # fmt: skip
def test_mistakes_are_named(settings, tmp_path, mistake, said):
    overrides = [] if mistake.startswith("grid=") else GRID
    code, message = run("tune_baseline", *settings, *overrides, mistake, f"output={tmp_path / 'new'}")
    assert code == 1
    assert said in message
    assert not (tmp_path / "new" / "overrides.txt").exists()


def test_a_tuned_baseline_is_not_overwritten(settings, tmp_path):
    (tmp_path / "overrides.txt").write_text("mine")
    code, message = run("tune_baseline", *settings, *GRID, f"output={tmp_path}")
    assert code == 1
    assert "choose another output=" in message
    assert (tmp_path / "overrides.txt").read_text() == "mine"


@pytest.mark.thorough
def test_the_same_search_is_not_done_twice_and_another_one_is_refused(settings, tmp_path, capsys):
    grid = "grid={alpha:[500.0],sigma:[2.0]}"
    assert run("tune_baseline", *settings, grid, f"output={tmp_path}") == (0, "")
    before = (tmp_path / "tuned.json").stat().st_mtime_ns
    assert run("tune_baseline", *settings, grid, f"output={tmp_path}") == (0, "")
    assert "is tuned already" in capsys.readouterr().out
    assert (tmp_path / "tuned.json").stat().st_mtime_ns == before
    code, message = run("tune_baseline", *settings, grid, "data.archives.seed=7", f"output={tmp_path}")
    assert code == 1
    assert "data.archives.seed: 0 → 7" in message


@pytest.mark.parametrize(("highest", "best"), [(True, "b"), (False, "c")])
def test_an_undefined_score_is_never_the_best(highest, best):
    values = {"a": math.nan, "b": 0.5, "c": 0.3, "d": math.nan}
    assert best_candidate(values, highest=highest, score="csi") == best
    with pytest.raises(ValueError, match="score=csi is undefined for every candidate"):
        best_candidate(dict.fromkeys("ad", math.nan), highest=highest, score="csi")
