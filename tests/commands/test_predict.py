"""`nowcast predict` with a trained network: the file, what can be chosen, and what does not fit."""

import json
import subprocess
import sys

import netCDF4
import numpy as np
import pytest
from PIL import Image

from tests.data.archives import frame, grid, write
from tests.data.formats import fakes
from tests.pictures import assert_has_colours_of_rain
from tests.programs import run


def two_km(path, frames=6, skip=(), step=5, shape=(24, 20), cell=2000.0):
    draw = np.random.default_rng(1)
    fields = []
    for k in range(frames):
        values = draw.random(shape) * 3
        values[:, :2] = np.nan
        if k not in skip:
            fields.append(frame(step * k, values, grid=grid(shape, cell)))
    return write(path, fields)


def test_a_forecast_is_a_cf_file(trained, tmp_path):
    path = two_km(tmp_path / "now.nc")
    output = tmp_path / "nowcast.nc"
    best = trained / "checkpoints" / "best.ckpt"
    assert run("predict", f"checkpoint={best}", f"input={path}", f"output={output}", "plot=true") == (0, "")
    with netCDF4.Dataset(output) as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.checkpoint_sha256
        rain = dataset["rain_rate"]
        assert (rain.units, rain.standard_name) == ("mm h-1", "lwe_precipitation_rate")
        assert rain.shape == (4, 24, 20)
        assert dataset[rain.grid_mapping].grid_mapping_name == "lambert_azimuthal_equal_area"
        values = rain[:].filled(np.nan)
        assert np.isnan(values[:, :, :2]).all()  # no forecast where the radar sees nothing
        assert np.isfinite(values[:, :, 2:]).all()
        assert (dataset["mask"][:, :2] == 0).all()
        assert (dataset["mask"][:, 2:] == 1).all()
        assert dataset["forecast_period"][:].tolist() == [300, 600, 900, 1200]
        start = int(dataset["forecast_reference_time"][...])
        assert (dataset["time"][:] - start).tolist() == [300, 600, 900, 1200]
        assert np.datetime64(start, "s") == np.datetime64("2024-05-01T00:25:00")
    with Image.open(output.with_suffix(".gif")) as picture:
        assert picture.n_frames == 3 + 4
    assert output.with_suffix(".png").exists()


SLOW = ("cv2", "lightning", "matplotlib", "pandas", "scipy", "sympy", "torchmetrics", "wandb", "xarray")
WATCHED = """
import json, sys
from nowcast.commands.predict import main
for typed in json.load(sys.stdin):
    sys.argv[1:] = typed
    main()
    print("loaded", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.thorough
def test_a_forecast_imports_nothing_that_only_training_and_pictures_need(trained, tmp_path):
    """In one process, a network and then a baseline, which finds motion with cv2."""
    path = two_km(tmp_path / "now.nc")
    best = trained / "checkpoints" / "best.ckpt"
    chosen = [[f"checkpoint={best}"], ["model=extrapolation", "forecast_steps=4"]]
    typed = [[*each, f"input={path}", f"output={tmp_path / f'{k}.nc'}"] for k, each in enumerate(chosen)]
    command = [sys.executable, "-c", WATCHED]
    said = subprocess.run(command, input=json.dumps(typed), capture_output=True, text=True, check=True).stdout
    network, both = (set(line.split()) for line in said.splitlines() if line.startswith("loaded"))
    assert {"torch", "netCDF4"} < network
    assert network.isdisjoint(SLOW)
    assert both.isdisjoint({*SLOW} - {"cv2"})
    assert all((tmp_path / f"{k}.nc").is_file() for k in range(2))


def test_averaging_to_the_cells_of_the_network_is_said(trained, tmp_path, capsys):
    best = trained / "checkpoints" / "best.ckpt"
    said = []
    for cell in (1000.0, 2000.0):
        path = two_km(tmp_path / f"of_{cell:g}_m.nc", cell=cell)
        assert run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / f'{cell}.nc'}") == (0, "")
        said.append(capsys.readouterr().err)
    assert said == ["INFO of_1000_m: cells of 1 km are averaged to the network's 2 km\n", ""]


def test_a_last_frame_without_data_is_no_input(trained, tmp_path):
    where = grid((24, 20), 2000.0)
    frames = [frame(5 * k, np.full((24, 20), np.nan if k == 3 else 1.0), grid=where) for k in range(4)]
    path = write(tmp_path / "now.nc", frames)
    best = trained / "checkpoints" / "best.ckpt"
    code, message = run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / 'o.nc'}")
    assert code == 1
    assert "2024-05-01T00:15:00 holds no data at all" in message


@pytest.mark.thorough
@pytest.mark.parametrize("safe", [False, True])
def test_colours_can_be_those_for_the_colour_blind(trained, tmp_path, safe):
    path, best, output = two_km(tmp_path / "now.nc"), trained / "checkpoints" / "best.ckpt", tmp_path / "out.nc"
    arguments = [f"checkpoint={best}", f"input={path}", f"output={output}", "plot=true"]
    assert run("predict", *arguments, f"colour_blind_safe={str(safe).lower()}") == (0, "")
    assert_has_colours_of_rain(output.with_suffix(".png"), safe)


def test_length_time_and_calibration_can_be_chosen(trained, tmp_path):
    path, best = two_km(tmp_path / "now.nc"), trained / "checkpoints" / "best.ckpt"
    values = {}
    for name, more in {
        "newest": [],
        "earlier": ["init_time=2024-05-01T00:15"],
        "elsewhere": ["init_time='2024-05-01T02:15+02:00'"],
        "longer": ["forecast_steps=9"],
        "raw": ["calibrated=false"],
    }.items():
        output = tmp_path / f"{name}.nc"
        assert run("predict", f"checkpoint={best}", f"input={path}", f"output={output}", *more) == (0, "")
        with netCDF4.Dataset(output) as dataset:
            values[name] = dataset["rain_rate"][:].filled(np.nan)
    assert values["longer"].shape[0] == 9
    np.testing.assert_array_equal(values["longer"][:4], values["newest"])
    np.testing.assert_array_equal(values["elsewhere"], values["earlier"])
    for other in ("earlier", "raw"):
        assert not np.array_equal(values["newest"], values[other], equal_nan=True)


def test_provider_files_are_read_as_they_are(trained, tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(4):
        values = np.random.default_rng(k).random((1, 16, 16)).astype(np.float32)
        y, x = np.arange(16)[::-1] * 2000.0, np.arange(16) * 2000.0
        fakes.cf(tmp_path / "in" / f"{k}.nc", values, times=(5 * k,), y=y, x=x)
    best = trained / "checkpoints" / "best.ckpt"
    arguments = [f"checkpoint={best}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out.nc'}"]
    assert "add source=<format>" in run("predict", *arguments)[1]
    assert run("predict", *arguments, "source=netcdf") == (0, "")
    with netCDF4.Dataset(tmp_path / "out.nc") as dataset:
        assert dataset["rain_rate"].shape == (4, 16, 16)


@pytest.mark.parametrize(
    ("made", "more", "words"),
    [
        ({"step": 10}, [], ["time step 10 min", "trained on 5 min"]),
        ({"frames": 2}, [], ["2 frame(s)", "needs 3"]),
        ({"frames": 9, "skip": (7,)}, [], ["gap", "no frame at 2024-05-01T00:35:00", "init_time=2024-05-01T00:30:00"]),
        ({}, ["init_time=2030-01-01"], ["no frame at init_time=2030-01-01", "2024-05-01T00:25:00"]),
        ({}, ["init_time=noon"], ["init_time='noon' is not a time"]),
        ({"cell": 3000.0}, [], ["cells of 3 km cannot be averaged to cell_km=2"]),
        ({}, ["forecast_steps=0"], ["forecast_steps must be at least 1"]),
    ],
)
def test_inputs_that_do_not_fit_are_explained(trained, tmp_path, made, more, words):
    path = two_km(tmp_path / "now.nc", **made)
    best = trained / "checkpoints" / "best.ckpt"
    code, message = run("predict", f"checkpoint={best}", f"input={path}", f"output={tmp_path / 'o.nc'}", *more)
    assert code == 1
    for word in words:
        assert word in message
    assert not (tmp_path / "o.nc").exists()


def test_an_existing_forecast_is_kept(trained, tmp_path):
    (tmp_path / "o.nc").write_text("precious")
    best = trained / "checkpoints" / "best.ckpt"
    assert (
        "choose another output" in run("predict", f"checkpoint={best}", "input=x.nc", f"output={tmp_path / 'o.nc'}")[1]
    )
    assert (tmp_path / "o.nc").read_text() == "precious"
