"""scripts/losses.py: the page of losses, from runs that are trained for it."""

import csv
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "losses.py"
SMALL = [
    "data.archives.rain.shape=[16,16]", "data.archives.rain.frames=16", "data.archives.train_events=2",
    "data.archives.val_events=1", "data.archives.test_events=1", "data.crop=16", "data.sampling.samples_per_epoch=8",
    "data.sampling.min_rain_fraction=0", "model.widths=[2]", "callbacks.processor_time.limit_seconds=0.05",
]  # fmt: skip


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_scores_are_those_of_the_last_lead_time(script, tmp_path):
    leads = [(5, 0.9, 0.8), (30, 0.5, 0.2)]
    heads = ("model", "threshold", "lead_time_minutes", "csi", "bias")
    events = [
        (model, threshold, lead, csi - threshold / 100, bias)
        for model in ("other", "unet")
        for threshold in (0.5, 2.0, 5.0)
        for lead, csi, bias in leads
    ]
    write(tmp_path / "scores.csv", [dict(zip(heads, row, strict=True)) for row in events])  # fmt: skip
    write(
        tmp_path / "errors.csv",
        [{"model": "unet", "lead_time_minutes": lead, "mae": mae, "me": -mae} for lead, mae, _ in leads],
    )
    write(
        tmp_path / "intervals.csv",
        [
            {"model": "unet", "score": score, "position": position, "lead_time": lead, "value": value}
            for score in ("csi", "spectral_ratio")
            for lead, value in (("5", 0.7), ("30", 0.25), ("mean", 0.6))
            for position in ("3.5", "9.8")
        ],
    )
    assert script["scores"](tmp_path, "unet") == {
        "CSI ≥ 0.5": pytest.approx(0.495), "CSI ≥ 5": pytest.approx(0.45), "bias ≥ 5": 0.2, "MAE (mm/h)": 0.5,
        "mean error (mm/h)": -0.5, "power of waves under 4 cells": 0.25,
    }  # fmt: skip


def test_the_page_has_a_row_for_each_loss_and_says_what_each_is(script):
    rows = {loss: {"CSI": 0.5, "bias": float("nan")} for loss in script["LOSSES"]}
    text = script["page"](rows, "losses.png", ["seed=1"], [45, 15])
    assert "| mse | 0.500 | \N{EN DASH} |" in text
    assert "`python scripts/losses.py seed=1` makes this page" in text
    assert "for 45 processor seconds on synthetic rain" in text
    assert "for 15 more" in text
    assert [loss for loss in script["LOSSES"] if f"`loss={loss}`:" not in text] == []
    assert "](losses.png)" in text


@pytest.mark.thorough
def test_the_page_is_made_by_one_command(tmp_path, monkeypatch):
    settings = ["--runs", str(tmp_path / "runs"), "--page", str(tmp_path / "page.md"), "--losses", "mse", "facl", "--"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *settings, *SMALL, f"data.archives.folder={tmp_path / 'rain'}"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    text = (tmp_path / "page.md").read_text()
    assert [line.split(" |")[0] for line in text.splitlines() if line.startswith("| ")] == [
        "| loss", "| ---", "| mse", "| facl", "| extrapolation", "| persistence",
    ]  # fmt: skip
    assert (tmp_path / "page.png").stat().st_size > 10_000
