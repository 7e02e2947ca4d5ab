"""Sampling indices of netCDF archives and Zarr stores of every layout, by us and by mlcast."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.shares.statistics import TileStatistics
from nowcast.data.windows.index import tile_corners
from tests.data.archives import frame, grid, write
from tests.data.modules import module
from tests.data.zarr.stores import KINDS, mirror

SHAPE = (64, 70)
WINDOWS = {
    "input_steps": 3, "forecast_steps": 2, "crop": 32, "eval_crop": None,
    "split": "blocks", "block_minutes": 30.0, "val_fraction": 0.0, "test_fraction": 0.2,
}  # fmt: skip
ALL_TRAIN = WINDOWS | {"test_fraction": 0.0}


@pytest.fixture(scope="module")
def netcdf(tmp_path_factory):
    """An archive with a gap, with cells and a whole frame of no data, and dry tiles."""
    draw = np.random.default_rng(0)
    values = draw.integers(0, 4, (24, *SHAPE)) * draw.integers(0, 2, (24, *SHAPE)) * 0.1
    values[:, :40, :40] = 0.0
    values[:, 50:, 3:9] = np.nan
    values[20] = np.nan
    frames = [frame(5 * k, values[k], grid=grid(SHAPE)) for k in range(24) if k != 9]
    return Archive(write(tmp_path_factory.mktemp("netcdf") / "rain.nc", frames))


@pytest.fixture(scope="module", params=["netcdf", "v2", "v3, sharded", "v2, packed, from the south east"])
def place(request, netcdf, tmp_path_factory):
    """An archive of its frames."""
    if request.param == "netcdf":
        return netcdf.path
    kind = KINDS[request.param] | ({"shards": (8, 64, 70), "chunks": (4, 32, 35)} if "sharded" in request.param else {})
    return mirror(netcdf, tmp_path_factory.mktemp("zarr") / "rain.zarr", **kind)


def indexed(place, folder, **changes):
    """A data module with an index of its windows, and the files."""
    data = module(place, index=str(folder), **(WINDOWS | changes))
    data.prepare_data()
    return data, sorted(folder.glob("*.parquet"))


def test_statistics_are_those_of_a_plain_loop():
    draw = np.random.default_rng(1)
    rain = draw.gamma(0.3, 1.0, (9, 10, 12)).astype(np.float32)
    rain[rain < 0.05], rain[:, :4, :4], rain[4] = 0.0, np.nan, np.nan
    tiles = [(slice(0, 6), slice(0, 6)), (slice(4, 10), slice(6, 12)), (slice(0, 4), slice(0, 4))]
    starts = np.array([0, 1, 2, 4])
    found = TileStatistics.of(rain, tiles).windows(starts, 3, 2)
    for n, start in enumerate(starts):
        for k, tile in enumerate(tiles):
            known = [value for at in (0, 2, 4) for value in rain[start + at, *tile].ravel() if np.isfinite(value)]
            assert found.valid[n, k] == len(known)
            assert found.wet[n, k] == sum(value >= np.float32(0.1) for value in known)
            np.testing.assert_allclose(found.total[n, k], sum(map(float, known)), rtol=1e-12)
            np.testing.assert_equal(found.most[n, k], max(known, default=np.nan))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("least", [{}, {"min_rain_fraction": 0.2, "min_valid_fraction": 0.7}])
def test_windows_are_those_that_a_look_at_the_archive_finds(place, tmp_path, split, least):
    settings = {"crop": 32 if split == "train" else None, **least}
    data, files = indexed(place, tmp_path, **settings)
    assert len(files) == (2 if split == "train" else 1)
    ours, plain = data.dataset(split), module(place, **(WINDOWS | settings)).dataset(split)
    seen = [tile_corners(size, 32) for size in SHAPE] if split == "train" else [[0], [0]]
    assert {(y, x) for _, _, y, x, *_ in ours.samples.tolist()} <= {(y, x) for y in seen[0] for x in seen[1]}
    exact = plain.samples[:, 3] % 32 == 0  # of tiles that the summaries' tiles fit into
    kept = ours.samples[:, 3] % 32 == 0
    assert np.array_equal(ours.samples[kept], plain.samples[exact])
    np.testing.assert_allclose(ours.rain_fraction[kept], plain.rain_fraction[exact], rtol=1e-12)


def test_shares_are_those_of_the_windows_that_are_read(place, tmp_path):
    data, _ = indexed(place, tmp_path)
    dataset = data.dataset("train")
    for number in range(0, len(dataset), 7):
        sample = dataset[number]
        rain = np.concatenate([sample["inputs"].numpy(), sample["targets"].numpy()])
        known = rain[np.isfinite(rain)]
        assert dataset.rain_fraction[number] == pytest.approx((known >= 0.1).mean() if len(known) else 0.0, abs=1e-12)


def test_the_shares_of_an_archive_are_known_without_a_look_at_it(place, tmp_path):
    data, _ = indexed(place, tmp_path, crop=None)
    (facts,) = data.describe()
    dataset = module(place, **(ALL_TRAIN | {"crop": None})).dataset("train")
    windows = [dataset[number] for number in range(len(dataset))]
    rain = np.concatenate([np.concatenate([window["inputs"], window["targets"]]) for window in windows])
    assert facts["rain_fraction"] == pytest.approx((rain >= 0.1).sum() / np.isfinite(rain).sum())
    assert facts["no_data_fraction"] == pytest.approx(1 - np.isfinite(rain).mean())


def test_averaged_cells_and_longer_steps(netcdf, tmp_path):
    settings = {"cell_km": 2.0, "timestep_minutes": 10.0, "crop": 16, "eval_crop": 16, "input_steps": 2}
    data, files = indexed(netcdf.path, tmp_path, **settings)
    assert [path.name for path in files] == ["rain_4x32x32_every2.parquet"]
    ours, plain = data.dataset("train"), module(netcdf.path, **(WINDOWS | settings)).dataset("train")
    exact = plain.samples[:, 3] % 16 == 0
    assert np.array_equal(ours.samples[exact], plain.samples[exact])
    np.testing.assert_allclose(ours.rain_fraction[exact], plain.rain_fraction[exact], rtol=1e-12)


def test_a_grid_smaller_than_the_tile(netcdf, tmp_path):
    large = write(tmp_path / "large.nc", [frame(5 * k, np.ones((96, 96)), grid=grid((96, 96))) for k in range(8)])
    settings = ALL_TRAIN | {"crop": 96, "eval_crop": 96, "min_valid_fraction": 0.5}
    data = module(netcdf.path, large, index=str(tmp_path / "index"), **settings)
    data.prepare_data()
    files = sorted((tmp_path / "index").glob("rain*"))
    assert np.array_equal(
        data.dataset("train").samples, module(netcdf.path, large, **settings).dataset("train").samples
    )
    assert pq.read_table(files[0])["nan_count"].to_numpy().min() >= 5 * (96 * 96 - 64 * 70)


def test_the_file_is_one_of_mlcast(netcdf, tmp_path):
    store = mirror(netcdf, tmp_path / "rain.zarr", **KINDS["v3, ascending, in km"])
    _, files = indexed(store, tmp_path / "index")
    schema = pq.read_schema(files[0])
    theirs = ["t", "x", "y", "nan_count", "sum", "mean", "frac_wet"]
    assert [str(schema.field(name).type) for name in theirs] == ["int32"] * 4 + ["float"] * 3
    said = json.loads(schema.metadata[b"mlcast.stats"])
    whole = {"time_depth", "width", "height", "step_t", "step_x", "step_y", "max_nan", "time_step_minutes"}
    assert all(isinstance(said[name], int) and said[name] > 0 for name in whole)
    assert (said["schema_version"], said["data_var"], said["data_kind"]) == (1, "rr", "rainrate")
    assert said["max_nan"] <= said["time_depth"] * said["width"] * said["height"]
    assert said["start_date"] <= said["end_date"]
    table = pq.read_table(files[0]).to_pydict()
    values = np.asarray(__import__("zarr").open_array(store, path="rr", mode="r"))
    for row in range(0, len(table["t"]), 5):  # as their consumer cuts a datacube
        t, y, x = (table[name][row] for name in ("t", "y", "x"))
        cube = values[t : t + 5, y : y + 32, x : x + 32]
        known = cube[np.isfinite(cube)]
        assert table["nan_count"][row] == cube.size - len(known)
        np.testing.assert_allclose(table["sum"][row], known.sum(dtype=float), rtol=1e-5)
        np.testing.assert_allclose(table["frac_wet"][row], (known > said["wet_threshold"]).sum() / cube.size, rtol=1e-6)
        np.testing.assert_equal(table["max"][row], known.max() if len(known) else np.nan)
        np.testing.assert_allclose(table["mean"][row], known.mean(dtype=float) if len(known) else np.nan, rtol=1e-5)


def theirs(path, rows, **changes):
    """An index as mlcast writes it: rows (t, y, x, nan_count, wet cells) of 5 frames of 32 x 32."""
    said = {"time_depth": 5, "width": 32, "height": 32, "schema_version": 1} | changes
    said = {"data_kind": "rainrate", "wet_threshold": 0.1} | said
    t, y, x, nan, wet = np.array(rows).T
    columns = {"t": t, "x": x, "y": y, "nan_count": nan}
    table = {name: pa.array(values, pa.int32()) for name, values in columns.items()}
    table["frac_wet"] = pa.array(wet / (5 * 32 * 32), pa.float32())
    pq.write_table(pa.table(table).replace_schema_metadata({b"mlcast.stats": json.dumps(said).encode()}), path)
    return path


def test_an_index_of_mlcast_says_what_training_draws_from(netcdf, tmp_path):
    left_out = netcdf.times[3]
    store = mirror(netcdf, tmp_path / "rain.zarr", **KINDS["v2, packed, from the south east"], missing=[left_out])
    rows = [(0, 16, 5, 0, 512), (3, 0, 0, 0, 99), (4, 0, 0, 1024, 1024), (11, 32, 38, 0, 5)]
    path = theirs(tmp_path / "theirs.parquet", rows)
    data = module(store, index=str(path), **(ALL_TRAIN | {"min_valid_fraction": 0.1}))
    found = data.dataset("train")
    # of the store's frames from 4 on the archive's is one less; a window from 0 spans the gap that frame 3 leaves
    assert found.samples[:, 1:].tolist() == [[3, 64 - 32, 70 - 32, 0, 0], [10, 64 - 32 - 32, 70 - 32 - 38, 0, 0]]
    assert found.rain_fraction == pytest.approx([1024 / 4096, 5 / 5120])
    whole = module(store, index=str(path), **WINDOWS).dataset("test")
    assert np.array_equal(whole.samples, module(store, **WINDOWS).dataset("test").samples)  # which looks at everything


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"time_depth": 24}, "lists windows with time_depth 24, these settings ask for 5"),
        ({"width": 64}, "lists windows with width 64, these settings ask for 32"),
        ({"every": 2}, "lists windows with every 2, these settings ask for 1"),
    ],
)
def test_an_index_of_other_windows_is_refused(netcdf, tmp_path, changes, problem):
    path = theirs(tmp_path / "theirs.parquet", [(0, 0, 0, 0, 1)], **changes)
    with pytest.raises(DataFormatError, match=problem):
        module(netcdf.path, index=str(path), **WINDOWS).dataset("train")


def test_a_file_is_of_one_archive_and_one_time_step(netcdf, tmp_path):
    path = theirs(tmp_path / "theirs.parquet", [(0, 0, 0, 0, 1)])
    other = write(tmp_path / "other.nc", [frame(5 * k, np.ones(SHAPE), grid=grid(SHAPE)) for k in range(12)])
    with pytest.raises(ValueError, match=r"is a file, which is of one archive, and there are rain, other"):
        module(netcdf.path, other, index=str(path), **ALL_TRAIN).dataset("train")
    with pytest.raises(DataFormatError, match="lists windows with every 1, these settings ask for 2"):
        module(netcdf.path, index=str(path), timestep_minutes=10.0, **ALL_TRAIN).dataset("train")


@pytest.mark.parametrize("corner", [(33, 0), (0, 39), (-1, 0)])
def test_tiles_beyond_the_grid_are_of_another_archive(netcdf, tmp_path, corner):
    path = theirs(tmp_path / "theirs.parquet", [(0, *corner, 0, 1)])
    with pytest.raises(DataFormatError, match=r"lists tiles beyond the grid of .*rain\.nc: it is of another archive"):
        module(netcdf.path, index=str(path), **ALL_TRAIN).dataset("train")


def test_rain_that_is_counted_otherwise_is_said(netcdf, tmp_path, caplog):
    path = theirs(tmp_path / "theirs.parquet", [(0, 0, 0, 0, 1)], data_kind="reflectivity", wet_threshold=7.0)
    module(netcdf.path, index=str(path), **ALL_TRAIN).dataset("train")
    assert "counts as rain reflectivity above 7.0 (mm/h or dBZ)" in caplog.text


def test_an_index_of_another_state_of_the_archive_is_refused(netcdf, tmp_path):
    _, (file, _) = indexed(netcdf.path, tmp_path)
    other = write(tmp_path / "rain.nc", [frame(5 * k, np.ones(SHAPE), grid=grid(SHAPE)) for k in range(12)])
    with pytest.raises(
        DataFormatError, match=f"{file.name}: made of rain in another state than .* delete it, and it is made"
    ):
        module(other, index=str(tmp_path), **WINDOWS).dataset("train")


def test_windows_that_an_index_lacks_are_named(netcdf, tmp_path):
    indexed(netcdf.path, tmp_path, stride=3)
    with pytest.raises(DataFormatError, match=r"lists no window from 2024-05-01T00:05:00, and \d+ more: .*stride"):
        module(netcdf.path, index=str(tmp_path), **WINDOWS).dataset("train")


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_damaged_files(netcdf, tmp_path, damage):
    _, (file, _) = indexed(netcdf.path, tmp_path)
    content = file.read_bytes()
    if damage == "other":
        pq.write_table(pa.table({"t": [1]}), file)
    else:
        file.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with pytest.raises(DataFormatError, match=r"rain_5x32x32\.parquet: no sampling index"):
        module(netcdf.path, index=str(tmp_path), **WINDOWS).dataset("train")


def test_what_is_there_is_not_made_again(netcdf, tmp_path):
    data, files = indexed(netcdf.path, tmp_path)
    before = [path.stat().st_mtime_ns for path in files]
    data.prepare_data()
    data.dataset("train")
    assert [path.stat().st_mtime_ns for path in files] == before
