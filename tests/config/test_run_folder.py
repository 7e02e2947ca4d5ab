"""Refused commands leave no run directory, and what is not theirs stays."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from nowcast.config import run_folder
from nowcast.config.run_folder import remove_unused
from nowcast.files import written_by_one
from tests.programs import ended


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Run a command that is refused, and what it leaves for the end of its process."""
    at_end = []
    monkeypatch.setattr(run_folder, "atexit", SimpleNamespace(register=lambda *call: at_end.append(call)))

    def run(*overrides):
        output = tmp_path / "outputs" / "mine" / "run"
        code, message = ended(
            "train", "data=radar", f"data.archives=[{tmp_path / 'none.nc'}]", f"output={output}", *overrides
        )
        assert (code, "no archive at" in message) == (2, True)
        while at_end:
            function, *arguments = at_end.pop()
            function(*arguments)

    return run


@pytest.mark.parametrize("more", [[], ["hydra.output_subdir=.hydra"]])
def test_a_refused_command_leaves_nothing(tmp_path, refused, more):
    refused(*more)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_refused_leaves_nothing(tmp_path):
    typed = ["trainer.max_epochs=two", f"output={tmp_path / 'outputs' / 'run'}", "hydra.output_subdir=.hydra"]
    result = subprocess.run(
        [sys.executable, "-m", "nowcast.commands.train", *typed], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, "max_epochs must be" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_a_refused_command_stays(tmp_path, refused):
    run = tmp_path / "outputs" / "mine" / "run"
    run.mkdir(parents=True)
    refused()
    assert run.is_dir()
    run.rmdir()
    (run.parent / "other").mkdir()
    refused()
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
