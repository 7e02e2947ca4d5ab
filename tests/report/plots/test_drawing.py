"""`nowcast plot`: forecasts of any system, archives, and what is refused."""

import shutil

import netCDF4
import numpy as np
import pytest
from PIL import Image

from nowcast.data.archive.archive import Archive
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from nowcast.data.results.probabilities import Probabilities
from nowcast.report.plots import drawing
from nowcast.report.plots.drawing import DrawingOptions, draw_file
from tests.data.archives import frame, moving_rain, write
from tests.pictures import probability_colour, rgb, share
from tests.programs import run


@pytest.fixture
def archive(tmp_path):
    """Ten frames of five minutes with rain that moves."""
    return Archive(moving_rain(tmp_path / "radar.nc", 10))


def options(**changes):
    settings = {
        "observed": None, "init_time": None, "frames": 4, "thresholds": [0.5, 5], "members": 1, "unit": "mm/h",
        "zr": None, "coastlines": "none", "formats": ["png"], "every": None, "colour_blind_safe": False,
    }  # fmt: skip
    return DrawingOptions(**settings | changes)


def forecast(path, archive, rain=None, init=4, steps=3):
    last = archive.times[init]
    if rain is None:
        rain = archive.read(slice(init + 1, init + 1 + steps), slice(None), slice(None))
    write_forecast(path, Forecast(last, 300, rain, np.ones(archive.grid.shape, dtype=bool), archive.grid), {})
    return path


def drawn(monkeypatch):
    """The cases that are drawn from now on."""
    cases, plot = [], drawing.plot_forecast
    monkeypatch.setattr(drawing, "plot_forecast", lambda case, *rest: cases.append(case) or plot(case, *rest))
    return cases


def test_an_archive_is_drawn_with_its_times_and_without_lead_times(archive, tmp_path, monkeypatch):
    cases = drawn(monkeypatch)
    written, _ = draw_file(archive.path, tmp_path / "out" / "a", options(formats=["png", "gif"]))
    assert [path.name for path in written] == ["a.png", "a.gif"]
    with Image.open(written[1]) as picture:
        assert picture.n_frames == 4
    case = cases[0]
    np.testing.assert_array_equal(case.observed, archive.read(slice(6, 10), slice(None), slice(None)))
    assert case.time_label(4) == str(archive.times[9])[:16].replace("T", " ") + " UTC"


@pytest.mark.thorough
def test_a_long_gap_is_no_long_film(tmp_path, monkeypatch):
    """Sixty days without a frame were 17,272 frames of no data."""
    old, new = ([frame(start + 5 * k) for k in range(4)] for start in (0, 60 * 1440))
    archive, cases = Archive(write(tmp_path / "gap.nc", old + new)), drawn(monkeypatch)
    _, remark = draw_file(archive.path, tmp_path / "a", options(frames=6))
    assert len(cases[0].observed) == 4
    assert remark.startswith("4 of the last 6 time steps have a frame")
    assert draw_file(archive.path, tmp_path / "b", options(frames=4))[1] == ""
    later = write(tmp_path / "hole.nc", [frame(5 * k) for k in (0, 1, 2, 4, 5)])
    _, remark = draw_file(later, tmp_path / "c", options(frames=4))
    assert [bool(np.isfinite(field).any()) for field in cases[2].observed] == [True, False, True, True]
    assert remark.startswith("3 of the last 4 time steps have a frame")
    assert draw_file(later, tmp_path / "d", options(frames=12))[1] == ""  # there is no more


def test_observations_stand_at_their_valid_times_and_missing_ones_are_no_data(archive, tmp_path, monkeypatch):
    cases = drawn(monkeypatch)
    file = forecast(tmp_path / "f.nc", archive, init=8, rain=np.full((3, *archive.grid.shape), 3, np.float32))
    draw_file(file, tmp_path / "f", options(observed=archive.path))
    case = cases[0]
    np.testing.assert_array_equal(case.observed[0], archive.read(slice(9, 10), slice(None), slice(None))[0])
    assert np.isnan(case.observed[1:]).all()  # the archive ends before
    assert case.time_label(1).startswith("+5 min")
    np.testing.assert_array_equal(case.forecasts["forecast"], 3)


def test_an_ensemble_is_its_mean_and_members(archive, tmp_path, monkeypatch):
    cases = drawn(monkeypatch)
    members = np.stack([np.full((3, *archive.grid.shape), value, np.float32) for value in (1, 2, 6)])
    members[2, :, 0] = np.nan
    members[:, :, 1] = np.nan
    draw_file(forecast(tmp_path / "e.nc", archive, members), tmp_path / "e", options(members=2))
    rows = cases[0].forecasts
    assert list(rows) == ["mean of 3", "member 1", "member 2"]
    mean = rows["mean of 3"][0, :, 0]
    assert mean[0] == pytest.approx(1)  # the member that is missing counts as no rain, as in the scores
    assert np.isnan(mean[1])
    assert mean[2] == pytest.approx(3)


def exceedance(path, archive, levels=None):
    """Probabilities of 30 % for 0.5, 20 % for 2 and 10 % for 4 mm/h, and none in the first row."""
    values = np.repeat(np.array([0.3, 0.2, 0.1], np.float32), 3).reshape(3, 3, 1, 1).swapaxes(0, 1)
    values = np.broadcast_to(values, (3, 3, *archive.grid.shape)).copy()
    values[:, :, 0] = np.nan
    rain = np.where(np.isnan(values[:, 0]), np.float32(np.nan), np.float32(0))
    held = Probabilities(values, (0.5, 2.0, 4.0), levels)
    covered = np.ones(archive.grid.shape, dtype=bool)
    write_forecast(path, Forecast(archive.times[4], 300, rain, covered, archive.grid, held), {})
    return path


@pytest.mark.thorough
def test_probabilities_are_drawn_below_the_rain_in_colours_of_their_own(archive, tmp_path, monkeypatch):
    cases = drawn(monkeypatch)
    file = exceedance(tmp_path / "f.nc", archive)
    chosen = options(formats=["png", "gif"], thresholds=[0.5, 4])
    written, remark = draw_file(file, tmp_path / "f", chosen)
    assert remark == ""
    assert list(cases[0].forecasts) == ["forecast"]
    assert list(cases[0].probabilities) == ["P(≥\u00a00.5\u00a0mm/h)", "P(≥\u00a04\u00a0mm/h)"]
    with netCDF4.Dataset(file) as dataset:
        np.testing.assert_array_equal(
            np.stack(list(cases[0].probabilities.values())),
            dataset["probability_of_exceedance"][[0, 2]].filled(np.nan),
        )
    for path in written:
        with Image.open(path) as picture:
            for probability in (0.3, 0.1):  # float32(0.3) and float32(0.1) are in the classes that begin there
                assert share(picture, probability_colour(probability)) > 0.1, (path, probability)
            assert 0 < share(picture, "#b9b9b9") < 0.1  # the row without a forecast
    draw_file(file, tmp_path / "n", options(thresholds=[]))
    assert not cases[1].probabilities


@pytest.mark.thorough
def test_of_thresholds_that_a_forecast_lacks_the_nearest_are_drawn_and_said(archive, tmp_path, monkeypatch):
    cases = drawn(monkeypatch)
    file = exceedance(tmp_path / "f.nc", archive)
    _, remark = draw_file(file, tmp_path / "f", options(thresholds=[0.1, 0.5, 3]))
    assert list(cases[0].probabilities) == ["P(≥\u00a00.5\u00a0mm/h)", "P(≥\u00a04\u00a0mm/h)"]
    assert remark == (
        "the probabilities are of other thresholds: 0.5 in place of 0.1 mm/h, 4 in place of 3 mm/h; there are "
        "thresholds=[0.5,2,4]"
    )


@pytest.mark.thorough
def test_dbz_colours_are_those_of_the_law(archive, tmp_path):
    rate = 10 ** ((37 - 10 * np.log10(200)) / 16)  # 37 dBZ by Marshall and Palmer
    rain = np.full((1, *archive.grid.shape), rate, np.float32)
    written, _ = draw_file(forecast(tmp_path / "f.nc", archive, rain), tmp_path / "f", options(unit="dBZ"))
    with Image.open(written[0]) as picture:
        assert share(picture, drawing.RainColours().table[0](5)[:3]) > 0.3  # the class of 35 to 40 dBZ
        assert share(picture, rgb_of_dry()) < 0.7
    dry, _ = draw_file(forecast(tmp_path / "d.nc", archive, np.zeros_like(rain)), tmp_path / "d", options(unit="dBZ"))
    with Image.open(dry[0]) as picture:
        assert share(picture, "#b9b9b9") < 0.05  # no rain is not "no data", although it is -inf dBZ


def rgb_of_dry():
    return [part / 255 for part in rgb("#ffffff")]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_mp4(archive, tmp_path):
    written, _ = draw_file(archive.path, tmp_path / "a", options(formats=["mp4"]))
    assert written[0].read_bytes()[4:8] == b"ftyp"


def test_what_cannot_be_drawn_is_refused(archive, tmp_path, monkeypatch):
    file = forecast(tmp_path / "f.nc", archive)
    for asked, message in (
        (lambda: draw_file(tmp_path / "no.nc", tmp_path / "a", options()), "no file at"),
        (
            lambda: draw_file(archive.path, tmp_path / "a", options(observed=archive.path)),
            "archive of observations itself",
        ),
        (lambda: draw_file(archive.path, tmp_path / "a", options(init_time="2001-01-01")), "no frame at init_time"),
        (lambda: draw_file(file, tmp_path / "a", options(init_time="2001-01-01")), "no forecast from init_time"),
        (lambda: draw_file(file, tmp_path / "a", options(init_time="noon")), "is not a time such as"),
        (lambda: options(formats=["bmp"]), "formats=bmp is unknown; choose of png, gif, mp4"),
        (lambda: options(formats=[]), "formats is empty"),
        (lambda: options(frames=0), "frames must be at least 1, got 0"),
        (
            lambda: options(thresholds=[0.5, 0]),
            r"thresholds must be rain rates above 0 mm/h, such as \[0.5, 5\], got 0",
        ),
        (lambda: options(members=-1), "members must be at least 0, got -1"),
        (lambda: options(every=0), "every must be at least 1, got 0"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            asked()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match="mp4 needs ffmpeg, which is not installed"):
        options(formats=["mp4"])
    assert not list(tmp_path.glob("a.*"))


def test_the_program_draws_and_says_what_is_wrong(archive, tmp_path):
    code, message = run("plot", f"file={archive.path}", f"output={tmp_path / 'p'}", "coastlines=none")
    assert (code, message) == (0, "")
    assert (tmp_path / "p.png").exists()
    assert (tmp_path / "p.gif").exists()
    code, message = run("plot", f"file={archive.path}", "unit=inch")
    assert code == 1
    assert "unit must be mm/h or dBZ, got 'inch'" in message
    code, message = run("plot", f"file={archive.path}", "zr=[200]")
    assert code == 1
    assert "zr must be [a, b]" in message
