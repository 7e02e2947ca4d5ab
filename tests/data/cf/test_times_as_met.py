"""Times of CF files as they are met, through `nowcast prepare`: right, or refused with what to type, which works."""

import netCDF4
import numpy as np
import pytest

from tests.data.cf.preparing import attempt, ends, prepare, typed
from tests.data.cf_files import FRAMES, RAIN, SECONDS, STEP, cf
from tests.programs import run

AMOUNT = {"values": RAIN / 12, "attributes": {"units": "mm", "cell_methods": "time: sum"}}
BOUNDS = np.stack([SECONDS - STEP, SECONDS], axis=1)


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0], ids=["start", "middle", "end"])
def test_amounts_whose_time_is_anywhere_in_its_bounds(tmp_path, position):
    """The way through to what a network sees: mm in five minutes are twelve times as many mm/h, at the period's end."""
    time = {"values": SECONDS - STEP * (1 - position), "bounds": BOUNDS}
    archive, rain = prepare(cf(tmp_path / "a.nc", **AMOUNT, time=time))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())
    assert archive.to_rain_rate.period == STEP


def test_a_period_that_is_told_does_not_move_times_that_have_bounds(tmp_path):
    time = {"values": SECONDS - STEP / 2, "bounds": BOUNDS}
    path = cf(tmp_path / "a.nc", **AMOUNT, time=time)
    archive, rain = prepare(path, f"source.period_seconds={STEP}")
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())
    _, message = attempt(path, "source.period_seconds=60")
    assert "source.period_seconds=60, and the bounds of the time are 300 s long" in message
    archive, rain = prepare(path, "source.period_seconds=60", *typed(message))
    np.testing.assert_allclose(rain, RAIN * 5, rtol=1e-5)
    assert (
        "bounds of the time are not used: period and place of the time in it are told" in archive.attributes["history"]
    )


def test_bounds_that_run_backwards(tmp_path):
    archive, rain = prepare(cf(tmp_path / "a.nc", **AMOUNT, time={"bounds": BOUNDS[:, ::-1]}))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends())


def test_a_time_outside_its_bounds_is_refused(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", **AMOUNT, time={"bounds": BOUNDS - 2 * STEP}))
    assert "time 2020-06-01T00:00:00 lies outside its bounds 2020-05-31T23:45:00 to 2020-05-31T23:50:00" in message
    assert "source." not in message  # no other variable is a time
    path = cf(tmp_path / "b.nc", **AMOUNT, time={"bounds": BOUNDS - 2 * STEP})
    with netCDF4.Dataset(path, "a") as file:
        other = file.createVariable("valid_time", "f8", ("time",))
        other.units, other.bounds = file["time"].units, "time_bounds"
        other[:] = SECONDS - 2 * STEP
    _, message = attempt(path)
    archive, rain = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(2 * STEP, "s"))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)


def test_a_file_without_a_time_names_what_could_be_one(tmp_path):
    path = cf(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["time"].delncattr("standard_name")
        file.renameVariable("time", "moment")
    _, message = attempt(path)
    assert "no time variable (standard_name time) among moment" in message
    archive, _ = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends())


def test_rates_with_bounds_are_means_and_belong_to_their_end(tmp_path):
    time = {"values": SECONDS - STEP, "bounds": BOUNDS}
    archive, rain = prepare(cf(tmp_path / "a.nc", attributes={"cell_methods": "time: mean"}, time=time))
    np.testing.assert_array_equal(archive.times, ends())
    np.testing.assert_array_equal(rain, RAIN)
    assert ": rates are means over the bounds of their time" in archive.attributes["history"]
    archive, _ = prepare(cf(tmp_path / "a.nc", attributes={"cell_methods": "time: point"}, time=time))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(STEP, "s"))


def test_without_bounds_the_interval_of_cell_methods_is_the_period(tmp_path):
    attributes = {"units": "mm", "cell_methods": "area: mean time: sum (interval: 5 min)"}
    archive, rain = prepare(cf(tmp_path / "a.nc", RAIN / 12, attributes=attributes))
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    assert "the period of 300 s is that of cell_methods" in archive.attributes["history"]
    assert "without bounds, the time of an amount is taken for the end of its 300 s" in archive.attributes["history"]


@pytest.mark.parametrize(("position", "later"), [("start", STEP), ("middle", STEP // 2), ("end", 0)])
def test_without_any_word_the_config_says_it(tmp_path, position, later):
    path = cf(tmp_path / "a.nc", RAIN / 12, attributes={"units": "mm"})
    _, message = attempt(path)
    assert "accumulation period the file does not tell" in message
    archive, rain = prepare(path, *typed(message), f"source.time_of_period={position}")
    np.testing.assert_allclose(rain, RAIN, rtol=1e-5)
    np.testing.assert_array_equal(archive.times, ends() + np.timedelta64(later, "s"))
    assert "without bounds" not in archive.attributes["history"]


def test_a_zone_by_name_is_refused_and_told_by_an_offset(tmp_path):
    path = cf(tmp_path / "a.nc", time={"units": "seconds since 2020-06-01 00:00:00 CEST"})
    _, message = attempt(path)
    assert "zone 'CEST' is not unambiguous" in message
    archive, _ = prepare(path, *typed(message))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(2, "h"))


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("", 0),
        (" UTC", 0),
        ("Z", 0),
        (" GMT", 0),
        (" +00:00", 0),
        (" +2", 2),
        (" -0530", -5.5),
        (" +02:00", 2),
        (" UTC+2", 2),
    ],
)
def test_zones_that_are_unambiguous(tmp_path, zone, hours):
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"units": f"seconds since 2020-06-01T00:00:00{zone}"}))
    np.testing.assert_array_equal(archive.times, ends() - np.timedelta64(round(hours * 3600), "s"))


def test_times_as_text(tmp_path):
    texts = [f"2020-06-01T02:{5 * k:02d}:00+02:00" for k in range(FRAMES)]
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"values": texts}))
    np.testing.assert_array_equal(archive.times, ends())
    archive, _ = prepare(
        cf(tmp_path / "b" / "a.nc", time={"values": [text[:16].replace("T02", "T00") for text in texts]})
    )
    np.testing.assert_array_equal(archive.times, ends())
    assert "time is text without a zone: taken for UTC" in archive.attributes["history"]
    _, message = attempt(cf(tmp_path / "c" / "a.nc", time={"values": [f"noon + {5 * k}" for k in range(FRAMES)]}))
    assert "time holds text, 'noon + 0', that is no time such as 2020-06-01T00:05:00Z" in message


def test_hours_in_single_precision_cannot_hold_five_minutes(tmp_path):
    hours = {"type": "f4", "units": "hours since 1970-01-01", "values": 441816 + np.arange(FRAMES) / 12}
    _, message = attempt(cf(tmp_path / "a.nc", time=hours))
    assert "time is float32 in 'hours since 1970-01-01', whose neighbouring values lie 112 s apart" in message
    archive, _ = prepare(
        cf(tmp_path / "a.nc", time=hours | {"values": 441816 + np.arange(FRAMES)})
    )  # whole hours it can
    assert archive.timestep == 3600
    fine = hours | {"units": "days since 2019-09-01", "values": 274 + np.arange(FRAMES) / 288}
    archive, _ = prepare(cf(tmp_path / "a.nc", time=fine))
    np.testing.assert_array_equal(archive.times, ends())
    assert "rounded to the minute" in archive.attributes["history"]


def test_fractions_of_hours_are_rounded_to_seconds_not_cut(tmp_path):
    hours = {"units": "hours since 2020-06-01", "values": np.round(np.arange(FRAMES) / 12, 6)}
    archive, _ = prepare(cf(tmp_path / "a.nc", time=hours))
    np.testing.assert_array_equal(archive.times, ends())


def test_two_values_of_one_time_in_one_file(tmp_path):
    _, message = attempt(cf(tmp_path / "a.nc", time={"values": np.append(SECONDS[:-1], SECONDS[-2])}))
    assert "a.nc: holds two different frames for 2020-06-01T00:40:00 UTC" in message
    assert "input=" not in message


def test_irregular_steps_are_told(tmp_path):
    archive, _ = prepare(cf(tmp_path / "a.nc", time={"values": SECONDS + np.where(np.arange(FRAMES) == 4, 70, 0)}))
    told = "irregular time steps: 2 of 9 are no multiple of the commonest, 5 min (3.83, 6.17 min)"
    assert told in archive.attributes["history"]
    code, message = run("check", "data=radar", f"data.archives=[{archive.path}]", "data.crop=null")
    assert code == 1
    assert "archive (irregular time steps: 2 of 9" in message
    assert "min_rain_fraction" not in message
    archive, _ = prepare(cf(tmp_path / "a.nc"))
    assert "time step 5 min, no gap" in archive.attributes["history"]
