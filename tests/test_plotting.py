"""Pictures: right colours, right frames, clear refusals, nothing half-written."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from nowcast import plotting
from nowcast.plotting import NO_DATA, RAIN_LEVELS, Case, animate_forecast, plot_forecast, plot_scores, rain_colormap
from tests.test_tables import scores_of


def case(steps=4, shape=(20, 24), **changes):
    draw = np.random.default_rng(0)
    observed = np.where(draw.random((steps, *shape)) < 0.5, 0, 20 * draw.random((steps, *shape))).astype(np.float32)
    observed[:, :4] = np.nan
    fields = {
        "observed": observed,
        "forecasts": {"persistence": observed[:1].repeat(steps, 0), "convlstm": observed * 0.5},
        "inputs": observed[:3],
        "init_time": np.datetime64("2024-05-01T12:00:00", "s"),
        "timestep_minutes": 5.0,
        "cell_km": 2.0,
        "title": "a test",
    }
    return Case(**(fields | changes))


def colours(path):
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}


def rgb(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))


@pytest.mark.parametrize("colour_blind_safe", [False, True])
def test_more_rain_is_darker(colour_blind_safe):
    colormap, norm = rain_colormap(colour_blind_safe)
    shades = np.array([colormap(norm(level))[:3] for level in RAIN_LEVELS])
    luminance = shades @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) < 0.02).all()
    assert luminance[0] - luminance[-1] > 0.6


def test_no_rain_is_white_no_data_grey_and_a_level_belongs_to_its_class():
    colormap, norm = rain_colormap()
    field = np.ma.masked_invalid([0.0, 0.0999, 0.1, 0.2, 500.0, np.nan])
    shades = [tuple(round(255 * c) for c in colour[:3]) for colour in colormap(norm(field))]
    assert shades[0] == shades[1] == (255, 255, 255)
    assert shades[2] != shades[1]
    assert shades[3] != shades[2]
    assert shades[5] == rgb(NO_DATA)
    assert shades[4] == rgb(plotting.RAIN_COLOURS[-1])


def test_the_picture_shows_no_data_and_every_model(tmp_path):
    path = plot_forecast(case(), tmp_path / "new" / "a.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
    assert rgb(NO_DATA) in colours(path)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_forecast_without_observation(tmp_path):
    assert plot_forecast(case(observed=None), tmp_path / "a.png").stat().st_size > 5000
    assert animate_forecast(case(observed=None), tmp_path / "a.gif").stat().st_size > 5000


def test_the_animation_has_inputs_and_lead_times(tmp_path):
    path = animate_forecast(case(steps=5), tmp_path / "a.gif")
    with Image.open(path) as picture:
        assert picture.n_frames == 3 + 5
        assert picture.info["duration"] > 100
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"observed": np.full((4, 20, 24), np.nan, dtype=np.float32)},
        {"inputs": None},
        {"cell_km": None},
        {"observed": np.ones((1, 1, 1)), "forecasts": {"a": np.ones((1, 1, 1))}, "inputs": None},
    ],
)
def test_unusual_cases_are_drawn(tmp_path, change):
    assert plot_forecast(case(**change), tmp_path / "a.png").exists()
    assert animate_forecast(case(**change), tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"forecasts": {"a": np.zeros((3, 20, 24))}},
        {"observed": None, "forecasts": {}},
        {"observed": np.zeros((0, 20, 24)), "forecasts": {}},
        {"observed": np.zeros((20, 24)), "forecasts": {}},
    ],
)
def test_shapes_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError, match=r"fields \(T, H, W\) of one shape"):
        case(**change)


def test_labels_say_lead_and_valid_time():
    assert case().time_label(3) == "+15 min\n05-01 12:15 UTC"
    assert case().time_label(-1) == "-5 min\n05-01 11:55 UTC"


def test_curves_with_gaps(tmp_path):
    models = [scores_of("a"), scores_of("b", hole=True)]
    assert plot_scores(models, "csi", tmp_path / "csi.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="no scores"):
        plot_scores([], "csi", tmp_path / "none.png")
