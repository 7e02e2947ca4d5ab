"""Ensembles from files: one number of members, whatever windows share a batch."""

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from tests.data.archives import moving_rain
from tests.programs import rows, run

WINDOWS = ["data.split.method=all", "data.crop=null", "data.input_steps=3", "data.forecast_steps=2", "data.workers=0",
           "uncertainty.resamples=20", "html=false", "scores=ensemble", "model=persistence"]  # fmt: skip


def ensemble(archive, folder, last, members):
    """The rain to come, a little more in each member."""
    folder.mkdir(exist_ok=True)
    truth = archive.read(slice(last + 1, last + 3), slice(None), slice(None))
    rain = np.stack([truth + np.float32(0.3 * k) for k in range(members)])
    forecast = Forecast(archive.times[last], 300, rain, np.ones(truth.shape[1:], dtype=bool), archive.grid)
    write_forecast(folder / f"{last}.nc", forecast, {"title": "test"})


@pytest.fixture
def archive(tmp_path):
    return Archive(moving_rain(tmp_path / "a.nc", frames=12))


@pytest.mark.thorough
def test_a_window_that_is_left_out_leaves_no_trace_whatever_shares_its_batch(tmp_path, archive):
    for last in (2, 3, 5, 6, 7, 8, 9):  # not 4
        ensemble(archive, tmp_path / "f", last, 3)
    tables = {}
    for size in (1, 4):
        more = [f"data.archives=[{archive.path}]", f"forecasts={{other: '{tmp_path / 'f'}/*.nc'}}"]
        output = tmp_path / str(size)
        assert run("evaluate", *WINDOWS, *more, f"data.batch_size={size}", f"output={output}") == (0, "")
        tables[size] = rows(output / "intervals.csv")
    for alone, together in zip(tables[1], tables[4], strict=True):
        assert float(alone["value"]) == pytest.approx(float(together["value"]), rel=1e-5, abs=1e-9, nan_ok=True)
    ours = {row["score"]: float(row["value"]) for row in tables[1] if row["model"] == "other"}
    assert ours["crps_fair"] == pytest.approx(0.1, abs=1e-5)  # mean error 0.3 less half the mean gap of pairs, 0.2
    assert ours["spread"] == pytest.approx(np.sqrt(4 / 3 * 0.09), abs=1e-5)


def test_a_system_has_one_number_of_members(tmp_path, archive):
    for last, members in ((2, 3), (8, 2)):
        ensemble(archive, tmp_path / "f", last, members)
    more = [f"data.archives=[{archive.path}]", f"forecasts={{other: '{tmp_path / 'f'}/*.nc'}}", "data.batch_size=1"]
    code, message = run("evaluate", *WINDOWS, *more, f"output={tmp_path / 'out'}")
    assert code == 1
    assert f"{tmp_path / 'f' / '8.nc'} has 2 member(s), {tmp_path / 'f' / '2.nc'} 3" in message
    apart = f"forecasts={{one: '{tmp_path / 'f'}/2.nc'}}"
    assert run("evaluate", *WINDOWS, more[0], apart, f"output={tmp_path / 'one'}") == (0, "")
