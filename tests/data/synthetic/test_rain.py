"""Synthetic echoes have the statistics and the motion that were asked for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.synthetic.archives import SyntheticArchives
from nowcast.data.synthetic.rain import SyntheticRain

RAIN = SyntheticRain(
    shape=(64, 64),
    frames=6,
    timestep_minutes=5.0,
    cell_km=2.0,
    wet_fraction=0.25,
    spectral_slope=3.0,
    outer_scale_km=40.0,
    decorrelation_minutes=60.0,
    decorrelation_exponent=0.8,
    speed_kmh=(20.0, 50.0),
    eddy_kmh=8.0,
    turn_degrees_per_hour=0.0,
    growth_amplitude=0.0,
    growth_minutes=240.0,
    median_rate=1.0,
    rate_sigma=1.0,
    max_rate=100.0,
)
STILL = replace(RAIN, speed_kmh=(0.0, 0.0), eddy_kmh=0.0)
FROZEN = {"decorrelation_minutes": 1e7, "decorrelation_exponent": 0.0}


def test_an_event_is_its_seeds():
    first, again, other = (RAIN.generate(seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.shape == (6, 64, 64)
    assert first.dtype == np.float32
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("wet", [0.05, 0.25, 0.6])
def test_the_wet_area_is_that_asked_for(wet):
    rain = np.stack([replace(RAIN, frames=1, wet_fraction=wet).generate(seed) for seed in range(60)])
    assert (rain > 0).mean() == pytest.approx(wet, abs=0.035)


def test_wet_cells_are_log_normal():
    rain = np.stack([replace(RAIN, frames=1, max_rate=1e6).generate(seed) for seed in range(60)])
    logarithm = np.log(rain[rain > 0])
    assert np.median(logarithm) == pytest.approx(0.0, abs=0.1)  # the median rate is 1 mm/h
    assert logarithm.std() == pytest.approx(1.0, abs=0.1)


def test_rain_begins_gently_at_its_rim():
    rain = RAIN.generate(0)
    assert (rain[rain > 0] < 0.1).any()
    assert rain.max() <= 100
    assert np.isfinite(rain).all()
    assert rain.min() == 0


@pytest.mark.parametrize("slope", [3.0, *(pytest.param(slope, marks=pytest.mark.thorough) for slope in (2.0, 4.0))])
def test_the_spectrum_falls_with_the_slope_asked_for(slope):
    fields = np.concatenate(
        [replace(STILL, frames=1, spectral_slope=slope, shape=(128, 128)).gaussian(s) for s in range(40)]
    )
    window = np.hanning(128)[:, None] * np.hanning(128)[None]  # the frame is no period of the domain
    power = (np.abs(np.fft.fft2(fields * window)) ** 2).mean(axis=0)
    wave = np.hypot(*np.meshgrid(np.fft.fftfreq(128, 2.0), np.fft.fftfreq(128, 2.0)))
    band = (wave > 3 / 40) & (wave < 0.2)  # well below the outer scale, well above the cells
    fit = np.polyfit(np.log(wave[band]), np.log(power[band]), 1)
    assert -fit[0] == pytest.approx(slope, abs=0.3)


def correlation(settings, lag, seeds=25):
    fields = np.stack([settings.gaussian(seed) for seed in range(seeds)])
    first, later = fields[:, :-lag].ravel(), fields[:, lag:].ravel()
    return float((first * later).mean() / np.sqrt((first**2).mean() * (later**2).mean()))


@pytest.mark.thorough
def test_correlation_falls_to_one_eth_at_the_lifetime():
    # With exponent 0 all scales live equally long: 60 minutes are 12 frames.
    settings = replace(STILL, frames=14, decorrelation_exponent=0.0)
    assert correlation(settings, 12) == pytest.approx(np.exp(-1), abs=0.07)
    assert correlation(settings, 6) > 0.6


@pytest.mark.thorough
def test_small_scales_live_shorter():
    fields = np.stack([replace(STILL, frames=5).gaussian(seed) for seed in range(20)])
    spectrum = np.fft.rfft2(fields - fields.mean(axis=(2, 3), keepdims=True))
    cross = (spectrum[:, 0] * spectrum[:, 4].conj()).mean(axis=0).real
    power = (np.abs(spectrum) ** 2).mean(axis=(0, 1))
    wave = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    large, small = ((cross[w].sum() / power[w].sum()) for w in ((wave > 0) & (wave < 0.06), wave > 0.2))
    assert large > 0.6
    assert small < 0.35


def displacement(before, after):
    """(y, x) shift by phase correlation, to the nearest cell."""
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])[None]
    cross = np.fft.fft2(before * window).conj() * np.fft.fft2(after * window)
    peak = np.unravel_index(np.argmax(np.fft.ifft2(cross).real), before.shape)
    return [(p + n // 2) % n - n // 2 for p, n in zip(peak, before.shape, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_rain_moves_at_the_speed_asked_for(seed):
    # 72 km/h and 2 km cells: 3 cells in 5 minutes.
    fields = replace(RAIN, speed_kmh=(72.0, 72.0), eddy_kmh=0.0, frames=3, **FROZEN).gaussian(seed)
    steps = [np.hypot(*displacement(fields[k], fields[k + 1])) for k in range(2)]
    assert steps == pytest.approx([3.0, 3.0], abs=0.75)
    total = np.hypot(*displacement(fields[0], fields[2]))
    assert total == pytest.approx(6.0, abs=0.75)


def test_without_motion_and_decay_nothing_changes():
    rain = replace(STILL, **FROZEN).generate(0)
    assert np.abs(rain - rain[0]).max() < 0.05 * rain.max()


@pytest.mark.thorough
def test_moving_does_not_smooth():
    fields = np.stack([replace(RAIN, frames=20, **FROZEN).gaussian(seed) for seed in range(8)])
    roughness = [np.diff(fields[:, k], axis=-1).var() for k in (0, 19)]
    assert roughness[1] > 0.7 * roughness[0]
    assert fields[:, 19].var() == pytest.approx(fields[:, 0].var(), rel=0.3)


def test_eddies_turn_and_shear_but_do_not_diverge():
    draw = np.random.default_rng(0)
    speed, _, eddies = replace(RAIN, speed_kmh=(30.0, 30.0))._flow(draw, (96, 96))
    assert speed == 30.0
    v, u = eddies
    assert np.sqrt((u**2 + v**2).mean()) == pytest.approx(8.0, rel=1e-4)
    divergence = np.gradient(u, axis=1) + np.gradient(v, axis=0)
    vorticity = np.gradient(v, axis=1) - np.gradient(u, axis=0)
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(divergence[inner]).max() < 0.05 * np.abs(vorticity[inner]).max()


@pytest.mark.thorough
def test_growth_and_decay_change_the_wet_area():
    settings = replace(STILL, frames=25, growth_amplitude=1.0, growth_minutes=120.0, **FROZEN)
    areas = np.stack([(settings.generate(seed) > 0).mean(axis=(1, 2)) for seed in range(10)])
    assert (areas.max(axis=1) / areas.min(axis=1)).mean() > 2
    steady = np.stack([(replace(settings, growth_amplitude=0.0).generate(0) > 0).mean(axis=(1, 2))])
    assert steady.max() / steady.min() < 1.1


@pytest.mark.parametrize("shape", [(8, 8), (9, 40)])
@pytest.mark.parametrize("wet", [1e-6, 1 - 1e-6])
def test_extremes(shape, wet):
    rain = replace(RAIN, shape=shape, frames=1, wet_fraction=wet).generate(0)
    assert rain.shape == (1, *shape)
    assert (rain > 0).mean() == round(wet)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wet_fraction", 1.0),
        ("shape", (4, 64)),
        ("frames", 0),
        ("speed_kmh", (50.0, 20.0)),
        ("decorrelation_minutes", 0.0),
        ("spectral_slope", 9.0),
        ("median_rate", -1.0),
    ],
)
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*got"):
        replace(RAIN, **{name: value})


def archives(folder, **changes):
    options = {"train_events": 2, "val_events": 1, "test_events": 1, "seed": 0, "rain": replace(RAIN, shape=(16, 16))}
    return SyntheticArchives(folder=str(folder), **(options | changes))


def test_events_are_archives_made_once(tmp_path):
    paths = archives(tmp_path).paths()
    assert [path.stem for path in paths] == ["train_000", "train_001", "val_000", "test_000"]
    stamps = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in archives(tmp_path).paths()] == stamps
    events = [Archive(path).read(slice(None), slice(None), slice(None)) for path in paths]
    assert len({event.tobytes() for event in events}) == 4
    spans = [(Archive(path).times[0], Archive(path).times[-1]) for path in paths]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_more_events_leave_the_old_ones_and_other_settings_get_their_own_folder(tmp_path):
    first = archives(tmp_path).paths()
    more = archives(tmp_path, train_events=3).paths()
    assert set(first) < set(more)
    assert not set(archives(tmp_path, seed=1).paths()) & set(more)


def test_two_runs_may_make_the_same_archives_at_once(tmp_path, monkeypatch):
    write = SyntheticArchives._write

    def after_another(self, kind, path, rain_rate):
        write(self, kind, path, rain_rate)  # another process was faster
        write(self, kind, path, rain_rate)

    monkeypatch.setattr(SyntheticArchives, "_write", after_another)
    paths = archives(tmp_path).paths()
    assert paths
    assert all(path.exists() for path in paths)
