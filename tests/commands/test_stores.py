"""The commands on a Zarr store: what they give is what they give on the netCDF archive of the same frames."""

import csv
import json
import shutil

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.zarr.stores import KINDS, mirror
from tests.programs import TINY, run

RADAR = [
    *(one for one in TINY if not one.startswith("data.archives")), "data=radar",
    "data.split.block_minutes=50", "data.split.gap_minutes=0", "callbacks.watch.every_n_epochs=0",
]  # fmt: skip


def trained(path, output, *overrides):
    return run("train", *RADAR, f"data.archives=[{path}]", f"output={output}", *overrides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An archive, stores of its frames, and a training on it."""
    folder = tmp_path_factory.mktemp("stores")
    archive = Archive(moving_rain(folder / "rain.nc", frames=60))
    (folder / "a").mkdir()
    mirror(archive, folder / "a" / "rain.zarr", **KINDS["v3, sharded"])
    mirror(archive, folder / "packed" / "rain.zarr", **KINDS["v2, packed, from the south east"])
    assert trained(folder / "rain.nc", folder / "netcdf") == (0, "")
    return folder


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["a", pytest.param("packed", marks=pytest.mark.thorough)])
def test_a_training_on_a_store_is_that_on_the_archive_to_the_last_digit(folder, kind):
    assert trained(folder / kind / "rain.zarr", folder / f"run_{kind}") == (0, "")
    one, other = folder / "netcdf", folder / f"run_{kind}"
    assert rows(one / "evaluation" / "scores.csv") == rows(other / "evaluation" / "scores.csv")
    assert rows(one / "evaluation" / "errors.csv") == rows(other / "evaluation" / "errors.csv")
    assert (one / "split.json").read_text() == (other / "split.json").read_text()
    losses = [[row.get("train/loss") for row in rows(each / "metrics.csv")] for each in (one, other)]
    assert losses[0] == losses[1]


@pytest.mark.thorough
def test_a_checkpoint_of_one_kind_is_evaluated_on_the_other_with_the_same_scores(folder):
    checkpoint = folder / "netcdf" / "checkpoints" / "best.ckpt"
    for name, path in (("of_netcdf", "rain.nc"), ("of_store", "a/rain.zarr")):
        arguments = [f"data.archives=[{folder / path}]", f"output={folder / name}", "html=false"]
        assert run("evaluate", f"checkpoint={checkpoint}", *arguments, "data.windows.stride=4") == (0, "")
    assert rows(folder / "of_netcdf" / "scores.csv") == rows(folder / "of_store" / "scores.csv")


@pytest.mark.thorough
def test_a_run_is_not_gone_on_with_when_its_store_changed(folder):
    store = folder / "changing" / "rain.zarr"
    shutil.copytree(folder / "a" / "rain.zarr", store)
    assert trained(store, folder / "changed", "trainer.max_epochs=1", "evaluate=false") == (0, "")
    assert trained(store, folder / "changed", "trainer.max_epochs=1", "evaluate=false", "resume=auto") == (0, "")
    metadata = json.loads((store / "zarr.json").read_text())
    metadata["attributes"]["history"] = "corrected"
    (store / "zarr.json").write_text(json.dumps(metadata))
    code, message = trained(store, folder / "changed", "trainer.max_epochs=1", "evaluate=false", "resume=auto")
    assert code == 1
    assert "was begun with other data than the config finds now: " in message
    assert "rain" in message


def test_a_forecast_from_a_store_is_that_from_the_archive_and_counts_no_shares(folder):
    found = []
    for name, path in (("one", "rain.nc"), ("two", "packed/rain.zarr")):
        output = folder / f"{name}.nc"
        checkpoint = folder / "netcdf" / "checkpoints" / "best.ckpt"
        assert run("predict", f"checkpoint={checkpoint}", f"input={folder / path}", f"output={output}") == (0, "")
        with netCDF4.Dataset(output) as file:
            found.append(file["rain_rate"][:].filled(np.nan))
    assert np.array_equal(*found, equal_nan=True)


@pytest.mark.thorough
def test_check_tells_of_a_store_what_it_tells_of_the_archive(folder):
    said = []
    for path in ("rain.nc", "a/rain.zarr"):
        output = folder / f"check_{path.replace('/', '_')}.json"
        assert run("check", *RADAR, f"data.archives=[{folder / path}]", f"output={output}") == (0, "")
        said.append(json.loads(output.read_text())["archives"])
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", [{"unit": "K"}, {"without": ("time",)}])
def test_a_store_that_is_none_of_rain_is_one_line_and_exit_code_1(folder, tmp_path, kind):
    store = mirror(Archive(folder / "rain.nc"), tmp_path / "odd.zarr", **kind)
    code, message = run("check", *RADAR, f"data.archives=[{store}]")
    assert code == 1
    assert message.startswith(f"nowcast check: error: {store}: ")
    assert "\n" not in message


def test_a_store_of_cells_of_another_size_is_refused_by_name(folder, tmp_path):
    frames = [frame(5 * k, np.ones((32, 40)), grid=grid((32, 40), cell=2000.0)) for k in range(60)]
    store = mirror(Archive(write(tmp_path / "coarse.nc", frames)), tmp_path / "coarse.zarr")
    code, message = run("check", *RADAR, f"data.archives=[{folder / 'rain.nc'},{store}]")
    assert code == 1
    assert "coarse" in message


@pytest.mark.parametrize("address", ["https://me:s3cret@host/x.zarr", "s3://bucket/x.zarr?X-Amz-Signature=s3cret"])
def test_credentials_in_an_address_reach_no_file_and_no_message(tmp_path, capsys, address):
    code, message = run("train", *RADAR, f"data.archives=['{address}']", f"output={tmp_path / 'run'}")
    assert code == 1
    assert "holds a user or a query" in message
    said = message + "".join(capsys.readouterr())
    assert "s3cret" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "s3cret" in path.read_text(errors="replace")]


def test_an_index_is_made_once_and_no_frame_is_read_for_the_rain_of_windows(folder, tmp_path):
    store = shutil.copytree(folder / "a" / "rain.zarr", tmp_path / "rain.zarr")
    index = f"data.index={tmp_path / 'index'}"
    assert trained(store, tmp_path / "run", index, "evaluate=false") == (0, "")
    (file,) = (tmp_path / "index").glob("*.parquet")
    before = file.stat().st_mtime_ns
    settings = [one for one in RADAR if one.startswith("data")]
    assert run("check", *settings, f"data.archives=[{store}]", index) == (0, "")
    assert file.stat().st_mtime_ns == before
    assert not (tmp_path / "tile_shares").exists()
