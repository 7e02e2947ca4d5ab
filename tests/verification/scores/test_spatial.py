"""Fractions skill score and spectra against scipy, the library `scores`, and pysteps where it is installed."""

import math

import numpy as np
import pytest
import torch
import xarray
from scipy.ndimage import uniform_filter
from scores.spatial import fss_2d

from nowcast.verification.scores import boxes
from nowcast.verification.scores.sal import StructureAmplitudeLocation
from nowcast.verification.scores.spatial import Fractions, Spectrum, half_plane, power, radial_frequency
from tests.verification.scores.fields import KINDS, fields, seen
from tests.verification.scores.test_categorical import computed

THRESHOLDS, WINDOWS = [0.5, 2.0, 10.0], [1, 3, 9]


@pytest.fixture(params=["native", "eager"])
def _counted_by(request, monkeypatch):
    """Run a test with the compiled kernel and without it."""
    if request.param == "eager":
        monkeypatch.setattr(boxes, "_functions", lambda: None)


def test_the_kernel_is_compiled_here():
    """CI has a compiler: without this test a broken kernel would only be slow."""
    assert boxes._functions() is not None


@pytest.mark.usefixtures("_counted_by")
@pytest.mark.parametrize("kind", KINDS)
def test_windows_over_the_border_equal_scipy(kind):
    data = fields(kind)
    ours = computed(Fractions(THRESHOLDS, WINDOWS, "zero"), *data)["fss"]
    for lead in range(2):
        f, o = (x[:, 0] for x in seen(*data, lead))
        for k, threshold in enumerate(THRESHOLDS):
            for w, window in enumerate(WINDOWS):
                if window > min(f.shape[1:]):
                    continue
                pf, po = (
                    np.stack([uniform_filter((x >= threshold).astype(float), window, mode="constant") for x in field])
                    for field in (f, o)
                )
                worst = (pf**2).sum() + (po**2).sum()
                expected = 1 - ((pf - po) ** 2).sum() / worst if worst > 0 else np.nan
                assert ours[lead, k, w] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.usefixtures("_counted_by")
@pytest.mark.parametrize("window", [1, 4, 9, 18])
@pytest.mark.parametrize("kind", ["random", "dry", "all wet", "constant", "missing forecast"])
def test_windows_inside_equal_the_library(kind, window):
    data = fields(kind)
    ours = computed(Fractions(THRESHOLDS, [window], "inside"), *data)["fss"]
    for lead in range(2):
        f, o = (xarray.DataArray(x[:, 0], dims=("sample", "y", "x")) for x in seen(*data, lead))
        for k, threshold in enumerate(THRESHOLDS):
            expected = fss_2d(
                f,
                o,
                event_threshold=threshold,
                window_size=(window, window),
                spatial_dims=("y", "x"),
                threshold_operator=np.greater_equal,
            )
            # The library calls a forecast without any event in forecast and observation 0; it is undefined.
            events = bool(((f >= threshold) | (o >= threshold)).any())
            assert ours[lead, k, 0] == pytest.approx(float(expected) if events else np.nan, abs=1e-9, nan_ok=True)


@pytest.mark.usefixtures("_counted_by")
def test_inside_only_windows_without_a_masked_cell_count():
    forecast, observed, mask = fields("random", shape=(1, 1, 1, 7, 9))
    mask[..., 2, 4] = False
    ours = computed(Fractions([2.0], [3], "inside"), forecast, observed, mask)["fss"].item()
    error = worst = 0.0
    for y in range(5):
        for x in range(7):
            part = (..., slice(y, y + 3), slice(x, x + 3))
            if mask[part].all():
                pf, po = ((field[part] >= 2.0).double().mean().item() for field in (forecast, observed))
                error, worst = error + (pf - po) ** 2, worst + pf**2 + po**2
    assert ours == pytest.approx(1 - error / worst, abs=1e-12)


@pytest.mark.usefixtures("_counted_by")
@pytest.mark.parametrize("masked", [False, True])
def test_a_window_wider_than_the_grid_has_no_score(masked):
    forecast = torch.full((1, 1, 1, 5, 9), 3.0)
    mask = torch.ones(1, 1, 1, 5, 9, dtype=torch.bool)
    mask[..., 0, 0] = not masked
    fss = computed(Fractions([2.0], [3, 5, 7], "inside"), forecast, forecast, mask)["fss"].ravel().tolist()
    assert fss[:2] == [1, 1]
    assert math.isnan(fss[2])


@pytest.mark.usefixtures("_counted_by")
def test_a_displaced_cell_has_skill_only_at_wider_windows():
    observed, forecast = torch.zeros(1, 1, 1, 21, 21), torch.zeros(1, 1, 1, 21, 21)
    observed[..., 10, 10] = forecast[..., 10, 12] = 5.0
    mask = torch.ones_like(observed, dtype=torch.bool)
    fss = computed(Fractions([1.0], [1, 3, 5], "zero"), forecast, observed, mask)["fss"].ravel()
    # 3×3 windows share one column of three, 5×5 windows three of five: 1 - 2·6/18 and 1 - 2·10/50.
    np.testing.assert_allclose(fss, [0, 1 - 12 / 18, 1 - 20 / 50], atol=1e-12)


@pytest.mark.parametrize("over_border", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 17, 40), (1, 1, 64, 5)])
@pytest.mark.parametrize("cells", ["all", "most", "none"])
def test_kernel_and_operations_count_the_same(shape, over_border, cells):
    draw = torch.Generator().manual_seed(0)
    observed, forecast = (torch.rand(shape, generator=draw).pow(4) * 12 for _ in range(2))
    share = {"all": 2.0, "most": 0.98, "none": -1.0}[cells]
    mask = torch.rand(shape, generator=draw) < share
    observed, forecast = observed * mask, forecast * mask
    places = boxes.Places((0.0, 0.5, 2.0, 11.9, 50.0), (1, 3, 9), over_border)
    native, eager = boxes.NativeCounted(observed, mask, places), boxes.EagerCounted(observed, mask, places)
    torch.testing.assert_close(native.squares, eager.squares, atol=0, rtol=1e-12)
    for ours, theirs in zip(native.with_forecast(forecast), eager.with_forecast(forecast), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=1e-12)


@pytest.mark.usefixtures("_counted_by")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_perfect_forecast_in_another_precision_is_perfect(dtype):
    observed = torch.tensor([0.0, 0.5, 2.0, 16.0]).repeat(20).reshape(1, 1, 1, 10, 8)
    mask = torch.ones_like(observed, dtype=torch.bool)
    fss = computed(Fractions(THRESHOLDS, [1, 3], "inside"), observed.to(dtype), observed, mask)["fss"]
    assert (fss == 1).all()


@pytest.mark.usefixtures("_counted_by")
def test_fields_of_another_shape_are_refused():
    seen_ = Fractions([1.0], [3], "inside").of_observed(torch.ones(1, 1, 20, 20), torch.ones(1, 1, 20, 20).bool())
    with pytest.raises(ValueError, match=r"the forecast is \(1, 1, 10, 10\), the observation \(1, 1, 20, 20\)"):
        seen_.with_forecast(torch.ones(1, 1, 10, 10))


@pytest.mark.usefixtures("_counted_by")
def test_an_empty_batch_has_empty_sums():
    nothing = torch.zeros(0, 1, 8, 8)
    assert Fractions([1.0, 2.0], [3], "inside").statistics(nothing, nothing, nothing.bool())["fractions"].shape == (
        0, 2, 1, 2,
    )  # fmt: skip


@pytest.mark.parametrize("hidden", [0, 1000])
def test_sums_of_wide_windows_are_exact(hidden):
    """Windows of 101 cells in a frame that is wet but for one cell: whole numbers up to 10^12."""
    wet, mask = torch.ones(1, 1, 101, 3000), torch.ones(1, 1, 101, 3000, dtype=torch.bool)
    mask[..., 7, 3000 - hidden :] = False
    wet[..., 50, 0] = 0.0
    forecast = torch.ones_like(wet) * mask
    counted = boxes.NativeCounted(wet * mask, mask, boxes.Places((1.0,), (101,), False))
    full = 101**2
    assert counted.squares.item() == (2899 - hidden) * full**2 + (full - 1) ** 2
    squares, products = counted.with_forecast(forecast)
    assert squares.item() == (2900 - hidden) * full**2
    assert products.item() == (2899 - hidden) * full**2 + full * (full - 1)


@pytest.mark.parametrize(
    ("windows", "border"), [([2], "zero"), ([0], "inside"), ([3, 1], "zero"), ([1], "reflect"), ([], "zero")]
)
def test_wrong_windows_are_refused(windows, border):
    with pytest.raises(ValueError, match=r"windows must|border must"):
        Fractions([1.0], windows, border)


def rapsd(field):
    """Radial average by whole wave numbers of a square field, from its definition."""
    size = len(field)
    number = np.fft.fftfreq(size) * size
    radius = np.hypot(number[:, None], number).round()
    psd = np.abs(np.fft.fft2(field)) ** 2 / field.size
    return np.array([psd[radius == r].mean() for r in range((size + 1) // 2)])


@pytest.mark.parametrize("size", [16, 17])
def test_a_spectrum_by_whole_wave_numbers_equals_its_definition(size):
    forecast, observed, mask = fields("random", shape=(1, 1, 1, size, size))
    numbers = np.arange(1, (size + 1) // 2)
    edges = [max(2.0, size / (numbers[-1] + 0.5)), *(size / (numbers[::-1] - 0.5))]
    result = computed(Spectrum(edges), forecast, observed, mask)
    for name, field in (("rapsd_forecast", forecast), ("rapsd_observed", observed)):
        expected = rapsd(field[0, 0, 0].double().numpy())[1:][::-1]
        ours = result[name][0]
        np.testing.assert_allclose(ours[1:], expected[1:], rtol=1e-5)
        if edges[0] > 2:
            np.testing.assert_allclose(ours[0], expected[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (5, 12)])
def test_power_of_the_half_plane_is_that_of_the_whole(shape):
    field = torch.rand(shape, dtype=torch.float64)
    whole = np.abs(np.fft.fft2(field.numpy())) ** 2 / field.numel()
    times = half_plane(*shape).flatten().double()
    assert float(power(field) @ times) == pytest.approx(whole.sum())
    assert times.sum() == field.numel()
    # Parseval: the mean power is the mean square.
    assert whole.sum() == pytest.approx(float(field.square().sum()))
    assert radial_frequency(*shape).max() <= np.sqrt(0.5) + 1e-12


def test_one_wave_is_in_its_band():
    x = torch.arange(32, dtype=torch.float32)
    wave = (2 + torch.sin(2 * torch.pi * x / 8)).expand(1, 1, 1, 32, 32)
    mask = torch.ones_like(wave, dtype=torch.bool)
    result = computed(Spectrum([2, 4, 7, 9, 16, 40]), 0.5 * wave, wave, mask)
    assert result["rapsd_observed"][0].argmax() == 2
    assert result["rapsd_observed"][0, [0, 1, 3, 4]].max() < 1e-6
    assert result["spectral_ratio"][0, 2] == pytest.approx(0.25, rel=1e-5)


def test_blur_removes_short_waves():
    _, observed, mask = fields("random", shape=(4, 1, 1, 64, 64))
    blurred = torch.nn.functional.avg_pool2d(observed[:, 0], 5, stride=1, padding=2).unsqueeze(1)
    ratio = computed(Spectrum([2, 4, 16, 64]), blurred, observed, mask)["spectral_ratio"][0]
    assert ratio[0] < 0.1
    assert ratio[2] > 0.7


def test_the_spectrum_of_an_ensemble_is_that_of_its_members():
    forecast, observed, mask = fields("random", members=3)
    ours = computed(Spectrum([2, 4, 16]), forecast, observed, mask)["rapsd_forecast"]
    each = [computed(Spectrum([2, 4, 16]), forecast[:, m], observed, mask)["rapsd_forecast"] for m in range(3)]
    np.testing.assert_allclose(ours, np.mean(each, axis=0), rtol=1e-6)


@pytest.mark.parametrize("edges", [[4], [1, 4], [8, 4]])
def test_wrong_wavelengths_are_refused(edges):
    with pytest.raises(ValueError, match="wavelengths must"):
        Spectrum(edges)


# -- SAL -----------------------------------------------------------------------------------------------------

SAL = StructureAmplitudeLocation(1 / 15, 0.95, 0.1)


def block(size, rain, corner=(20, 20), shape=(60, 80)):
    field = np.zeros(shape)
    field[corner[0] : corner[0] + size, corner[1] : corner[1] + size] = rain
    return field


def test_a_perfect_forecast_has_no_sal():
    field = block(6, 3.0)
    assert SAL.of_frame(field, field) == (0, 0, 0)


def test_a_displaced_area_differs_in_location_only():
    s, a, location = SAL.of_frame(block(6, 3.0, (20, 50)), block(6, 3.0, (20, 20)))
    assert (s, a) == (0, 0)
    assert location == pytest.approx(30 / 100)  # the diagonal of 60×80 is 100


def test_twice_the_rain_differs_in_amplitude_only():
    s, a, location = SAL.of_frame(block(6, 6.0), block(6, 3.0))
    assert (s, location) == (pytest.approx(0), 0)
    assert a == pytest.approx(2 * (2 - 1) / (2 + 1))


def test_a_wider_area_of_as_much_rain_differs_in_structure_only():
    s, a, location = SAL.of_frame(block(8, 1.0), block(4, 4.0, (22, 22)))
    # Scaled volumes are the areas, 64 and 16 cells.
    assert s == pytest.approx(2 * (64 - 16) / (64 + 16))
    assert a == pytest.approx(0)
    assert location == pytest.approx(0, abs=1e-12)


def test_two_areas_for_one_differ_in_scatter():
    two = block(4, 3.0, (20, 10)) + block(4, 3.0, (20, 50))
    _, _, location = SAL.of_frame(two, block(4, 3.0, (20, 30)))
    # The same centre; the two lie 20 cells from it: 2·|20 - 0| / 100.
    assert location == pytest.approx(2 * 20 / 100)


def test_dry_frames_have_no_sal_and_are_not_counted():
    assert np.isnan(SAL.of_frame(block(6, 3.0), block(6, 0.0))).all()
    wet = torch.from_numpy(block(6, 3.0))[None, None, None].float()
    twice = torch.cat([2 * wet, wet])
    observed = torch.cat([wet, torch.zeros_like(wet)])
    result = computed(SAL, twice, observed, torch.ones_like(observed, dtype=torch.bool))
    assert result["sal_a"] == pytest.approx(2 / 3)
    assert result["sal_abs_a"] == pytest.approx(2 / 3)


# -- pysteps -------------------------------------------------------------------------------------------------


def smooth(seed, size=48):
    draw = np.random.default_rng(seed)
    return np.maximum(uniform_filter(draw.gamma(0.3, 8.0, (size, size)), 3) - 1.5, 0.0)


def test_fss_and_spectrum_equal_pysteps():
    pytest.importorskip("pysteps", reason="pysteps is an optional extra: `make test-pysteps`")
    from pysteps.utils.spectral import rapsd as their_rapsd
    from pysteps.verification.spatialscores import fss as their_fss

    f, o = smooth(1), smooth(2)
    data = [torch.from_numpy(x)[None, None, None] for x in (f, o)]
    mask = torch.ones_like(data[0], dtype=torch.bool)
    ours = computed(Fractions(THRESHOLDS, WINDOWS, "zero"), *data, mask)["fss"][0]
    for k, threshold in enumerate(THRESHOLDS):
        for w, window in enumerate(WINDOWS):
            expected = their_fss(f, o, threshold, window)
            assert ours[k, w] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    np.testing.assert_allclose(rapsd(f), their_rapsd(f, np.fft), rtol=1e-9)


def test_sal_equals_pysteps():
    pytest.importorskip("pysteps", reason="pysteps is an optional extra: `make test-pysteps`")
    pytest.importorskip("skimage", reason="pysteps' SAL needs scikit-image")
    from pysteps.verification.salscores import _sal_l1_param, sal_amplitude

    f, o = smooth(1), smooth(2)
    _, amplitude, location = SAL.of_frame(f, o)
    assert amplitude == pytest.approx(sal_amplitude(f, o))
    assert location >= _sal_l1_param(f, o) - 1e-12
