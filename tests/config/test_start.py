"""What a program changes in its process, where it does so, and what it must not find in the working directory."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import nowcast
from nowcast.config.start import KEEP_MEMORY
from tests.conftest import thinned
from tests.data.formats import fakes
from tests.programs import TINY

NOWCAST = str(Path(sys.executable).with_name("nowcast"))  # what a user types
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(nowcast.__path__, "nowcast.")
    if found.name not in ("nowcast.models.kernels.steps_cuda",)  # needs triton, which is there only with CUDA builds
)
LOOK = """
import importlib, logging, os, signal, sys, threading, warnings
def state():
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook, *map(signal.getsignal, (2, 10, 12, 15)))
    levels = {name: logging.getLogger(name).level for name in ("", "lightning", "matplotlib.category", "optuna")}
    lists = [[*map(repr, warnings.filters)], sys.path[:], sys.argv[:]]
    return {"environment": dict(os.environ), "hooks": hooks, "levels": levels, "raise": logging.raiseExceptions,
            "lists": lists}
names = sys.argv[1:]
before = state()
for name in names:
    importlib.import_module(name)
    after = state()
    print(*(f"{name} changes {what};" for what in before if before[what] != after[what]), end="")
    before = after
from nowcast.studies.search.search import START
print(START["GLIBC_TUNABLES"])
"""


@pytest.mark.thorough
def test_importing_a_module_changes_nothing_in_the_process_and_a_trial_has_the_memory_setting_of_a_training(
    monkeypatch,
):
    """Third parties' modules come first: what they do is theirs."""
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    theirs = ["torch", "lightning", "lightning.pytorch", "torchmetrics", "matplotlib.pyplot", "cv2", "optuna", "wandb"]
    theirs += [
        "pyproj",
        "netCDF4",
        "rasterio",
        "optuna.visualization.matplotlib",
        "torch.utils.cpp_extension",
        "zarr.storage",
    ]
    begun = f"import {', '.join(theirs)}\n"
    result = subprocess.run([sys.executable, "-c", begun + LOOK, *MODULES], capture_output=True, text=True, timeout=110)
    assert (result.returncode, result.stdout) == (0, f"{KEEP_MEMORY}\n"), result.stderr


@pytest.fixture
def hostile(tmp_path):
    """A working directory such as the one that holds the clone, with names that we and our libraries import."""
    for name in ("nowcast", "data", "hydra", "torch", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('imported {name} of the working directory')\n")
    (tmp_path / "configs").mkdir()
    for name in ("random", "logging", "lightning", "numpy", "optuna", "joblib", "submitit"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name} of the working directory')\n")
    return tmp_path


def typed(folder, *arguments, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    return subprocess.run(
        [NOWCAST, *arguments], cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=400
    )


def test_prepare_in_the_folder_that_holds_the_clone(hostile):
    (hostile / "in").mkdir()
    fakes.cf(hostile / "in" / "a.nc", [[[0.0, 1.0], [2.0, 3.0]]], times=(5,))
    result = typed(hostile, "prepare", "source=netcdf", "input=in", "output=a.nc")
    assert result.returncode == 0, result.stderr
    assert (hostile / "a.nc").is_file()


SHORT = [
    *(text for text in TINY if text != "data.workers=0"),
    "trainer.max_epochs=1",
    "evaluate=false",
    "data.archives.folder=echoes",
    "data.workers=1",
]


@pytest.mark.thorough
def test_training_with_loader_processes_in_such_a_folder(hostile):
    """One such process: those of validation begin in the same way."""
    alone = ["trainer.limit_val_batches=0", "callbacks.checkpoint=null"]
    result = typed(hostile, "train", *SHORT, *alone, "output=run")
    assert result.returncode == 0, result.stderr
    assert (hostile / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        ["train", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.windows.stride=1", "output=run"],
        ["train", "-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"],
        ["train", "-m", "seed=0", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"],
        ["tune", "tune=optimizer", "tune.trials=1"],
    ],
)  # fmt: skip
def test_processes_that_a_command_starts_in_such_a_folder(hostile, command):
    result = typed(hostile, *command, *SHORT)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "of the working directory" not in result.stderr + result.stdout


@pytest.mark.thorough
def test_the_users_wish_for_tracebacks_reaches_a_program_that_a_program_starts(monkeypatch):
    for users, shown in (("1", True), (None, False)):
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        if users:
            monkeypatch.setenv("HYDRA_FULL_ERROR", users)
        nested = "import subprocess, sys; from nowcast.config.start import begin; begin(); "
        nested += (
            "sys.exit(subprocess.run([sys.executable, '-m', 'nowcast.config.start', 'prepare', 'sorce=a']).returncode)"
        )
        result = subprocess.run([sys.executable, "-c", nested], capture_output=True, text=True, timeout=100)
        assert ("Traceback" in result.stderr) == shown
        assert result.returncode == (1 if shown else 2)


@pytest.mark.parametrize(
    ("line", "found"),
    thinned(
        [
            ("nowcast ", "prepare check"),
            ("nowcast tr", "train"),
            ("nowcast train optimi", "optimizer= optimizer."),
            ("nowcast prepare source=kn", "source=knmi"),
        ],
        fast=[1, 3],
    ),
)
def test_the_shell_completes_commands_and_settings(tmp_path, line, found):
    asked = typed(tmp_path, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert set(found.split()) <= set(asked.stdout.split()), asked.stderr


@pytest.mark.parametrize("command", thinned([[], ["train"], ["prepare"]], fast=[1]))
def test_shell_completion_registers_for_nowcast(tmp_path, command):
    said = typed(tmp_path, *command, "-sc", "install=bash").stdout
    assert said.rstrip().endswith("-F hydra_bash_completion nowcast")
