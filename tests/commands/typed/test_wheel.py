"""The wheel holds what lies beside the package in a checkout, and runs in an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BESIDE = {"nowcast/weights/pretrained.md": "docs/pretrained.md"}
TRAIN = [
    "train", "data.archives.train_events=2", "data.archives.val_events=1", "data.archives.test_events=1",
    "data.workers=0", "data.archives.rain.shape=[48,48]", "data.archives.rain.frames=24",
    "data.crop=32", "data.eval_crop=32",
    "data.sampling.samples_per_epoch=4", "data.batch_size=4", "model.net.widths=[4,4]", "trainer.max_epochs=1",
    "callbacks.watch=null", "callbacks.progress=null", "trainer.enable_progress_bar=false", "evaluate=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Made by way of the source distribution, as it is published."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_it_holds_configs_card_and_all_that_the_package_reads(wheel):
    configs = {f"nowcast/{path.relative_to(ROOT)}": path for path in (ROOT / "configs").rglob("*.yaml")}
    others = {f"{path.relative_to(ROOT)}": path for path in (ROOT / "nowcast").rglob("*") if path.is_file()}
    others = {name: path for name, path in others.items() if "__pycache__" not in name}
    expected = configs | others | {name: ROOT / place for name, place in BESIDE.items()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == set(expected)
    assert len(configs) > 100
    for name, path in expected.items():
        assert wheel.read(name) == path.read_bytes(), name


@pytest.mark.thorough
def test_it_trains_and_says_what_the_weights_are_in_an_empty_folder(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        command = [sys.executable, "-P", "-m", "nowcast", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"more: {tmp_path / 'site' / 'nowcast' / 'weights' / 'pretrained.md'}" in run(
        "check", "checkpoint=pretrained"
    )
    run(*TRAIN)
    (folder,) = (tmp_path / "empty" / "outputs" / "default").iterdir()
    assert (folder / "checkpoints" / "best.ckpt").is_file()
