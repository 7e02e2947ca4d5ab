"""`nowcast <command>`: what it becomes."""

import os
import re
import subprocess
import sys
from unittest import mock

import pytest
import torch

import nowcast
from nowcast import __main__, files
from nowcast.config import start
from nowcast.config.build import build
from nowcast.config.checks.settings import check_settings
from nowcast.config.command_line import versions
from nowcast.config.program import CONFIGS
from nowcast.forecasting.network import build_network
from tests.conftest import thinned
from tests.programs import composed


@pytest.fixture
def becomes(monkeypatch):
    """Run `nowcast <arguments>`; the command line and the setting of the allocator that it ends with."""

    def run(*arguments):
        called = []
        monkeypatch.setattr(os, "execv", lambda path, command: called.append(command))
        monkeypatch.setattr(sys, "argv", ["nowcast", *arguments])
        with mock.patch.dict(os.environ):
            __main__.main()
            return called[0][1:], os.environ.get("GLIBC_TUNABLES")

    return run


@pytest.mark.parametrize("command", __main__.COMMANDS)
def test_each_command_is_a_module_with_a_main(command, becomes, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    line, tunables = becomes(command, "seed=1")
    assert line == ["-P", "-m", "nowcast.config.start", command, "seed=1"]
    assert (tunables == start.KEEP_MEMORY) == (command in start.WITH_NETWORKS)
    assert callable(__import__(f"nowcast.commands.{command}", fromlist=["main"]).main)


def test_what_counts_memory_silences_what_torch_says_of_old_blocks(monkeypatch):
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
    assert start.environment("check")["TORCH_CPP_LOG_LEVEL"] == "ERROR"
    assert "TORCH_CPP_LOG_LEVEL" not in start.environment("train")
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "INFO")
    assert "TORCH_CPP_LOG_LEVEL" not in start.environment("check")


def test_the_users_own_allocator_settings_stay(becomes, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert becomes("train")[1] == "glibc.malloc.hugetlb=0"


def test_the_version_is_said_with_commit_torch_and_device(becomes, monkeypatch):
    assert becomes("--version")[0] == ["-P", "-m", "nowcast.config.command_line.versions"]
    monkeypatch.setattr(versions, "git_commit", lambda: "abc+changes")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    first, second, third = versions.versions().splitlines()
    assert first == f"nowcast {nowcast.__version__} (commit abc+changes)"
    assert second == f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}"
    assert re.fullmatch(r"CPU, \d+ threads", third)
    monkeypatch.setattr(versions, "git_commit", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    assert versions.versions().splitlines()[::2] == [f"nowcast {nowcast.__version__}", "a device"]


def test_the_commit_of_somebody_elses_repository_is_not_ours(tmp_path, monkeypatch):
    """A package in an environment that lies in a repository."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "nowcast" / "files.py"))
    (tmp_path / "site-packages").mkdir()
    assert files.git_commit() is None


def test_an_unknown_command_is_refused(becomes, capsys):
    with pytest.raises(SystemExit) as end:
        becomes("trian")
    assert end.value.code == 2
    assert "unknown command 'trian'; commands: train" in capsys.readouterr().err


def test_the_file_of_plot_needs_no_key(becomes, capsys):
    assert becomes("plot", "my file's.nc", "unit=dBZ")[0] == [
        "-P",
        "-m",
        "nowcast.config.start",
        "plot",
        "file='my file\\'s.nc'",
        "unit=dBZ",
    ]
    assert becomes("plot", "file=a.nc")[0] == ["-P", "-m", "nowcast.config.start", "plot", "file=a.nc"]
    assert becomes("plot", "--help")[0] == ["-P", "-m", "nowcast.config.start", "plot", "--help"]
    with pytest.raises(SystemExit) as end:
        becomes("plot", "a.nc", "b.nc")
    assert end.value.code == 2
    assert "draws one file, got a.nc, b.nc" in capsys.readouterr().err


# Imported by the modules of all programs, and by the command once the config is composed.
@pytest.mark.parametrize("imported", thinned(["omegaconf", "lightning"], fast=[0]))
def test_ctrl_c_during_the_imports_ends_in_one_line(tmp_path, imported):
    # The server of the loader processes imports the second, too; it gets the signal as it would in a terminal.
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise ImportError\n"
    (tmp_path / f"{imported}.py").write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "nowcast", "train", f"output={tmp_path / 'run'}"],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert result.returncode == 130
    assert re.fullmatch("nowcast( train)?: interrupted\n", result.stderr)


# Those that others share have no model.
EXPERIMENTS = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")} - {"mnist_base", "openstl_base"}


@pytest.mark.parametrize("experiment", sorted(EXPERIMENTS))
def test_every_experiment_composes_passes_and_has_a_network(experiment):
    config = composed(f"experiment={experiment}", "output=x")
    assert config.name == experiment
    check_settings(config)
    with torch.device("meta"):  # without memory for its weights
        assert build_network(config.model, build(config.head)) is not None


@pytest.mark.parametrize(
    ("typed", "words"), [(["--help"], "predict the next hours of rain"), (["train", "--cfg", "job"], "data:")]
)
def test_the_dispatcher_knows_its_commands(typed, words):
    shown = subprocess.run([sys.executable, "-m", "nowcast", *typed], capture_output=True, text=True, timeout=60)
    assert words in shown.stdout
