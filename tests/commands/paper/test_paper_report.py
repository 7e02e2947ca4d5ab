"""The report of the paper's experiments, and the script that makes everything it needs."""

from PIL import Image

from tests.programs import rows, run

# One synthetic day of 240 small frames, every 25th window.
SMALL_DAY = [
    "data.archives.source.archives.train_events=1",
    "data.archives.source.archives.rain.shape=[32,32]",
    "data.archives.crop=32",
    "data.archives.disk_radius=2",
    "data.archives.size=16",
    "data.windows.stride=25",
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
    train = ["experiment=paper_radar_synthetic", "model.hidden=[4,4]", "picture=false", *small_day(tmp_path)]
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
    with Image.open(folder / "forecast_1.png") as picture:
        assert picture.convert("L").getextrema() != (255, 255)
    assert (folder / "lead_times.svg").read_text().count("<title>ROVER2, ") == 4 * 15
    assert (folder / "epochs.svg").read_text().count("<title>") == 1
    page = (folder / "report.html").read_text()
    assert (page.count("data:image/png;base64,"), page.count("data:image/svg+xml;base64,")) == (1, 2)
    safe = ["colour_blind_safe=true", f"output={tmp_path / 'safe'}"]
    assert run("paper_report", "printed=radar", f"runs={tmp_path}", *safe) == (0, "")
    assert (tmp_path / "safe" / "forecast_1.png").read_bytes() != (folder / "forecast_1.png").read_bytes()
    assert (tmp_path / "safe" / "epochs.svg").read_bytes() == (folder / "epochs.svg").read_bytes()


def test_a_report_without_runs_says_what_makes_them(tmp_path):
    code, message = run("paper_report", "printed=mnist", f"runs={tmp_path}")
    assert code == 1
    assert "mnist_fc_lstm" in message
    assert "scripts/reproduce_paper.sh" in message
    assert not list(tmp_path.iterdir())
