"""metrics.csv: one line for what is logged at one step, and a training loss in each epoch."""

import math

from nowcast.studies.search.process import read_metrics
from nowcast.training.loggers.metrics import MetricsWriter
from tests.programs import TINY, rows, run


def test_what_belongs_to_one_step_is_one_line(tmp_path):
    writer = MetricsWriter(str(tmp_path))
    for values, step in [
        ({"lr-AdamW": 0.1}, 0), ({"epoch": 0, "train/loss": 3.0}, 2), ({"epoch": 0, "train/loss": 2.0}, 4),
        ({"epoch": 0, "train/loss": 2.0}, 4), ({"epoch": 0, "val/loss": 5.0}, 4), ({"lr-AdamW": 0.2}, 5),
        ({"epoch": 1, "train/loss": math.nan}, 7), ({"epoch": 1, "val/loss": 4.0}, 7),
        ({"epoch": 1, "val/loss": 3.0}, 7),
    ]:  # fmt: skip
        writer.log_metrics(values, step)
        writer.save()
    names = ("epoch", "step", "lr-AdamW", "train/loss", "val/loss")
    assert [tuple(row[name] for name in names) for row in rows(tmp_path / "metrics.csv")] == [
        ("0", "2", "0.1", "3.0", ""), ("0", "4", "", "2.0", "5.0"), ("1", "7", "0.2", "nan", "4.0"),
        ("1", "7", "", "", "3.0"),
    ]  # fmt: skip
    lines = (tmp_path / "metrics.csv").read_bytes().split(b"\r\n")
    assert lines[:3] == [b"epoch,lr-AdamW,step,train/loss,val/loss", b"0,0.1,2,3.0,", b"0,,4,2.0,5.0"]


def test_an_epoch_that_is_shorter_than_the_interval_of_logging_has_its_training_loss(tmp_path):
    code, message = run(
        "train", *TINY, "evaluate=false", f"output={tmp_path / 'run'}", f"data.archives.folder={tmp_path / 'echoes'}"
    )
    assert (code, message) == (0, "")
    lines = rows(tmp_path / "run" / "metrics.csv")
    assert [row["epoch"] for row in lines] == ["0", "1"]
    for row in lines:
        empty = {name for name, value in row.items() if not value}
        assert not empty, empty
    assert [row.epoch for row in read_metrics(tmp_path / "run" / "metrics.csv")] == [0, 1]
