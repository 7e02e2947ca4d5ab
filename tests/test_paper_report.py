"""The report of the paper's experiments, and the script that makes everything it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.programs import rows, run

# One synthetic day of 240 small frames, every ninth window.
SMALL_DAY = [
    "data.archives.source.archives.train_events=1",
    "data.archives.source.archives.rain.shape=[32,32]",
    "data.archives.crop=32",
    "data.archives.disk_radius=2",
    "data.archives.size=16",
    "data.stride=9",
    "data.workers=0",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
    "callbacks.progress=null",
]


def small_day(folder):
    return [
        *SMALL_DAY,
        f"data.archives.folder={folder / 'paper'}",
        f"data.archives.source.archives.folder={folder / 'echoes'}",
    ]


def test_radar_runs_become_a_report(tmp_path, capsys):
    train = ["experiment=paper_radar_synthetic", "model.hidden=[4,4]", *small_day(tmp_path)]
    assert run("train", *train, f"output={tmp_path / 'paper_radar'}") == (0, "")
    assert "test and training windows share days" in capsys.readouterr().out.replace("\n", " ")
    assert run("paper_report", "printed=radar", f"runs={tmp_path}", "quick=true") == (0, "")
    folder = tmp_path / "report_radar"
    text = (folder / "report.md").read_text()
    overall = {
        row["model"]: row
        for row in rows(tmp_path / "paper_radar" / "evaluation" / "paper.csv")
        if row["lead_time_minutes"] == "overall"
    }
    assert set(overall) == {"convlstm", "persistence", "extrapolation", "rover1", "rover2", "rover3"}
    ours = float(overall["rover2"]["csi"])
    line = next(line for line in text.splitlines() if line.startswith("| ROVER2 |"))
    assert f"| {ours:.3f} | 0.522 | {ours - 0.522:+.3f} |" in line
    assert "runs behind this page are reduced" in text
    assert "test and training windows share days" in text
    assert "`model.hidden: [64, 64] → [4, 4]`" in text
    assert "- FC-LSTM-2000-2000 (folder `paper_radar_fc_lstm`): not begun" in text
    assert "SyntheticArchives" in text
    for name in ("lead_times.png", "epochs.png", "forecast_1.png"):
        with Image.open(folder / name) as picture:
            assert picture.convert("L").getextrema() != (255, 255)
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 3


def test_a_report_without_runs_says_what_makes_them(tmp_path):
    code, message = run("paper_report", "printed=mnist", f"runs={tmp_path}")
    assert code == 1
    assert "mnist_fc_lstm" in message
    assert "scripts/reproduce_paper.sh" in message
    assert not list(tmp_path.iterdir())


SCRIPT = Path(__file__).parents[1] / "scripts" / "reproduce_paper.sh"


def reproduce(*arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_command_reproduces_the_radar_experiment_and_goes_on_where_it_stopped(tmp_path):
    command = ["radar", "--quick", "--output", str(tmp_path / "out"), "--", *small_day(tmp_path)]
    first = reproduce(*command)
    assert first.returncode == 0, first.stderr
    report = tmp_path / "out" / "report_radar" / "report.md"
    text = report.read_text()
    assert "Not there yet" not in text
    (tmp_path / "out" / "paper_radar_fc_lstm").rename(tmp_path / "elsewhere")
    assert reproduce(*command).returncode == 0
    again = report.read_text()
    assert [line for line in text.splitlines() if line.startswith("| ")][:8] == [
        line for line in again.splitlines() if line.startswith("| ")
    ][:8]
    assert reproduce(*command).stdout.count("finished already") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--data", "x"], "--data belongs to one experiment"), (["radar", "--data", "/nowhere"], "no such folder"),
     (["rain"], "unknown argument rain"), (["mnist", "--data"], "--data needs a folder")],
)  # fmt: skip
def test_the_script_refuses_what_it_does_not_understand(arguments, said):
    ended = reproduce(*arguments)
    assert ended.returncode != 0
    assert said in ended.stderr


def test_a_folder_without_radar_is_explained(tmp_path):
    ended = reproduce("radar", "--data", str(tmp_path), "--output", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert "expected radarPNG/2011/05/03/RAD110503000000.png" in ended.stderr
    assert "Hong Kong Observatory" in ended.stderr
