"""From forecasts over statistics.nc to comparisons and reports, with what the program itself wrote."""

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.results.statistics_file import read_statistics
from tests.data.archives import frame, moving_rain, write
from tests.programs import rows, run

WINDOWS = ["data=radar", "data.split.method=all", "data.crop=null", "data.input_steps=3", "data.forecast_steps=4",
           "data.workers=0", "data.windows.stride=2", "uncertainty.resamples=50"]  # fmt: skip
SHAPE = (32, 40)


def neighbour(path, **settings):
    """The same rain as another radar sees it, 20 km further east."""
    archive = Archive(moving_rain(path.with_name("original.nc"), **settings))
    grid = Grid(archive.grid.x + 20_000, archive.grid.y, archive.grid.crs)
    rain = archive.read(slice(None), slice(None), slice(None))
    minutes = (archive.times - np.datetime64("2024-05-01T00:00:00")) / np.timedelta64(1, "m")
    write(path, [frame(float(minute), field, grid=grid) for minute, field in zip(minutes, rain, strict=True)])
    path.with_name("original.nc").unlink()


def ensemble(archive, folder):
    """Three members from every frame; the last one lacks the ten western columns, none has the first row."""
    folder.mkdir()
    rain = archive.read(slice(None), slice(None), slice(None))
    seconds = archive.times.astype("datetime64[s]").astype(np.int64)
    for last in range(2, len(rain) - 4):
        future = rain[last + 1 : last + 5]
        members = np.stack([future, np.roll(future, 1, axis=-1), future * 1.4])  # (M, T, H, W)
        members[2, :, :, :10] = np.nan
        members[:, :, 0] = np.nan
        with netCDF4.Dataset(folder / f"{last}.nc", "w") as dataset:
            for name, size in zip(("realization", "time", "y", "x"), members.shape, strict=True):
                dataset.createDimension(name, size)
            for name in ("y", "x"):
                axis = dataset.createVariable(name, "f8", (name,))
                axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
                axis[:] = getattr(archive.grid, name)
            for name, values in (("time", seconds[last + 1 : last + 5]), ("forecast_reference_time", seconds[last])):
                time = dataset.createVariable(name, "i8", ("time",) if name == "time" else ())
                time.setncatts({"standard_name": name, "units": "seconds since 1970-01-01 00:00:00 UTC"})
                time[...] = values
            variable = dataset.createVariable("rain", "f4", ("realization", "time", "y", "x"), fill_value=np.nan)
            variable.setncatts({"standard_name": "rainfall_rate", "units": "mm h-1"})
            variable[:] = members
    return folder


@pytest.fixture(scope="module")
def radars(tmp_path_factory):
    """Six days of two neighbouring radars."""
    folder = tmp_path_factory.mktemp("radars")
    for day in range(6):
        moving_rain(folder / f"west{day}.nc", frames=9, seed=day, start=1440.0 * day)
        neighbour(folder / f"east{day}.nc", frames=9, seed=day, start=1440.0 * day)
    return folder


def test_two_radars_of_one_day_are_one_block(radars, tmp_path):
    arguments = [*WINDOWS, f"data.archives=[{radars}]"]
    for model in ("persistence", "extrapolation"):
        assert run("evaluate", f"model={model}", *arguments, f"output={tmp_path / model}", "html=false") == (0, "")
    sums = read_statistics(tmp_path / "persistence" / "statistics.nc")
    assert sums.groups["block"] == tuple(f"2024-05-0{day}" for day in range(1, 7))
    assert len(sums.groups["event"]) == 12
    both = [f"runs=[{tmp_path / 'persistence'},{tmp_path / 'extrapolation'}]", "uncertainty.resamples=50"]
    assert run("compare", *both, f"output={tmp_path / 'both'}") == (0, "")
    text = (tmp_path / "both" / "report.html").read_text()
    assert "6 independent blocks of windows, fewer than 10: no intervals and no verdicts" in text
    differences = rows(tmp_path / "both" / "differences.csv")
    assert {row["verdict"] for row in differences} <= {"too few blocks", "undefined"}
    assert {row["blocks"] for row in differences} == {"6"}
    blocks = [row for row in rows(tmp_path / "both" / "strata.csv") if row["stratum"] == "block"]
    assert {row["windows"] for row in blocks} == {"4"}  # two of each radar


@pytest.mark.thorough
def test_a_run_of_one_radar_and_one_of_two_did_not_score_the_same(radars, tmp_path):
    for name, archives in (("one", f"{radars}/west*.nc"), ("two", f"{radars}")):
        arguments = [*WINDOWS, f"data.archives=['{archives}']", f"output={tmp_path / name}", "html=false"]
        assert run("evaluate", "model=persistence", *arguments) == (0, "")
    code, message = run("compare", f"runs=[{tmp_path / 'one'},{tmp_path / 'two'}]", f"output={tmp_path / 'no'}")
    assert code == 1
    assert "did not score the same observations in block 2024-05-01" in message


@pytest.mark.thorough
def test_an_ensemble_with_missing_members_is_counted_alike_in_maps_tables_and_regions(radars, tmp_path):
    archive = Archive(radars / "west2.nc")
    files = ensemble(archive, tmp_path / "files")
    arguments = [*WINDOWS, f"data.archives=[{radars / 'west2.nc'}]", f"forecasts={{steps: '{files}/*.nc'}}"]
    assert run("evaluate", *arguments, "scores=ensemble", f"output={tmp_path / 'out'}") == (0, "")
    sums = read_statistics(tmp_path / "out" / "statistics.nc")
    steps, main = sums.models.index("steps"), sums.labels["categorical/threshold"].index(sums.map_threshold)
    pooled = sums.sums["block"]["categorical/counts"][:, :, :, main].sum(axis=(1, 2))  # (M, 4)
    np.testing.assert_array_equal(sums.map_counts.sum(axis=(2, 3)), pooled)
    missing = sums.sums["block"]["missing"][steps].sum()
    assert missing == 2 * 4 * (SHAPE[1] + (SHAPE[0] - 1) * 10)  # windows, lead times, cells
    # The mean by a loop over cells: a member that is missing counts as no rain.
    rain, hits = archive.read(slice(None), slice(None), slice(None)), 0
    for last in (2, 4):
        future = rain[last + 1 : last + 5]
        members = np.stack([future, np.roll(future, 1, axis=-1), np.float32(1.4) * future])
        members[2, :, :, :10] = 0
        members[:, :, 0] = 0
        hits += int(((members.mean(axis=0) >= sums.map_threshold) & (future >= sums.map_threshold)).sum())
    assert pooled[steps, 0] == hits > 0
    table = [row for row in rows(tmp_path / "out" / "strata.csv") if row["stratum"] == "region"]
    assert {row["model"] for row in table} == set(sums.models)


@pytest.mark.thorough
def test_regions_are_compared_only_where_they_are_of_the_same_blocks(radars, tmp_path):
    for name, days in (("some", "[0-3]"), ("all", "[0-5]"), ("again", "[0-3]")):
        arguments = [*WINDOWS, f"data.archives=['{radars}/west{days}.nc']", f"output={tmp_path / name}", "html=false"]
        assert run("evaluate", "model=persistence", *arguments) == (0, "")
    for other, same in (("all", False), ("again", True)):
        arguments = [f"runs={{a: {tmp_path / 'some'}, b: {tmp_path / other}}}", "uncertainty.resamples=50"]
        assert run("compare", *arguments, f"output={tmp_path / f'with_{other}'}") == (0, "")
        strata = {row["stratum"] for row in rows(tmp_path / f"with_{other}" / "strata.csv")}
        assert ("region" in strata) == same
        text = (tmp_path / f"with_{other}" / "report.html").read_text()
        assert ("There are no score maps and no scores by region" in text) != same
        assert ("CSI of each cell" in text) == same
