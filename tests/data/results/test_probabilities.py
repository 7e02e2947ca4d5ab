"""Probabilities of exceedance in files: ours come back as they were, IMPROVER's are understood, and others refused."""

import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.results.forecast_reader import ForecastFiles
from nowcast.data.results.forecast_writer import Forecast, write_forecast
from nowcast.data.results.probabilities import Probabilities
from tests.data.archives import grid

INIT = np.datetime64("2024-05-01T00:10:00", "s")
SECONDS = int(INIT.astype(np.int64))
GRID = grid((4, 5))
THRESHOLDS = (0.1, 1.0, 7.3)
FALLING = np.sort(np.random.default_rng(0).random((3, 2, 4, 5)).astype(np.float32), axis=0)[::-1]  # (K, T, H, W)
LEVELS = np.array([[0.5, 0.4, 0.3], [0.45, 0.35, 0.25]], dtype=np.float32)  # (T, K)
NAME = "probability_of_lwe_precipitation_rate_above_threshold"


HEAVY = np.array(
    [[[7.5, 11.0, 12.25], [7.3, 9.0, 10.0]], [[7.3, 9.0, 48.25], [7.5, 7.5, 30.0]]], dtype=np.float32
)  # (2, T, Q)


def ours(path, values=FALLING, levels=LEVELS, rain=None, heavy=None):
    rain = np.zeros((2, 4, 5), dtype=np.float32) if rain is None else rain
    probabilities = Probabilities(values.swapaxes(0, 1), THRESHOLDS, levels, heavy=heavy)
    write_forecast(path, Forecast(INIT, 300, rain, np.ones(GRID.shape, dtype=bool), GRID, probabilities), {})
    return path


def theirs(path, *, name=NAME, values=FALLING, units="1", thresholds=THRESHOLDS, factor=3.6e6, order=(0, 1, 2),
           relation="greater_than_or_equal_to", of="lwe_precipitation_rate", threshold_units="m s-1"):  # fmt: skip
    """As IMPROVER writes: thresholds in single precision in m s-1, rows from the south, a name that says of what."""
    with netCDF4.Dataset(path, "w") as dataset:
        for axis, size in (("threshold", len(order)), ("time", 2), ("y", 4), ("x", 5)):
            dataset.createDimension(axis, size)
        said = np.array([thresholds[k] for k in order]) / factor
        about = {"standard_name": of, "units": threshold_units} | (
            {"spp__relative_to_threshold": relation} if relation else {}
        )
        begin = {"units": "seconds since 1970-01-01 00:00:00"}
        for variable, kind, axes, content, attributes in (
            ("threshold", "f4", ("threshold",), said, about),
            ("y", "f4", ("y",), GRID.y[::-1], {"standard_name": "projection_y_coordinate", "units": "m"}),
            ("x", "f4", ("x",), GRID.x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            ("time", "i8", ("time",), [SECONDS + 300, SECONDS + 600], {"standard_name": "time", **begin}),
            ("forecast_reference_time", "i8", (), SECONDS, {"standard_name": "forecast_reference_time", **begin}),
            (name, "f4", ("threshold", "time", "y", "x"), values[list(order), :, ::-1], {"units": units}),
        ):
            made = dataset.createVariable(variable, kind, axes)
            made.setncatts(attributes)
            made[...] = content
    return path


def read(path):
    return ForecastFiles([str(path)]).probabilities(SECONDS, [300, 600], GRID)


def test_ours_come_back_to_the_last_bit(tmp_path):
    gap = FALLING.copy()
    gap[:, 1, 2, 3] = np.nan
    path = ours(tmp_path / "a.nc", gap)
    said = read(path)
    np.testing.assert_array_equal(said.values, gap.swapaxes(0, 1))
    assert said.thresholds == THRESHOLDS
    np.testing.assert_array_equal(said.levels, LEVELS)
    later = ForecastFiles([str(path)]).probabilities(SECONDS, [600], GRID)
    np.testing.assert_array_equal(later.values, gap.swapaxes(0, 1)[1:])
    np.testing.assert_array_equal(later.levels, LEVELS[1:])
    assert read(ours(tmp_path / "b.nc", levels=None)).levels is None


def test_heavy_rain_comes_back_and_says_of_what_it_is(tmp_path):
    heavy = HEAVY.copy()
    heavy[:, 1] = np.nan  # nothing so heavy
    path = ours(tmp_path / "a.nc", heavy=heavy)
    np.testing.assert_array_equal(read(path).heavy, heavy)
    np.testing.assert_array_equal(ForecastFiles([str(path)]).probabilities(SECONDS, [600], GRID).heavy, heavy[:, 1:])
    with netCDF4.Dataset(path) as dataset:
        for name in ("rain_rate_by_odds", "rain_rate_matched"):
            assert dataset[name].dimensions == ("quantile", "time")
            assert dataset[name].units == "mm h-1"
            assert name in dataset["probability_of_exceedance"].ancillary_variables.split()
        assert dataset["quantile"][:].tolist() == [0.0, 0.5, 1.0]
    assert read(ours(tmp_path / "b.nc")).heavy is None


def test_heavy_rain_that_falls_or_is_half_there_is_refused(tmp_path):
    path = ours(tmp_path / "a.nc", heavy=HEAVY[..., ::-1])
    with pytest.raises(DataFormatError, match=r"rain_rate_by_odds\(quantile, time\) must be rain rates that rise with"):
        read(path)
    path = ours(tmp_path / "b.nc", heavy=HEAVY)
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.renameVariable("rain_rate_matched", "other")
    with pytest.raises(DataFormatError, match="has rain_rate_by_odds alone; rain_rate_by_odds and rain_rate_matched"):
        read(path)


def test_ours_follow_cf_where_it_has_a_word_for_them(tmp_path):
    with netCDF4.Dataset(ours(tmp_path / "a.nc")) as dataset:
        variable, threshold = dataset["probability_of_exceedance"], dataset["threshold"]
        assert variable.dimensions == ("threshold", "time", "y", "x")
        assert (variable.dtype, variable.filters()["zstd"]) == (np.float32, True)
        assert variable.units == "1"
        assert variable.long_name == "probability of a rainfall rate at or above the threshold"
        assert not hasattr(variable, "standard_name")  # CF has none
        assert variable.coordinates == dataset["rain_rate"].coordinates
        assert (threshold.standard_name, threshold.units) == ("lwe_precipitation_rate", "mm h-1")
        assert threshold.spp__relative_to_threshold == "greater_than_or_equal_to"
        assert dataset["decision_level"].dimensions == ("threshold", "time")


def test_members_of_rain_go_before_probabilities(tmp_path):
    """They say more: an ensemble knows the probability of any rate."""
    rain = np.stack([np.full((2, 4, 5), value, dtype=np.float32) for value in (1, 2)])
    files = ForecastFiles([str(ours(tmp_path / "a.nc", rain=rain))])
    assert files.find(SECONDS, GRID).thresholds == ()
    np.testing.assert_array_equal(files.read(SECONDS, [600], GRID), rain[:, 1:])


@pytest.mark.parametrize(
    "as_written",
    [
        {},
        {"order": (2, 0, 1)},
        {"relation": "greater_than"},
        {"relation": "above"},
        {"relation": ""},
        {"units": "%", "values": FALLING * 100},
        {"threshold_units": "kg m-2 s-1", "factor": 3600.0, "of": "rainfall_rate",
         "name": "probability_of_rainfall_rate_above_threshold"},
        {"threshold_units": "mm h-1", "factor": 1.0},
        {"name": NAME.replace("above", "below"), "relation": "less_than", "values": 1 - FALLING},
        {"name": NAME.replace("above", "below"), "relation": "below", "values": 100 * (1 - FALLING), "units": "%"},
    ],
)  # fmt: skip
def test_improvers_are_probabilities_of_at_least_so_many_mm_per_hour(tmp_path, as_written):
    said = read(theirs(tmp_path / "a.nc", **as_written))
    np.testing.assert_allclose(said.values, FALLING.swapaxes(0, 1), atol=2e-7)
    assert said.thresholds == THRESHOLDS  # although single precision knows no 0.1 mm h-1 in m s-1
    assert said.levels is None


@pytest.mark.parametrize(
    ("as_written", "words"),
    [
        ({"values": FALLING * 1.5}, r"holds 1\.4\d* \(unit 1\), which is no probability"),
        ({"values": FALLING - 0.5}, r"holds -0\.4\d* \(unit 1\), which is no probability"),
        ({"values": FALLING * 200, "units": "%"}, r"holds 19\d\.\d* \(unit %\), which is no probability"),
        ({"units": "mm"}, "has unit 'mm', which is none of a probability: 1 or %"),
        ({"threshold_units": "m", "factor": 1000.0}, "thresholds in 'm', which is no rain rate such as mm h-1"),
        ({"threshold_units": "dBZ", "factor": 1.0}, "thresholds in 'dBZ', which is no rain rate"),
        ({"threshold_units": "spoons", "factor": 1.0}, "thresholds in 'spoons', which is no rain rate"),
        ({"thresholds": (0.0, 1.0, 2.0)}, "thresholds of 0, 1, 2 mm h-1; each must be above 0"),
        ({"thresholds": (1.0, 1.0, 2.0)}, "thresholds of 1, 1, 2 mm h-1; each must be above 0, and there once"),
        ({"relation": "between_thresholds"}, "spp__relative_to_threshold of threshold is 'between_thresholds'"),
        ({"relation": "less_than"}, "is 'less_than', and .* is a probability of above a threshold; it may be above"),
        ({"of": "air_temperature"}, "needs one coordinate of thresholds that is called lwe_precipitation_rate"),
        ({"name": "probability_of_wind_speed_above_threshold", "of": "wind_speed"}, "one field of rain rate"),
    ],
)
def test_what_is_no_probability_of_a_rate_is_refused_in_words(tmp_path, as_written, words):
    path = theirs(tmp_path / "a.nc", **as_written)
    with pytest.raises(DataFormatError, match=words) as refused:
        read(path)
    assert str(path) in str(refused.value)


def test_levels_that_do_not_go_with_the_probabilities_are_refused(tmp_path):
    path = ours(tmp_path / "a.nc", levels=LEVELS + 1)
    with pytest.raises(DataFormatError, match=r"decision_level\(threshold, time\) must be probabilities from 0 to 1"):
        read(path)


def test_two_fields_of_probabilities_are_refused(tmp_path):
    path = ours(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createVariable(NAME, "f4", ("threshold", "time", "y", "x"))
    with pytest.raises(DataFormatError, match=f"several probabilities of rain, probability_of_exceedance, {NAME}"):
        read(path)
