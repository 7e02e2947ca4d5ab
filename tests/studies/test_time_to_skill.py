"""What the runs of a multirun had learned after how many seconds, against tables worked by hand."""

import csv
import json
import math

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from nowcast.studies.summary import compare_all, named_runs, summarise
from nowcast.studies.time_to_skill import Learning, common_level, labels_of
from tests.programs import TINY, run

NAN = math.nan


def learning(mode, values, monitor="val/csi"):
    return Learning(monitor, mode, 10.0 * np.arange(1, len(values) + 1), {monitor: np.array(values, dtype=float)})


# Runs' scores after 10, 20, … s; the worst of their best ones; when each was there first.
@pytest.mark.parametrize(
    ("mode", "runs", "level", "seconds"),
    [
        ("max", [[0.1, 0.4, 0.3], [0.5, 0.6]], 0.4, [20, 10]),
        ("min", [[0.9, 0.4, 0.3], [0.5, 0.6]], 0.5, [20, 10]),
        ("max", [[NAN, 0.2, 0.5], [0.2, NAN, 0.3]], 0.3, [30, 30]),
        ("max", [[NAN, NAN], [0.2]], None, None),
    ],
)
def test_seconds_until_all_were_as_good_as_the_worst_became(mode, runs, level, seconds):
    learned = [learning(mode, values) for values in runs]
    assert common_level(learned) == level
    if level is not None:
        assert [one.seconds_to(level) for one in learned] == seconds


def test_a_level_that_was_not_reached_has_no_seconds():
    assert learning("max", [0.1, NAN]).seconds_to(0.2) is None
    assert learning("min", [0.1, NAN]).seconds_to(0.05) is None


def test_runs_chosen_by_other_scores_have_no_level_in_common():
    assert common_level([learning("max", [0.1]), learning("min", [0.1], "val/loss")]) is None
    assert common_level([]) is None


@pytest.mark.parametrize(
    ("names", "settings", "labels"),
    [
        ([], [[]], ["run"]),
        (["optimizer.lr"], [[0.1], [0.2]], ["optimizer.lr=0.1", "optimizer.lr=0.2"]),
        (["model._target_", "model.patch"], [["a.ConvLSTM", 2], ["a.UNet", ""]], ["convlstm", "unet"]),
        (  # two of one class
            ["model._target_", "model.patch", "model.widths"],
            [["a.ConvLSTM", 2, ""], ["a.ConvLSTM", 4, ""], ["a.UNet", "", [8]]],
            ["convlstm patch=2", "convlstm patch=4", "unet"],
        ),
        (
            ["model._target_", "model.patch", "loss.factor"],
            [["a.ConvLSTM", 2, 1], ["a.ConvLSTM", 2, 3], ["a.UNet", "", 1]],
            ["convlstm loss.factor=1", "convlstm loss.factor=3", "unet loss.factor=1"],
        ),
        (["model.patch"], [[2], [4]], ["patch=2", "patch=4"]),
    ],
)
def test_names_of_combinations(names, settings, labels):
    assert labels_of(names, [{"settings": each} for each in settings]) == labels


def fake_run(folder, name, target, seed, rows, memory=None):
    """A run of which only what it learned is known: rows of seconds and scores."""
    (folder / name).mkdir()
    config = {
        "name": "x", "seed": seed, "output": f"there/{name}", "evaluate": False, "resume": False,
        "data": {}, "model": {"_target_": f"networks.{target}"},
        "callbacks": {"checkpoint": {"monitor": "val/csi", "mode": "max", "dirpath": f"there/{name}/checkpoints"}},
        "verification": {"main_threshold": 0.5},
    }  # fmt: skip
    (folder / name / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / name / "provenance.json").write_text(json.dumps({"parameters": 1234}))
    (folder / name / "metrics.csv").write_text("epoch,val/csi\n" + "".join(f"0,{csi}\n" for _, csi in rows))
    if rows[0][0] is not None:
        lines = [f"{k},{k},{seconds},{memory or ''},{csi}" for k, (seconds, csi) in enumerate(rows)]
        heads = "epoch,step,processor_seconds,peak_memory_mib,val/csi"
        (folder / name / "time.csv").write_text("\n".join([heads, *lines]) + "\n")


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_table_at_the_end_of_a_multirun(tmp_path, capsys):
    fake_run(tmp_path, "0", "UNet", 0, [(5, 0.2), (10, 0.4), (15, 0.5)], memory=100)
    fake_run(tmp_path, "1", "UNet", 1, [(6, 0.3), (12, 0.3), (18, 0.4)], memory=200)
    fake_run(tmp_path, "2", "ConvLSTM", 0, [(7, 0.1), (20, 0.45)])
    summarise(tmp_path)
    unet, convlstm = rows_of(tmp_path / "time_to_skill.csv")
    # All reached 0.4: the first U-Net after 10 s, the second after 18, the ConvLSTM after 20.
    assert unet == {
        "run": "unet", "runs": "2", "parameters": "1234", "peak_memory_mib": "200.0", "processor_seconds": "16.5",
        "best_mean": "0.45", "level": "0.4", "seconds_to_level_mean": "14.0",
        "seconds_to_level_sd": repr(32**0.5),
    }  # fmt: skip
    assert [convlstm[key] for key in ("run", "runs", "peak_memory_mib", "processor_seconds")] == [
        "convlstm", "1", "", "20.0",
    ]  # fmt: skip
    assert (convlstm["seconds_to_level_mean"], convlstm["seconds_to_level_sd"]) == ("20.0", "")
    printed = " ".join(capsys.readouterr().out.split())
    assert "no verdict about what more of it would give" in printed
    assert "1,234" in printed
    drawn = (tmp_path / "time_to_skill.svg").read_text()
    assert drawn.count("<circle") == 3 + 3 + 2 + 2  # each validation, and the key
    assert "<title>unet, 15: 0.5</title>" in drawn
    assert named_runs(tmp_path) == {
        tmp_path / "0": "unet 0", tmp_path / "1": "unet 1", tmp_path / "2": "convlstm 2",
    }  # fmt: skip


def test_runs_that_counted_no_seconds_have_no_table(tmp_path):
    fake_run(tmp_path, "0", "UNet", 0, [(None, 0.2)])
    summarise(tmp_path)
    assert (tmp_path / "summary.csv").exists()
    assert not (tmp_path / "time_to_skill.csv").exists()


def test_runs_without_scores_are_not_compared(tmp_path):
    for name in ("0", "1"):
        fake_run(tmp_path, name, "UNet", int(name), [(5, 0.2)])
    compare_all(tmp_path, OmegaConf.create())
    assert not (tmp_path / "comparison").exists()


@pytest.mark.thorough
def test_a_multirun_ends_with_a_report_of_all_its_runs(tmp_path, capsys):
    folder = tmp_path / "sweep"
    code, message = run(
        "train", "-m", *TINY, "calibration=none", "seed=0,1", "trainer.max_epochs=-1",
        "callbacks.processor_time.limit_seconds=0.05", "callbacks.watch.every_n_epochs=0",
        f"data.archives.folder={tmp_path / 'data'}", f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert (code, message) == (0, ""), capsys.readouterr().err
    assert "convlstm (run 1)" in (folder / "comparison" / "report.html").read_text()
    summarise(folder)  # what the process does at its end
    (row,) = rows_of(folder / "time_to_skill.csv")
    assert row["runs"] == "2"
    assert float(row["processor_seconds"]) >= 0.05
    assert float(row["peak_memory_mib"]) > 0
