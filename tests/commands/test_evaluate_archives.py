"""`nowcast evaluate` on archives against loops over their frames, and what it refuses."""

import numpy as np
import pytest
import torch

from nowcast.config.build import build
from nowcast.data.archive.archive import Archive
from nowcast.verification.scores.categorical import COUNTS
from tests.data.archives import frame, grid, moving_rain, write
from tests.programs import composed, rows, run


def archive_arguments(path, *more):
    return [
        "data=radar", f"data.archives=[{path}]", "data.split.method=all", "data.crop=null", "data.input_steps=3",
        "data.forecast_steps=4", "data.workers=0", "html=false", *more,
    ]  # fmt: skip


def test_persistence_on_an_archive_is_what_a_loop_over_its_frames_gives(tmp_path):
    path = moving_rain(tmp_path / "k.nc", frames=30, skip=(11,))
    arguments = archive_arguments(path, "data.windows.stride=4", f"output={tmp_path / 'out'}")
    assert run("evaluate", "model=persistence", *arguments) == (0, "")
    archive = Archive(path)
    rain = archive.read(slice(None), slice(None), slice(None))
    counts = np.zeros((4, 4), dtype=int)
    for start in range(0, len(rain) - 6, 4):
        if (np.diff(archive.times[start : start + 7]).astype(int) != 300).any():
            continue
        wet = rain[start + 2] >= 0.5
        for lead in range(4):
            seen = rain[start + 3 + lead] >= 0.5
            counts[lead] += [(wet & seen).sum(), (~wet & seen).sum(), (wet & ~seen).sum(), (~wet & ~seen).sum()]
    ours = [row for row in rows(tmp_path / "out" / "scores.csv") if float(row["threshold"]) == 0.5]
    assert [row["model"] for row in ours] == ["persistence"] * 4
    for lead, row in enumerate(ours):
        names = ("hits", "misses", "false_alarms", "correct_negatives")
        assert [int(row[name]) for name in names] == counts[lead].tolist()
        assert float(row["csi"]) == pytest.approx(counts[lead][0] / counts[lead][:3].sum())
        assert float(row["lead_time_minutes"]) == 5.0 * (lead + 1)


def test_tiles_and_whole_grids_score_persistence_alike(tmp_path):
    path = moving_rain(tmp_path / "k.nc", frames=20)
    tables = []
    for crop in ("null", "16"):
        arguments = archive_arguments(path, f"output={tmp_path / crop}")
        arguments[arguments.index("data.crop=null")] = f"data.crop={crop}"
        assert run("evaluate", "model=persistence", *arguments) == (0, "")
        tables.append((tmp_path / crop / "scores.csv").read_text())
    assert tables[0] == tables[1]


def test_a_checkpoint_is_scored_on_the_archives_named(trained, tmp_path):
    path = tmp_path / "two_km.nc"
    draw = np.random.default_rng(0)
    frames = [frame(5 * k, draw.random((24, 20)) * 3, grid=grid((24, 20), 2000.0)) for k in range(12)]
    write(path, frames)
    best = trained / "checkpoints" / "best.ckpt"
    typed = [f"checkpoint={best}", f"data.archives=[{path}]", f"output={tmp_path / 'out'}", "html=false"]
    assert run("evaluate", *typed) == (0, "")
    table = rows(tmp_path / "out" / "scores.csv")
    assert {row["model"] for row in table} == {"convlstm", "convlstm_calibrated", "persistence", "extrapolation"}
    assert sum(int(table[0][k]) for k in ("hits", "misses", "false_alarms", "correct_negatives")) == 24 * 20 * 2


def test_missing_forecasts_count_as_no_rain_and_are_reported(tmp_path):
    """Every value that extrapolation lacks, and each as a miss or a correct negative; the radar sees all cells."""
    path = moving_rain(tmp_path / "k.nc", frames=20)
    assert run("evaluate", "model=extrapolation", *archive_arguments(path, f"output={tmp_path / 'out'}")) == (0, "")
    rain = torch.from_numpy(Archive(path).read(slice(None), slice(None), slice(None)))[:, None]  # (N, 1, H, W)
    model = build(composed("model=extrapolation", program="evaluate").model)
    missing, false_alarms = torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    for start in range(len(rain) - 6):
        forecast = model(rain[None, start : start + 3], 4)[0]
        missing += forecast.isnan().sum(dim=(1, 2, 3))
        false_alarms += ((forecast >= 0.5) & (rain[start + 3 : start + 7] < 0.5)).sum(dim=(1, 2, 3))
    errors, events = rows(tmp_path / "out" / "errors.csv"), rows(tmp_path / "out" / "scores.csv")
    assert [int(row["missing_forecasts"]) for row in errors] == missing.tolist()
    assert missing.min() > 0
    at_half = [row for row in events if float(row["threshold"]) == 0.5]
    assert [int(row["false_alarms"]) for row in at_half] == false_alarms.tolist()
    cells = [sum(int(row[name]) for name in COUNTS) for row in at_half]
    assert cells == [14 * 32 * 40] * 4


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], ["nothing to score", "checkpoint=<file>"]),
        (["model=persistence", "checkpoint=x.ckpt"], ["not both"]),
        (["checkpoint=no/such.ckpt"], ["no checkpoint at no/such.ckpt"]),
        (["model=convlstm", "data.archives=[x.nc]"], ["is a network", "checkpoint=<run>/checkpoints/best.ckpt"]),
        (["model=lagrangian", "data.archives=[x.nc]"], ["model=lagrangian is a network, which has to be trained"]),
        (["model=persistence", "data.archives=[x.nc]", "device=tpu"], ["device must be cpu or cuda, got 'tpu'"]),
    ],
)
def test_evaluate_refuses_with_a_reason(tmp_path, overrides, words):
    code, message = run("evaluate", *overrides, f"output={tmp_path / 'out'}")
    assert code == 1
    for word in words:
        assert word in message


def test_a_checkpoint_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(b"not a checkpoint")
    assert "not a readable checkpoint" in run("evaluate", f"checkpoint={path}", f"output={tmp_path / 'o'}")[1]
    torch.save({"weights": torch.ones(1)}, path)
    assert "not written by nowcast" in run("evaluate", f"checkpoint={path}", f"output={tmp_path / 'o'}")[1]
