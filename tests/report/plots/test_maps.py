"""Maps: right colours, right places, clear refusals, nothing half-written."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from nowcast.report.plots import layout
from nowcast.report.plots import maps as plotting
from nowcast.report.plots.colours import (
    DRY,
    NO_DATA,
    PROBABILITY_LEVELS,
    RAIN_COLOURS,
    RAIN_LEVELS,
    ProbabilityColours,
    RainColours,
    rain_colormap,
)
from nowcast.report.plots.maps import animate_forecast, panel_lines, plot_forecast, scale_bar_km
from tests.conftest import thinned
from tests.pictures import rgb, share
from tests.report.plots.cases import alone, case


def lightness(colours):
    """CIE L* of sRGB colours."""
    srgb = np.array(colours)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


@pytest.mark.parametrize("colour_blind_safe", [False, True])
def test_more_rain_is_clearly_darker(colour_blind_safe):
    colormap, norm = rain_colormap(colour_blind_safe)
    steps = np.diff(lightness([colormap(norm(rate))[:3] for rate in (0, *RAIN_LEVELS)]))
    assert len(steps) == 10
    assert (steps < -4).all()


@pytest.mark.parametrize("colour_blind_safe", [False, True])
def test_no_data_is_a_colour_of_its_own(colour_blind_safe):
    colormap, norm = rain_colormap(colour_blind_safe)
    others = np.array([colormap(norm(rate))[:3] for rate in (0, *RAIN_LEVELS)])
    assert np.abs(others - to_rgb(NO_DATA)).max(axis=1).min() > 0.15


def test_more_probable_is_evenly_darker_and_tells_apart_from_no_data():
    colormap, norm = ProbabilityColours().table
    colours = [colormap(norm(value))[:3] for value in (0, *PROBABILITY_LEVELS[:-1])]
    steps = np.diff(lightness(colours))
    assert (steps < -4).all()
    assert steps[1:].min() > 1.5 * steps[1:].mean()  # perceptually uniform
    assert np.abs(np.array(colours) - to_rgb(NO_DATA)).max(axis=1).min() > 0.15


@pytest.mark.parametrize("k", range(10))
def test_a_probability_belongs_to_the_class_that_begins_there(k):
    """Single precision has 0.7 a little below."""
    scale = ProbabilityColours()
    colormap, norm = scale.table
    edge, above, below = (np.float32(PROBABILITY_LEVELS[k] + step) for step in (0, 0.02, -0.02))
    shades = [tuple(colormap(norm(scale.values(np.array([value]))))[0]) for value in (edge, above, below)]
    assert shades[0] == shades[1] != shades[2]
    certain = colormap(norm(scale.values(np.array([np.float32(1)]))))[0]
    assert tuple(certain) == tuple(colormap(norm(0.95)))


def test_probabilities_stand_in_lines_of_their_own_and_none_is_left_out():
    fields = {name: np.zeros((4, 20, 24), np.float32) for name in "abcdefg"}
    for rain, probable, lines in (
        ("a", "", [["observed", "a"]]), ("", "ab", [["observed"], ["a", "b"]]),
        ("ab", "cd", [["observed", "a", "b"], ["c", "d"]]),
        ("abcd", "efg", [["observed", "a", "b"], ["c", "d"], ["e", "f", "g"]]),
    ):  # fmt: skip
        one = case(forecasts={name: fields[name] for name in rain}, probabilities={x: fields[x] for x in probable})
        assert panel_lines(one) == lines


@pytest.mark.parametrize("k", range(10))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_level_belongs_to_the_class_above_it(k, dtype):
    colormap, norm = rain_colormap()
    level = dtype(RAIN_LEVELS[k])
    # float32(0.1) > 0.1, so the value just below is taken in the type that the boundary is stored in
    shades = [colormap(norm(np.array([rate])))[0][:3] for rate in (level, np.nextafter(np.float64(RAIN_LEVELS[k]), 0))]
    assert shades[0] == pytest.approx(to_rgb(RAIN_COLOURS[k]))
    assert shades[1] == pytest.approx(to_rgb((DRY, *RAIN_COLOURS)[k]))


def test_a_map_has_the_colours_of_its_values(tmp_path):
    assert (DRY, len(set(rgb(NO_DATA)))) == ("#ffffff", 1)  # white, and a grey
    values = [-1.0, 0.0, 0.09, 3.0, 1e6, np.nan, np.inf, -np.inf]
    expected = [DRY] * 3 + [RAIN_COLOURS[4], RAIN_COLOURS[9]] + [NO_DATA] * 3
    field = np.array([[values] * 8])  # (1, 8, 8): a stripe per value
    drawn = alone(0, observed=field)
    for path in (plot_forecast(drawn, tmp_path / "a.png"), animate_forecast(drawn, tmp_path / "a.gif")):
        with Image.open(path) as picture:
            pixels = picture.convert("RGB")
        left = layout.LEFT * layout.DPI
        stripe = 4.2 * layout.DPI / len(values)  # a single map is 4.2 inches wide
        for k, colour in enumerate(expected):
            at = int(left + (k + 0.5) * stripe), pixels.height // 2
            assert pixels.getpixel(at) == rgb(colour), (path.name, values[k])


@pytest.mark.parametrize("with_inputs", [True, False])
def test_a_forecast_is_no_data_where_the_radar_sees_nothing(tmp_path, with_inputs):
    wet, half = np.full((2, 8, 8), 3, dtype=np.float32), np.zeros((2, 8, 8), dtype=np.float32)
    half[:, :, :4] = np.nan
    half[0, :, 4] = np.nan  # missing once only: seen
    fields = {"inputs": half, "observed": None} if with_inputs else {"inputs": None, "observed": half}
    drawn = case(forecasts={"net": wet}, cell_km=None, title="", **fields)
    assert np.array_equal(np.isnan(drawn.drawn()["net"][0, 0]), np.arange(8) < 4)
    path = plot_forecast(drawn, tmp_path / "a.png")
    with Image.open(path) as picture, Image.open(animate_forecast(drawn, tmp_path / "a.gif")) as animation:
        animation.seek(animation.n_frames - 1)
        for one in (picture, animation):
            wet_share = share(one, RAIN_COLOURS[4])
            assert wet_share > 0.05
            assert share(one, NO_DATA) > 0.9 * wet_share


def test_a_forecast_is_drawn_where_no_frame_tells_what_the_radar_sees():
    wet, nothing = np.full((1, 8, 8), 3, dtype=np.float32), np.full((1, 8, 8), np.nan, dtype=np.float32)
    for observed in (None, nothing):
        one = case(forecasts={"net": wet}, observed=observed, inputs=None)
        assert np.array_equal(one.drawn()["net"], wet)
    blind = case(forecasts={"net": wet}, observed=None, inputs=nothing)
    assert np.isnan(blind.drawn()["net"]).all()


def test_the_colour_blind_table_is_drawn_when_asked_for(tmp_path):
    path = plot_forecast(alone(3.0, colours=RainColours(True)), tmp_path / "a.png")
    colormap, norm = rain_colormap(True)
    with Image.open(path) as picture:
        assert share(picture, [part / 255 for part in colormap(norm(3.0), bytes=True)[:3]]) > 0.3
        assert share(picture, RAIN_COLOURS[4]) == 0


def test_north_is_up_and_west_is_left(tmp_path):
    field = np.zeros((1, 2, 2), dtype=np.float32)
    field[0, 0, 0] = 3  # row 0 = north, column 0 = west
    path = plot_forecast(alone(0, observed=field), tmp_path / "a.png")
    with Image.open(path) as picture:
        rows, columns = np.nonzero((np.asarray(picture.convert("RGB")) == rgb(RAIN_COLOURS[4])).all(axis=-1))
        inside = columns < picture.width * 0.75  # without the colour bar
    assert rows[inside].max() < picture.height * 0.6
    assert columns[inside].max() < picture.width * 0.5


@pytest.mark.thorough
def test_the_scale_bar_and_labels_do_not_change_the_map(tmp_path):
    sizes = []
    for cell_km in (None, 0.001, 4.0):
        with Image.open(plot_forecast(alone(3.0, cell_km=cell_km), tmp_path / "a.png")) as picture:
            rows, columns = np.nonzero((np.asarray(picture.convert("RGB")) == rgb(RAIN_COLOURS[4])).all(axis=-1))
            inside = columns < picture.width * 0.75
            sizes.append((rows[inside].min(), rows[inside].max(), columns[inside].min(), columns[inside].max()))
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize(
    ("width_km", "expected"), [(400, 100), (700, 200), (100, 20), (12.5, 5), (4, 1), (1, 0.2), (3800, 1000), (2.4, 0.5)]
)
def test_the_scale_bar_is_a_round_length(width_km, expected):
    assert scale_bar_km(width_km) == pytest.approx(expected)


@pytest.mark.thorough
def test_the_picture_has_a_row_per_field_and_at_most_six_columns(tmp_path):
    def size(**changes):
        with Image.open(plot_forecast(case(**changes), tmp_path / "new" / "a.png")) as picture:
            assert picture.format == "PNG"
            assert share(picture, NO_DATA) > 0.02
            return picture.size

    four, six, twenty = size(), size(steps=6), size(steps=20)
    assert four[0] < six[0] == twenty[0]
    fewer = size(forecasts={}), size(inputs=None)
    assert fewer[0][1] < four[1]
    assert fewer[1][1] < four[1]
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "change",
    [
        {"observed": np.ones((1, 1, 50)), "forecasts": {}, "inputs": None},
        *(
            pytest.param(change, marks=pytest.mark.thorough)
            for change in (
                {"observed": np.full((4, 20, 24), np.nan, dtype=np.float32)},
                {"title": "a long title " * 20},
                {"observed": None},
                {"inputs": None},
                {"inputs": np.zeros((9, 20, 24))},
                {"cell_km": None},
                {"title": ""},
                {"forecasts": {"a_very_long_name_of_a_model_that_does_not_fit_at_all_" * 2: np.zeros((4, 20, 24))}},
                {"forecasts": {f"{k}": np.zeros((4, 20, 24)) for k in range(8)}},
                {"observed": np.ones((1, 1, 1)), "forecasts": {"a": np.ones((1, 1, 1))}, "inputs": None},
                {"observed": np.ones((1, 50, 1)), "forecasts": {}, "inputs": None},
            )
        ),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((3, 20, 25))}, r"inputs must be \(T_in, 20, 24\).*25"),
        ({"inputs": np.zeros((0, 20, 24))}, r"inputs must be .* got \(0, 20, 24\)"),
        ({"inputs": np.zeros((20, 24))}, r"inputs must be"),
        ({"forecasts": {"observed": np.zeros((4, 20, 24))}}, 'must not be called "observed"'),
        ({"forecasts": {"input": np.zeros((4, 20, 24))}}, 'must not be called "observed" or "input"'),
        ({"timestep_minutes": 0}, "timestep_minutes must be > 0, got 0"),
        ({"timestep_minutes": float("nan")}, "timestep_minutes must be > 0, got nan"),
        ({"cell_km": -1.0}, "cell_km must be > 0, or None when unknown, got -1.0"),
        ({"cell_km": float("inf")}, "cell_km must be > 0"),
        ({"init_time": np.datetime64("NaT")}, "init_time"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        case(**change)


def test_labels_say_lead_and_valid_time():
    assert case().time_label(3) == "+15 min\n2024-05-01 12:15 UTC"
    assert case().time_label(-1) == "-5 min\n2024-05-01 11:55 UTC"
    assert case().time_label(0) == "+0 min\n2024-05-01 12:00 UTC"
    assert case(timestep_minutes=2.5).time_label(1, ", ") == "+2.5 min, 2024-05-01 12:02 UTC"
    assert case(timestep_minutes=360).time_label(2, ", ") == "+720 min, 2024-05-02 00:00 UTC"


def fail(*_, **__):
    raise OSError("disk full")


@pytest.mark.parametrize("earlier", thinned([None, b"an earlier picture"], fast=[1]))
@pytest.mark.parametrize(
    ("name", "draw", "broken"),
    [
        ("a.png", lambda path: plot_forecast(case(), path), (plotting.Figure, "savefig")),
        ("a.gif", lambda path: animate_forecast(case(), path), (Image.Image, "save")),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, name, draw, broken, earlier):
    path = tmp_path / name
    if earlier:
        path.write_bytes(earlier)

    def half(self, file, *_, **__):
        file.write_bytes(b"half")
        fail()

    monkeypatch.setattr(*broken, half)
    with pytest.raises(OSError, match="disk full"):
        draw(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({name: earlier} if earlier else {})
