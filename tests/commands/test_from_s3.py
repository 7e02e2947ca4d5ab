"""One command trains from a store on S3 that `prepare` made, is killed and goes on; its scores are those of netCDF."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from nowcast.data.archive.archive import Archive
from nowcast.forecasting import checkpoint
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.formats import fakes
from tests.data.zarr.stores import mirror
from tests.faults.runs import kill, result, wait_for
from tests.programs import TINY, rows, run
from tests.s3 import KEY, SECRET

RADAR = [
    *(one for one in TINY if not one.startswith(("data.archives", "experiment", "model.", "data.crop"))),
    "data=radar", "model=lagrangian", "head=exceedance", "loss=exceedance", "model.net.widths=[4,8]",
    "data.split.block_minutes=50", "data.split.gap_minutes=0", "data.windows.stride=3",
    "callbacks.watch.every_n_epochs=0",
    "data.crop=32", "picture=false", "trainer.max_epochs=3",
]  # fmt: skip
ADDRESS = "s3://bucket/rain.zarr"


def fake(folder):
    """Files of KNMI with a wet square that moves."""
    for k in range(60):
        cells = np.zeros((64, 64), dtype=np.uint16)
        cells[20:40, k % 40 : k % 40 + 16] = 30
        cells[:4] = 65535
        start, end = (f"26-AUG-2010;{5 * n // 60:02}:{5 * n % 60:02}:00" for n in (k, k + 1))
        times = {"overview/product_datetime_start": start, "overview/product_datetime_end": end}
        fakes.knmi(folder / f"{k:02}.h5", cells, **times)
    return folder


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.real_data)])
def prepared(request, tmp_path_factory):
    """A folder with a store and an archive of the same files and a training on the archive, and settings of it."""
    folder, settings = tmp_path_factory.mktemp("prepared"), []
    if request.param == "real":
        files, settings = request.getfixturevalue("real_data") / "knmi_hdf5", ["data.windows.cell_km=10"]
    else:
        (folder / "in").mkdir()
        files = fake(folder / "in")
    for name in ("rain.zarr", "rain.nc"):
        arguments = ["source=knmi", f"input={files}", f"output={folder / name}", "workers=0"]
        assert run("prepare", *arguments, "store.frames_per_shard=12") == (0, "")
    data = f"data.archives=[{folder / 'rain.nc'}]"
    assert run("train", *RADAR, *settings, data, f"output={folder / 'netcdf'}") == (0, "")
    return folder, settings


def start(s3, output, *overrides):
    """A training from S3 as a process of its own."""
    command = [sys.executable, "-m", "nowcast.commands.train", *RADAR, f"data.archives=[{ADDRESS}]", f"output={output}"]
    return subprocess.Popen(
        [*command, *overrides],
        env=os.environ | s3.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trained_from_s3_killed_resumed_and_scored_on_netcdf(prepared, s3, tmp_path):
    prepared, settings = prepared
    shutil.rmtree(s3.folder / "bucket" / "rain.zarr", ignore_errors=True)
    shutil.copytree(prepared / "rain.zarr", s3.folder / "bucket" / "rain.zarr")
    output = tmp_path / "run"
    last = output / "checkpoints" / "last.ckpt"
    process = start(s3, output, *settings)
    assert wait_for(last.exists, process, 300), result(process)
    kill(process)
    assert process.returncode == -signal.SIGKILL
    assert "finished" not in json.loads((output / "provenance.json").read_text())
    with changed(s3.folder / "bucket" / "rain.zarr" / "zarr.json"):
        code, out = result(start(s3, output, *settings, "resume=auto"))
        assert (code, "Traceback" in out) == (1, False), out
        assert "was begun with other data than the config finds now" in " ".join(out.split())
    code, out = result(start(s3, output, *settings, "resume=auto"))
    assert (code, "Traceback" in out) == (0, False), out
    assert len(json.loads((output / "provenance.json").read_text())["resumed"]) == 1

    for name in ("best.ckpt", "last.ckpt"):
        one, other = (checkpoint.read(run / "checkpoints" / name) for run in (output, prepared / "netcdf"))
        assert one["global_step"] == other["global_step"]
        for key, value in other["state_dict"].items():
            torch.testing.assert_close(one["state_dict"][key], value, rtol=0, atol=0, msg=key)
    assert rows(output / "evaluation" / "scores.csv") == rows(prepared / "netcdf" / "evaluation" / "scores.csv")

    for name, path in (("of_s3", output), ("of_netcdf", prepared / "netcdf")):
        arguments = [f"checkpoint={path / 'checkpoints' / 'best.ckpt'}", f"data.archives=[{prepared / 'rain.nc'}]"]
        assert run("evaluate", *arguments, f"output={tmp_path / name}", "html=false") == (0, "")
    scores = [rows(tmp_path / name / "scores.csv") for name in ("of_s3", "of_netcdf")]
    assert scores[0] == scores[1]
    assert len(scores[0]) > 10
    assert secrets_in(output, tmp_path / "of_s3") == []


@contextmanager
def changed(metadata):
    """Metadata of which an attribute is another one, as when a store grew."""
    before = metadata.read_text()
    metadata.write_text(before.replace("2026-", "2025-"))
    assert metadata.read_text() != before
    yield
    metadata.write_text(before)


def secrets_in(*folders):
    """Files that hold a key."""
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    assert len(files) > 5
    return [path for path in files if any(word.encode() in path.read_bytes() for word in (KEY, SECRET))]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive, on which stores of tests are modelled."""
    return Archive(moving_rain(tmp_path_factory.mktemp("small") / "rain.nc", frames=30))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("unit", "rr is rainfall_flux and has unit 'mm', one of rain_amount; expected one of rain_rate"),
        ("grid", "coarse"),
        ("absent", "is no Zarr store that can be opened"),
        ("no key", "access is denied; export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("half a key", "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not: export both, or unset both"),
        ("wrong key", "access is denied; export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_is_wrong_with_a_store_is_one_line(small, s3, tmp_path, monkeypatch, capfd, harm, said):
    shutil.rmtree(s3.folder / "bucket", ignore_errors=True)
    places = ["s3://bucket/rain.zarr"]
    if harm != "absent":
        mirror(small, s3.folder / "bucket" / "rain.zarr", unit="mm" if harm == "unit" else "mm h-1")
    if harm == "grid":
        frames = [frame(5 * k, np.ones((32, 40)), grid=grid((32, 40), cell=2000.0)) for k in range(30)]
        mirror(Archive(write(tmp_path / "coarse.nc", frames)), s3.folder / "bucket" / "coarse.zarr")
        places.append("s3://bucket/coarse.zarr")
    if harm in ("no key", "half a key"):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    if harm == "no key":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if harm == "wrong key":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[::-1])
    code, message = run("check", *RADAR, f"data.archives=[{','.join(places)}]")
    assert code == 1
    assert message.startswith("nowcast check: error: ")
    assert said in message
    assert "\n" not in message
    told = message + "".join(capfd.readouterr())
    assert not [word for word in ("Traceback", KEY, SECRET, SECRET[::-1]) if word in told]
