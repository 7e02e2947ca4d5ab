"""`nowcast init <folder>`: what it writes trains, and its own test passes."""

import os
import subprocess
import sys
import tomllib

import pytest
import yaml

from nowcast import __main__, load_forecaster
from nowcast.repository import make_repository, package_name
from tests.extension import declare
from tests.programs import TINY, run


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A repository, entered, with its package known as pip would make it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nowcast", "init", "my-rain"])
    __main__.main()
    folder = tmp_path / "my-rain"
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in points.items()
    ]
    declare(folder, monkeypatch, "\n".join(lines), "my_rain")
    monkeypatch.chdir(folder)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_rain"]:
        del sys.modules[name]


def test_its_experiment_trains_its_model_and_the_checkpoint_is_trusted(begun):
    settings = [text for text in TINY if not text.startswith(("experiment=", "model.", "trainer.max_epochs"))]
    more = ["trainer.max_epochs=1", "evaluate=false", "output=run", "data.archives.folder=echoes"]
    assert run("train", "experiment=first", *settings, *more) == (0, "")
    network = load_forecaster("run/checkpoints/best.ckpt")
    config = yaml.safe_load((begun / "run" / "config.yaml").read_text())
    assert config["model"] == {
        "_target_": "my_rain.network.Residual", "input_steps": 3, "forecast_steps": 4, "width": 16
    }  # fmt: skip
    assert network is not None


@pytest.mark.thorough
def test_its_own_test_passes(begun):
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        env=environment, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_what_is_written_is_what_the_template_says(begun, capsys):
    files = {
        str(path.relative_to(begun)) for path in begun.rglob("*") if path.is_file() and "dist-info" not in str(path)
    }
    assert files == {
        ".github/workflows/test.yml", ".gitignore", "Makefile", "README.md", "configs/experiment/first.yaml",
        "configs/model/residual.yaml", "my_rain/__init__.py", "my_rain/network.py", "pyproject.toml",
        "tests/test_first.py",
    }  # fmt: skip
    assert not [name for name in files if "PACKAGE" in (begun / name).read_text()]
    steps = yaml.safe_load((begun / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make install", "make test"]
    told = subprocess.run(["make", "-n", "install", "test", "train"], capture_output=True, text=True, check=True).stdout
    assert "nowcast train experiment=first" in told


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="holds something already; choose another folder"):
        make_repository(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("folder", "package"), [("my-rain", "my_rain"), ("Rain 2", "rain_2"), ("a.b", "a_b"), ("x", "x")]
)
def test_the_package_bears_the_name_of_the_folder(folder, package):
    assert package_name(folder) == package


@pytest.mark.parametrize("name", ["2rain", "", "class", "nowcast", "tests", "régen", "a/b", "_a"])
def test_a_name_that_no_package_can_have_is_refused(name):
    with pytest.raises(ValueError, match=r"cannot be the name of a Python package|name of something else"):
        package_name(name)


@pytest.mark.parametrize("typed", [[], ["a", "b"], ["--help"], ["class"]])
def test_what_is_typed_wrongly_ends_in_one_line(typed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nowcast", "init", *typed])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nowcast init" in said
    assert list(tmp_path.iterdir()) == []
