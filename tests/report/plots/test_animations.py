"""Animations: a frame per input and lead time, each with its own field and clock."""

import numpy as np
import pytest
from PIL import Image

from nowcast.report.plots import maps as plotting
from nowcast.report.plots.colours import NO_DATA, RAIN_COLOURS
from nowcast.report.plots.maps import animate_forecast
from tests.pictures import probability_colour, share
from tests.report.plots.cases import alone, case


@pytest.mark.thorough
def test_an_animation_shows_probabilities_from_the_first_forecast_on(tmp_path):
    chance = {name: np.full((4, 20, 24), value, np.float32) for name, value in (("p", 0.55), ("q", 0.85))}
    dry = np.zeros((4, 20, 24), np.float32)
    path = animate_forecast(
        case(observed=None, forecasts={"net": dry}, inputs=dry[:3], probabilities=chance), tmp_path / "a.gif"
    )
    with Image.open(path) as picture:
        assert picture.n_frames == 7
        for frame in range(7):
            picture.seek(frame)
            for value in (0.55, 0.85):
                found = share(picture, probability_colour(value))  # the bar alone has some of it
                assert (found > 0.1) == (frame >= 3), (frame, value)


def test_the_animation_has_inputs_and_lead_times_at_three_a_second(tmp_path):
    with Image.open(animate_forecast(case(steps=5), tmp_path / "a.gif")) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames == 3 + 5
        durations = [picture.seek(k) or picture.info["duration"] for k in range(8)]
    assert durations[:-1] == [350] * 7
    assert durations[-1] == 1400  # a rest at the end
    assert picture.info["loop"] == 0


def test_each_frame_of_the_animation_shows_its_own_field(tmp_path):
    rates, inputs = (0.15, 3.0, np.nan), np.full((1, 8, 8), 30, dtype=np.float32)
    path = animate_forecast(alone(*rates, inputs=inputs), tmp_path / "a.gif")
    expected = (RAIN_COLOURS[7], RAIN_COLOURS[0], RAIN_COLOURS[4], NO_DATA)
    with Image.open(path) as picture:
        assert picture.n_frames == len(expected)
        for k in range(len(expected)):
            picture.seek(k)
            shares = [share(picture, other) for other in expected]
            assert int(np.argmax(shares)) == k
            assert shares[k] > 0.3
            assert sum(shares) - shares[k] < 0.05


def test_the_clock_of_the_animation_names_inputs_and_forecasts(tmp_path, monkeypatch):
    clocks, render = [], plotting._render
    monkeypatch.setattr(
        plotting, "_render", lambda figure, *rest: clocks.append(figure.texts[-1].get_text()) or render(figure, *rest)
    )
    animate_forecast(alone(0, 1, inputs=np.zeros((2, 8, 8))), tmp_path / "a.gif")
    times = [
        "input -5 min, {} 11:55",
        "input +0 min, {} 12:00",
        "forecast +5 min, {} 12:05",
        "forecast +10 min, {} 12:10",
    ]
    assert clocks == [time.format("2024-05-01") + " UTC" for time in times]


def test_same_fields_at_two_times_stay_two_frames(tmp_path):
    with Image.open(animate_forecast(alone(3.0, 3.0, 3.0), tmp_path / "a.gif")) as picture:
        assert picture.n_frames == 3


@pytest.mark.thorough
def test_an_animation_of_four_panels_is_small(tmp_path):
    noise = np.random.default_rng(1).gamma(0.3, 3.0, (20, 100, 100)).astype(np.float32)  # hardest to compress
    big = case(observed=noise, forecasts={name: noise[::-1] for name in "abc"}, inputs=None)
    assert animate_forecast(big, tmp_path / "a.gif").stat().st_size < 2_000_000


def test_frames_are_those_of_a_figure_that_is_drawn_whole(tmp_path, monkeypatch):
    frames, render = [], plotting._render

    def both(figure, still, moving):
        for artist in moving:
            artist.set_animated(False)
        figure.canvas.draw()
        whole = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        for artist in moving:
            artist.set_animated(True)
        frames.append((render(figure, still, moving), whole))
        return frames[-1][0]

    monkeypatch.setattr(plotting, "_render", both)
    chance = {"p": np.full((2, 20, 24), 0.5, np.float32)}
    wet = np.full((2, 20, 24), 3, np.float32)
    animate_forecast(
        case(observed=None, forecasts={"net": wet}, inputs=0 * wet, probabilities=chance), tmp_path / "a.gif"
    )
    assert len(frames) == 4
    for drawn, whole in frames:
        np.testing.assert_array_equal(np.asarray(drawn), whole)
