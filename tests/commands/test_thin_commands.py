"""Commands are short, and what they import late is one module of work each: mypy sees all the rest."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nowcast

PACKAGE = Path(nowcast.__file__).parent
COMMANDS = sorted((PACKAGE / "commands").glob("[a-z]*.py"))
IMPORTS = (ast.Import, ast.ImportFrom)


def late_imports(path):
    """Lines of the imports inside functions."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return {node.lineno for function in functions for node in ast.walk(function) if isinstance(node, IMPORTS)}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_short(path):
    assert len(path.read_text().splitlines()) <= 60
    assert 1 <= len(late_imports(path)) <= 2


def test_few_imports_are_late():
    late = {path: late_imports(path) for path in PACKAGE.rglob("*.py")}
    assert sum(map(len, late.values())) < 25
    assert not [path for path in late if "imported late" in path.read_text()]


def test_no_command_but_tune_needs_an_extra():
    """What is in `dev` alone, or in an extra, is missing where the project was installed as the README says."""
    extras = [
        "pyarrow",
        "zarr",
        "obstore",
        "dask",
        "distributed",
        "optuna",
        "plotly",
        "pysteps",
        "cartopy",
        "tensorboard",
    ]
    modules = []
    for path in COMMANDS:
        late = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        modules += [node.module for node in late if node.module.startswith("nowcast") and path.stem != "tune"]
    assert {"nowcast.studies.check", "nowcast.training.run", "nowcast.data.prepare.either"} <= set(modules)
    program = f"import sys; sys.modules |= dict.fromkeys({extras}); import {', '.join(dict.fromkeys(modules))}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
