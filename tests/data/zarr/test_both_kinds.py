"""One suite over archives of one set of frames, as netCDF and as Zarr stores of every layout."""

import pickle

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.paths import archive_paths
from nowcast.data.zarr.opening import archive_at
from tests.conftest import thinned
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.modules import SETTINGS, radar
from tests.data.zarr.stores import KINDS, mirror

EVERYTHING = (slice(None), slice(None), slice(None))


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    """Archives with a gap and with cells of no data."""
    values = np.random.default_rng(0).integers(0, 30, (60, 32, 40)) * 0.1
    values[:, :5, 7:] = np.nan
    frames = [frame(5 * k, values[k], grid=grid((32, 40))) for k in range(60) if k not in (17, 18)]
    return Archive(write(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames))


@pytest.fixture(scope="module", params=["netcdf", *KINDS])
def place(request, netcdf, tmp_path_factory):
    """An archive of its frames."""
    if request.param == "netcdf":
        return netcdf.path
    return mirror(netcdf, tmp_path_factory.mktemp("zarr") / "rain.zarr", **KINDS[request.param])


def test_times_grid_and_name(place, netcdf):
    archive = archive_at(place)
    assert np.array_equal(archive.times, netcdf.times)
    assert archive.grid.same_as(netcdf.grid)
    assert (archive.name, archive.timestep) == ("rain", 300)
    assert len(archive.fingerprint) == 64
    assert archive.fingerprint == archive_at(place).fingerprint


@pytest.mark.parametrize(
    "block",
    [
        EVERYTHING,
        (slice(3, 9), slice(4, 12), slice(2, 20)),
        (slice(1, 12, 3), slice(0, 32), slice(33, 40)),
        (slice(59, 80), slice(30, 40), slice(0, 1)),
        (slice(5, 5), slice(0, 8), slice(0, 8)),
    ],
)
def test_rain_rates_of_blocks(place, netcdf, block):
    assert np.array_equal(archive_at(place).read(*block), netcdf.read(*block), equal_nan=True)


def test_shares_of_rain_and_data(place, netcdf):
    archive = archive_at(place)
    assert np.array_equal(archive.rain_fraction, netcdf.rain_fraction)
    assert np.array_equal(archive.valid_fraction, netcdf.valid_fraction)


def test_another_process_gets_a_copy_without_handles(place, netcdf):
    archive = archive_at(place)
    archive.read(*EVERYTHING)
    archive.rain_fraction  # noqa: B018
    copied = pickle.loads(pickle.dumps(archive))
    assert np.array_equal(copied.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)
    assert np.array_equal(copied.rain_fraction, netcdf.rain_fraction)
    copied.close()
    assert np.array_equal(copied.read(*EVERYTHING), netcdf.read(*EVERYTHING), equal_nan=True)


@pytest.mark.parametrize("cache", thinned(["none", "memmap"], fast=[0]))
def test_windows_of_training_and_validation(place, netcdf, cache):
    changes = {"split": "blocks", "random_crops": True, "augment": "flips_rotations", "cache": cache}
    changes |= {"min_rain_fraction": 0.01, "min_valid_fraction": 0.5}
    one, other = (radar([str(path)], **(SETTINGS | changes)) for path in (place, netcdf.path))
    for split in ("train", "val"):
        expected = other.dataset(split)
        found = one.dataset(split)
        assert np.array_equal(found.samples, expected.samples)
        assert len(found) > 5
        for k in range(0, len(found), 7):
            for key, values in expected[k].items():
                assert np.array_equal(np.asarray(found[k][key]), np.asarray(values), equal_nan=True), key
    facts, expected = (
        {key: value for key, value in module.describe()[0].items() if key != "stored"} for module in (one, other)
    )
    assert facts == expected


def test_batches_of_worker_processes(netcdf, tmp_path):
    store = mirror(netcdf, tmp_path / "rain.zarr", **KINDS["v3, sharded"])
    loads = [
        radar([str(store)], **(SETTINGS | {"workers": workers, "split": "blocks"})).train_dataloader()
        for workers in (0, 1)
    ]
    batches, expected = (list(load) for load in reversed(loads))
    assert len(batches) == len(expected) > 3
    for one, other in zip(batches, expected, strict=True):
        assert all(np.array_equal(np.asarray(one[key]), np.asarray(other[key]), equal_nan=True) for key in other)


def test_a_setting_names_stores_folders_of_them_and_addresses(netcdf, tmp_path):
    store = mirror(netcdf, tmp_path / "a.zarr")
    moving_rain(tmp_path / "b.nc", frames=3)
    assert archive_paths([str(store)]) == [store]
    assert archive_paths([str(tmp_path)]) == [store, tmp_path / "b.nc"]
    assert archive_paths([f"{tmp_path}/*.zarr"]) == [store]
    assert archive_paths(["s3://bucket/x/5_minutes.zarr/"]) == ["s3://bucket/x/5_minutes.zarr"]
    with pytest.raises(ValueError, match="the same name"):
        archive_paths([str(store), "https://host/a.zarr"])
