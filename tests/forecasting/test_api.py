"""`load_forecaster(…).forecast(…)`: what it takes, and how it says what is wrong."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import xarray

from nowcast import load_forecaster


@pytest.fixture(scope="module")
def forecaster(trained):
    return load_forecaster(trained / "checkpoints" / "best.ckpt")


def frames(count=6, **attributes):
    """Rain on cells of 2 km every five minutes."""
    values = np.random.default_rng(0).random((count, 16, 16)).astype(np.float32) * 3
    along = np.arange(16) * 2000.0
    axis = {"units": "m"}
    coordinates = {
        "time": np.datetime64("2024-05-01", "ns") + np.arange(count) * np.timedelta64(5, "m"),
        "y": ("y", along[::-1], axis | {"standard_name": "projection_y_coordinate"}),
        "x": ("x", along, axis | {"standard_name": "projection_x_coordinate"}),
    }
    said = {"units": "mm h-1", "standard_name": "lwe_precipitation_rate"} | attributes
    return xarray.DataArray(values, coordinates, ("time", "y", "x"), "rain_rate", said)


def test_a_forecast_says_nothing(forecaster, capfd):
    found = forecaster.forecast(frames(), forecast_steps=2)
    assert found["rain_rate"].shape == (2, 16, 16)
    assert capfd.readouterr().out == ""


ZONE = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "init_time",
    [
        np.datetime64("2024-05-01T00:15"),
        np.datetime64("2024-05-01T00:15", "ns"),
        datetime(2024, 5, 1, 0, 15),
        datetime(2024, 5, 1, 0, 15, tzinfo=UTC),
        datetime(2024, 5, 1, 2, 15, tzinfo=ZONE),
        frames()["time"][3],
    ],
    ids=repr,
)
def test_a_time_may_be_any_kind_of_time(forecaster, init_time):
    found = forecaster.forecast(frames(), init_time=init_time)
    xarray.testing.assert_equal(found, forecaster.forecast(frames(), init_time="2024-05-01T00:15Z"))
    assert found["forecast_reference_time"].values == np.datetime64("2024-05-01T00:15")


@pytest.mark.parametrize(
    "init_time", [15, frames()["time"], np.timedelta64(1, "h")], ids=lambda one: type(one).__name__
)
def test_what_is_no_time_is_refused(forecaster, init_time):
    with pytest.raises(TypeError, match="init_time must be text, a datetime or a datetime64, got"):
        forecaster.forecast(frames(), init_time=init_time)


def test_the_period_of_an_amount_can_be_given(forecaster):
    amount = (frames() / 12).assign_attrs(units="mm", standard_name="lwe_thickness_of_precipitation_amount")
    with pytest.raises(ValueError, match=r"^frames: .*period.*in Python: source={.*'period_seconds': …") as refused:
        forecaster.forecast(amount.rename("amount"))
    assert "/" not in str(refused.value).split("source")[0]  # no file
    found = forecaster.forecast(amount.rename("amount"), source={"period_seconds": 300})
    np.testing.assert_allclose(found["rain_rate"], forecaster.forecast(frames())["rain_rate"], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="source: period is unknown; it has"):
        forecaster.forecast(amount, source={"period": 300})


def test_what_is_wrong_is_said_of_the_frames(forecaster):
    gap = frames(9).isel(time=[0, 1, 2, 3, 5, 8])
    with pytest.raises(ValueError, match=r"^frames: gap in the 3 frames up to 2024-05-01T00:40:00"):
        forecaster.forecast(gap)
    with pytest.raises(ValueError, match=r"^frames: no frame at init_time=2024-05-01T01:00; the nearest"):
        forecaster.forecast(frames(), init_time="2024-05-01T01:00")


def test_attributes_that_no_file_can_hold_are_left_out(forecaster):
    odd = frames(comment=None, origin={"radar": 1}, ragged=[[1], [1, 2]], flag=True, several=[1.0, 2.0])
    dataset = odd.to_dataset().assign_attrs(history=None, made=np.datetime64("2024-05-01"))
    dataset["x"].attrs["note"] = None
    found = forecaster.forecast(dataset)
    xarray.testing.assert_equal(found, forecaster.forecast(frames()))
    assert odd.attrs["comment"] is None  # what was given stays
    assert dataset["x"].attrs["note"] is None


def test_of_many_frames_few_are_written(forecaster, monkeypatch):
    written = []
    monkeypatch.setattr(xarray.Dataset, "to_netcdf", recorded(written, xarray.Dataset.to_netcdf))
    many = frames(40)
    for init_time, last in ((None, 39), (many["time"][20], 20)):
        found = forecaster.forecast(many, init_time=init_time)
        alone = forecaster.forecast(many.isel(time=slice(last - 2, last + 1)))
        np.testing.assert_array_equal(found["rain_rate"], alone["rain_rate"])
        assert written[-2].sizes["time"] < 10
        assert written[-2]["time"][-1] == many["time"][last]


def recorded(calls, function):
    def called(dataset, *arguments, **named):
        calls.append(dataset)
        return function(dataset, *arguments, **named)

    return called
