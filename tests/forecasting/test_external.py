"""Other systems' forecasts meet windows by time and place, and what does not meet is said."""

import shlex

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from tests.data.archives import frame, moving_rain, write
from tests.programs import ended, rows, run

WINDOWS = ["data.split.method=all", "data.crop=null", "data.input_steps=3", "data.forecast_steps=4", "data.workers=0",
           "uncertainty.resamples=20", "html=false"]  # fmt: skip


def elsewhere(path, *, frames=12, seed=0):
    """Rain of its own in the same hours, a thousand km away."""
    draw = np.random.default_rng(seed)
    away = Grid(np.arange(40) * 1000.0 + 1e6, np.arange(32)[::-1] * 1000.0, "EPSG:3035")
    values = draw.random((frames, 32, 40)) * 9
    return write(path, [frame(5 * k, values[k], grid=away) for k in range(frames)])


def perfect(archive, folder, *, only=None):
    """The rain to come, from every frame with four frames after it, as the program writes forecasts."""
    folder.mkdir(exist_ok=True)
    rain = archive.read(slice(None), slice(None), slice(None))
    for last in range(2, len(rain) - 4) if only is None else only:
        forecast = Forecast(
            archive.times[last], 300, rain[last + 1 : last + 5], np.ones(rain.shape[1:], dtype=bool), archive.grid
        )
        write_forecast(folder / f"{archive.name}_{last}.nc", forecast, {"title": "test"})
    return folder


def evaluated(folder, *arguments):
    code, message = run("evaluate", *WINDOWS, f"output={folder}", *arguments)
    return code, message


@pytest.mark.thorough
def test_a_forecast_belongs_to_the_archive_of_its_place(tmp_path):
    here, there = moving_rain(tmp_path / "here.nc", frames=12), elsewhere(tmp_path / "there.nc")
    files = perfect(Archive(here), tmp_path / "files")
    both = f"data.archives=[{here},{there}]"
    forecasts = f"forecasts={{truth: '{files}/*.nc'}}"
    assert evaluated(tmp_path / "one", both, "model=persistence", forecasts) == (0, "")
    errors = {row["model"]: row for row in rows(tmp_path / "one" / "errors.csv") if row["lead_time_minutes"] == "5.0"}
    assert float(errors["truth"]["mae"]) == pytest.approx(0, abs=1e-6)
    assert {row["n"] for row in errors.values()} == {str(float(6 * 32 * 40))}  # the windows of `here` alone
    # Files of both radars from the same times are no duplicates, and each is scored on its own grid.
    perfect(Archive(there), files)
    assert evaluated(tmp_path / "two", both, "model=persistence", forecasts) == (0, "")
    errors = {row["model"]: row for row in rows(tmp_path / "two" / "errors.csv") if row["lead_time_minutes"] == "5.0"}
    assert float(errors["truth"]["mae"]) == pytest.approx(0, abs=1e-6)
    assert {row["n"] for row in errors.values()} == {str(float(2 * 6 * 32 * 40))}


def test_forecasts_for_another_place_are_refused(tmp_path):
    here, there = moving_rain(tmp_path / "here.nc", frames=12), elsewhere(tmp_path / "there.nc")
    files = perfect(Archive(here), tmp_path / "files")
    arguments = ["model=persistence", f"forecasts={{truth: '{files}/*.nc'}}"]
    code, message = evaluated(tmp_path / "out", *arguments, f"data.archives=[{there}]")
    assert code == 1
    assert "forecasts.truth" in message
    assert "another place: x has 40 cells from 0 to 39000, the windows have 40 from 1e+06" in message
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_forecasts_that_meet_no_window_are_an_error_with_both_spans(tmp_path):
    today, later = (moving_rain(tmp_path / f"{k}.nc", frames=12, start=1440.0 * k) for k in (0, 3))
    files = perfect(Archive(today), tmp_path / "files")
    arguments = ["model=persistence", f"forecasts={{other: '{files}/*.nc'}}"]
    code, message = evaluated(tmp_path / "out", *arguments, f"data.archives=[{later}]")
    assert code == 1
    assert "forecasts.other" in message
    assert "they begin 2024-05-01T00:10:00 to 2024-05-01T00:35:00 UTC" in message
    assert "the 6 windows of 3 2024-05-04T00:10:00 to 2024-05-04T00:35:00 UTC" in message
    assert not (tmp_path / "out" / "scores.csv").exists()
    # What the message says to type.
    assert evaluated(tmp_path / "out", *arguments, f"data.archives=[{today}]", "data.split.method=all") == (0, "")


def test_windows_without_a_forecast_are_counted_and_told(tmp_path, capfd):
    archive = Archive(moving_rain(tmp_path / "a.nc", frames=12))
    some = perfect(archive, tmp_path / "some", only=[2, 3, 4])
    arguments = ["model=persistence", f"data.archives=[{archive.path}]"]
    assert evaluated(tmp_path / "out", *arguments, f"forecasts={{some: '{some}/*.nc'}}") == (0, "")
    said = capfd.readouterr().err
    assert "forecasts.some: for 3 of 6 test windows; the others (the first from 2024-05-01T00:25:00 UTC)" in said
    rest = perfect(archive, tmp_path / "rest", only=[5, 6, 7])
    code, message = evaluated(tmp_path / "none", *arguments, f"forecasts={{some: '{some}/*.nc', rest: '{rest}/*.nc'}}")
    assert code == 1
    assert "no test window has a forecast of each of some, rest" in message


def test_a_comparison_of_nothing_is_an_error(tmp_path):
    archive = Archive(moving_rain(tmp_path / "a.nc", frames=12))
    folder = tmp_path / "empty"
    folder.mkdir()
    for last in range(2, 8):
        nothing = np.full((4, 32, 40), np.nan, dtype=np.float32)
        forecast = Forecast(archive.times[last], 300, nothing, np.zeros((32, 40), dtype=bool), archive.grid)
        write_forecast(folder / f"{last}.nc", forecast, {"title": "test"})
    arguments = ["model=persistence", f"data.archives=[{archive.path}]", f"forecasts={{x: '{folder}/*.nc'}}"]
    code, message = evaluated(tmp_path / "out", *arguments, "verification.common_mask=true")
    assert (code, "no observed value is left to compare with" in message) == (1, True)


@pytest.mark.parametrize(
    ("name", "words"), [("persistence", "two models are called"), ("observed", "cannot be called")]
)
def test_forecasts_called_as_something_else_are_refused_with_what_to_type(tmp_path, name, words):
    """In the examples of the report a system called "observed" took the place of the observation."""
    archive = Archive(moving_rain(tmp_path / "a.nc", frames=12))
    files = perfect(archive, tmp_path / "files")
    arguments = ["model=persistence", f"data.archives=[{archive.path}]"]
    named = f"forecasts={{{name}: '{files}/*.nc'}}"
    code, message = ended("evaluate", *WINDOWS, f"output={tmp_path / 'out'}", *arguments, named)
    assert code == 2
    assert f"{words} '{name}'" in message
    typed = shlex.split(message.split("Type ")[1])
    assert evaluated(tmp_path / "out", *arguments, *typed) == (0, "")
    assert {row["model"] for row in rows(tmp_path / "out" / "scores.csv")} == {"persistence", f"{name}_2"}


@pytest.mark.parametrize(("split", "why"), [("train", "move and turn at random"), ("tests", "must be test or val")])
def test_only_windows_that_stay_where_they_are_are_scored(tmp_path, split, why):
    archive = moving_rain(tmp_path / "a.nc", frames=12)
    code, message = evaluated(tmp_path / "out", "model=persistence", f"data.archives=[{archive}]", f"split={split}")
    assert (code, why in message) == (1, True)


def test_only_the_wanted_part_of_a_large_file_is_read(tmp_path, monkeypatch):
    """The forecast of one time out of many in a file costs that forecast."""
    path, inits = tmp_path / "many.nc", 20
    rain = np.arange(inits * 6 * 4 * 5, dtype=np.float32).reshape(inits, 6, 4, 5)
    with netCDF4.Dataset(path, "w") as dataset:
        for name, values, units in (
            ("forecast_reference_time", np.arange(inits) * 300, "seconds since 2024-05-01"),
            ("forecast_period", np.arange(1, 7) * 300, "s"), ("y", np.arange(4)[::-1] * 1000.0, "m"),
            ("x", np.arange(5) * 1000.0, "m"),
        ):  # fmt: skip
            dataset.createDimension(name, len(values))
            variable = dataset.createVariable(name, "f8", (name,))
            variable.setncatts({"standard_name": name if "forecast" in name else f"projection_{name}_coordinate"})
            variable.units, variable[:] = units, values
        variable = dataset.createVariable("rain_rate", "f4", ("forecast_reference_time", "forecast_period", "y", "x"))
        variable.setncatts({"standard_name": "rainfall_rate", "units": "mm h-1"})
        variable[:] = rain
    files = ForecastFiles([str(path)])
    start = int(np.datetime64("2024-05-01T00:00:00", "s").astype(np.int64))
    grid = files.layout(start)[1]
    opened, real = [], netCDF4.Dataset
    monkeypatch.setattr(
        "nowcast.data.results.forecast_reader.netCDF4.Dataset", lambda name: opened.append(name) or real(name)
    )
    for k in (3, 4, 19):
        read = files.read(start + 300 * k, [600, 900], grid)
        np.testing.assert_array_equal(read, rain[None, k, 1:3])
    assert opened in ([], [path])
    # A file of more values than are ever read at once still gives the few that are wanted.
    monkeypatch.setattr("nowcast.data.results.forecast_fields.MAX_FILE_CELLS", 2 * 4 * 5)
    np.testing.assert_array_equal(files.read(start, [300, 600], grid), rain[None, 0, :2])
