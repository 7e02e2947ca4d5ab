"""Two processes on a CPU train as one with twice the batch."""

import csv
import subprocess
import sys

import pytest

from tests.programs import TINY


def train(folder, *overrides):
    command = [sys.executable, "-m", "nowcast.train", *TINY, "data.stride=1", "picture=false", f"output={folder}"]
    command += [f"data.archives.folder={folder.parent / 'data'}", "trainer.precision=32-true", *overrides]
    result = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr[-3000:]
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["val/csi_0p5mmh"]]


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    one = train(tmp_path / "one", "data.batch_size=4")
    two = train(tmp_path / "two", "data.batch_size=2", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        for name in a:
            if name.startswith("val/") and a[name]:
                assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-3, nan_ok=True), name
    scores = [(tmp_path / name / "evaluation" / "scores.csv").read_text().count("\n") for name in ("one", "two")]
    assert scores[0] == scores[1]
