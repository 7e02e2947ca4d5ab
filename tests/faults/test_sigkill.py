"""Killed at random moments and in the middle of writing a checkpoint, a run still ends as if nothing had been."""

import json
import random
import time

import pytest
import torch

from nowcast.forecasting import checkpoint
from tests.faults.runs import kill, result, start, wait_for
from tests.programs import rows
from tests.training.resuming import rows as logged

KILLS = 20
LONG = ["trainer.max_epochs=400", "resume=auto"]


def modified(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def is_writing(folder):
    return next((folder / "checkpoints").glob("*.partial"), None) is not None


def killed(folder, draw, number):
    """Start a run and kill it: at any moment, or while it writes a checkpoint, or soon after one."""
    before, last = modified(folder / "checkpoints" / "last.ckpt"), folder / "checkpoints" / "last.ckpt"
    process = start(folder, *LONG)
    if number % 4 == 2:
        time.sleep(draw.uniform(0, 5))
    else:
        assert wait_for(lambda: modified(last) != before, process), result(process)
        time.sleep(draw.uniform(0, 0.3))
    if number % 2:
        wait_for(lambda: is_writing(folder), process)
    kill(process)
    return process.returncode == -9


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_change_nothing(tmp_path):
    draw = random.Random(5)
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert result(start(whole, *LONG))[0] == 0
    in_the_middle = 0
    for number in range(KILLS):
        assert killed(part, draw, number), "the run was too short for so many kills"
        in_the_middle += is_writing(part)
        found = checkpoint.read(part / "checkpoints" / "last.ckpt")  # always loadable
        assert all(value.isfinite().all() for value in found["state_dict"].values())
    code, out = result(start(part, *LONG))
    assert code == 0, out
    assert in_the_middle >= KILLS // 4
    for name in ("last.ckpt", "best.ckpt"):
        one, two = (checkpoint.read(folder / "checkpoints" / name) for folder in (whole, part))
        assert (one["epoch"], one["global_step"]) == (two["epoch"], two["global_step"])
        for key, value in one["state_dict"].items():
            torch.testing.assert_close(two["state_dict"][key], value, rtol=0, atol=0, msg=f"{name} {key}")
    assert sorted(path.name for path in (part / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert not list(part.rglob("*.partial"))
    assert rows(part / "evaluation" / "scores.csv") == rows(whole / "evaluation" / "scores.csv")
    validated = [[row for row in logged(folder / "metrics.csv") if "val/loss" in row] for folder in (whole, part)]
    assert validated[0] == validated[1]
    assert len(json.loads((part / "provenance.json").read_text())["resumed"]) > KILLS // 2
