"""What `nowcast predict watch=…` chooses to forecast from, and what it says when it cannot."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nowcast.forecasting.forecaster import Forecaster
from nowcast.report.watching import Watch, step_of

DAY = np.datetime64("2024-05-01", "s")


def knowing(steps, any_step=None):
    return Forecaster("net", torch.nn.Identity(), 3, steps, None, None, {}, any_step=any_step)


class Folder:
    """Frames that are there, without files."""

    def __init__(self, folder):
        self.folder, self.frames = folder, {}

    def look(self):
        return sorted(self.frames)


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A watch of a network that takes three frames every ten minutes, and keeps in mind what it would forecast from."""
    forecaster = knowing([600])
    one = Watch(SimpleNamespace(forecaster=forecaster), Folder(tmp_path / "in"), "%Y.nc", None)
    one.arrivals.folder.mkdir()
    one.made = []

    def forecast(times):
        one.made.append([int((time - DAY) / np.timedelta64(1, "m")) for time in times])
        one.last = times[-1]

    monkeypatch.setattr(one, "_forecast", forecast)
    return one


def looked(watch, *minutes):
    watch.arrivals.frames = {DAY + np.timedelta64(minute, "m"): None for minute in minutes}
    watch.look()
    return watch.made


def test_frames_are_chosen_by_the_time_step_of_the_network(watch, caplog):
    assert looked(watch, *range(0, 30, 5)) == [[5, 15, 25]]
    # Every other one would do for frames of ten minutes: one that is missing between them is none of the input.
    assert looked(watch, *range(0, 30, 5), 35)[1:] == [[15, 25, 35]]
    assert not caplog.records


def test_after_a_gap_it_waits_and_names_what_is_missing(watch, caplog):
    assert looked(watch, 0, 5, 10, 15, 20) == [[0, 10, 20]]
    assert looked(watch, 0, 5, 10, 15, 20, 40) == [[0, 10, 20]]
    assert caplog.messages == ["no forecast from 2024-05-01T00:40:00: no frame at 2024-05-01T00:30:00"]
    assert looked(watch, 0, 5, 10, 15, 20, 30, 40)[1:] == [[20, 30, 40]]


def test_at_the_start_the_newest_complete_input_is_taken(watch, caplog):
    assert looked(watch, 20) == []
    assert looked(watch, 0, 10, 20, 40) == [[0, 10, 20]]
    assert "no frame at 2024-05-01T00:30:00" in caplog.text


def test_a_step_that_does_not_fit_is_said_and_the_watch_goes_on(watch, caplog):
    assert looked(watch, 0, 4, 8) == []
    assert "no forecast: " in caplog.text
    assert "time step 4 min; this checkpoint was trained on 10 min" in caplog.text
    assert looked(watch, 20, 30, 40) == [[20, 30, 40]]


def test_a_folder_that_goes_is_said_once_and_waited_for(watch, caplog):
    caplog.set_level("INFO")
    folder = watch.arrivals.folder
    folder.rmdir()
    for _ in range(3):
        looked(watch)
    folder.mkdir()
    looked(watch)
    assert caplog.messages == [f"{folder} is not there: it is waited for", f"{folder} is there again"]


def test_the_time_step_is_one_that_the_model_knows():
    assert step_of("here", 300, knowing(())) == 300
    assert step_of("here", 300, knowing([300, 600])) == 300
    assert step_of("here", 300, knowing([600])) == 600
    assert step_of("here", 600, knowing([300])) == 300  # frames are missing so far
    assert step_of("here", 600, knowing([300, 360], (120, 900))) == 600  # it takes what there is
    assert step_of("here", 1800, knowing([300, 360], (120, 900))) == 360
    with pytest.raises(ValueError, match="here: time step 4 min; this checkpoint was trained on 5, 10 min"):
        step_of("here", 240, knowing([300, 600]))
