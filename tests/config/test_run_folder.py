"""Refused commands leave no run directory, and what is not theirs stays."""

import subprocess
import sys

import pytest

from nowcast.config.run_folder import remove_unused
from nowcast.files import written_by_one


def refused(folder, *overrides):
    """A command that is refused, in a process of its own."""
    typed = ["data=radar", f"data.archives=[{folder / 'none.nc'}]", f"output={folder / 'outputs' / 'mine' / 'run'}"]
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", *typed, *overrides], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, "no archive at" in result.stderr) == (2, True)


@pytest.mark.parametrize("more", [[], ["hydra.output_subdir=.hydra"]])
def test_a_refused_command_leaves_nothing(tmp_path, more):
    refused(tmp_path, *more)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_a_refused_command_stays(tmp_path):
    run = tmp_path / "outputs" / "mine" / "run"
    run.mkdir(parents=True)
    refused(tmp_path)
    assert run.is_dir()
    run.rmdir()
    (run.parent / "other").mkdir()
    refused(tmp_path)
    assert [path.name for path in run.parent.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.yaml", ""), (".hydra/mine.txt", ""), ("train.log", "[2026-01-01][nowcast][WARNING] - odd\n"),
     ("train.log", "[2026-01-01][nowcast][ERROR] - bad\nthe user's own line\n"), ("checkpoints/", None)],
)  # fmt: skip
def test_a_directory_that_holds_anything_else_stays_as_it_is(tmp_path, name, text):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").touch()
    if text is None:
        (tmp_path / "run" / name).mkdir()
    else:
        (tmp_path / "run" / name).write_text(text)
    remove_unused([tmp_path / "run"], "train.log")
    assert (tmp_path / "run" / name).exists()
    assert (tmp_path / "run" / ".hydra" / "config.yaml").exists()


def test_a_log_of_errors_is_no_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").write_text("[2026-01-01][nowcast][ERROR] - bad\n")
    with written_by_one(tmp_path / "run"):
        remove_unused([tmp_path / "run"], "train.log")
        assert (tmp_path / "run" / "train.log").exists()  # another process is at it
    remove_unused([tmp_path / "run"], "train.log")
    assert list(tmp_path.iterdir()) == []
