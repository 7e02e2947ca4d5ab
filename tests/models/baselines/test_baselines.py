"""Persistence and extrapolation: known displacements, dry fields, no data."""

import numpy as np
import pytest
import torch

from nowcast.models.baselines.extrapolation import Extrapolation, advect
from nowcast.models.baselines.persistence import Persistence
from nowcast.verification.per_frame.metrics import Contingency

EXTRAPOLATION = Extrapolation(pairs=2, smoothing_cells=8.0)


def cells(frames, shape=(96, 96), velocity=(2.0, 1.0), seed=0):
    """(T, H, W) smooth rain cells that move by (x, y) cells a step."""
    draw = np.random.default_rng(seed)
    centres = draw.uniform(15, 50, (6, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    result = []
    for k in range(frames):
        field = sum(
            8 * np.exp(-((x - cx - velocity[0] * k) ** 2 + (y - cy - velocity[1] * k) ** 2) / 40) for cx, cy in centres
        )
        result.append(np.where(field > 0.1, field, 0))
    return np.stack(result).astype(np.float32)


def forecast(frames, steps, model=EXTRAPOLATION):
    return model(torch.from_numpy(np.ascontiguousarray(frames))[None, :, None], steps)[0, :, 0].numpy()


def csi(prediction, observed, threshold=0.5):
    shape = (1, len(observed), 1, *observed.shape[1:])
    metric = Contingency([threshold], len(observed))
    truth = torch.from_numpy(np.ascontiguousarray(observed)).view(shape)
    metric.update(torch.from_numpy(np.ascontiguousarray(prediction)).view(shape), truth.nan_to_num(0), ~truth.isnan())
    return metric.compute()["csi"][0].numpy()


def test_persistence_repeats_the_last_frame():
    frames = torch.rand(2, 3, 1, 4, 5)
    frames[0, -1, 0, 0, 0] = torch.nan
    result = Persistence()(frames, 4)
    assert result.shape == (2, 4, 1, 4, 5)
    for step in range(4):
        torch.testing.assert_close(result[:, step], frames[:, -1], equal_nan=True)


@pytest.mark.parametrize("velocity", [(2.0, 1.0), (-1.5, 0.5), (0.0, 3.0), (0.0, 0.0)])
def test_a_known_translation_is_followed_for_twelve_steps(velocity):
    frames = cells(15, velocity=velocity)[:, 10:-10, 10:-10]
    prediction = forecast(frames[:3], 12)
    assert csi(prediction[:8], frames[3:11]).min() > 0.85
    u, v = EXTRAPOLATION.flow(frames[:3])
    rain = frames[2] > 1
    assert (u[rain].mean(), v[rain].mean()) == (
        pytest.approx(velocity[0], abs=0.2),
        pytest.approx(velocity[1], abs=0.2),
    )


def test_rain_carries_its_motion_into_dry_places():
    frames = cells(12, velocity=(3.0, 0.0))
    prediction = forecast(frames[:3], 9)
    assert np.nansum(prediction[8]) == pytest.approx(frames[11].sum(), rel=0.1)
    assert csi(prediction, frames[3:])[-1] > 0.75


def test_advection_along_a_rotation():
    y, x = np.mgrid[:81, :81].astype(np.float32) - 40
    angle = np.deg2rad(3)
    flow = np.stack([-y * angle, x * angle]).astype(np.float32)  # (x, y), rows downwards
    blob = np.exp(-((x - 20) ** 2 + y**2) / 20).astype(np.float32)
    turned = advect(blob, flow, 30)[-1]
    expected = np.exp(-(x**2 + (y - 20) ** 2) / 20)  # a quarter turn
    assert np.abs(np.nan_to_num(turned) - expected).max() < 0.05


def test_advection_along_a_shear():
    y, x = np.mgrid[:61, :81].astype(np.float32)
    flow = np.stack([0.1 * (y - 30), np.zeros_like(y)])
    stripe = np.exp(-((x - 40) ** 2) / 10).astype(np.float32)
    sheared = advect(stripe, flow, 5)[-1]
    assert [int(np.nanargmax(sheared[row])) for row in (10, 30, 50)] == [30, 40, 50]


def test_what_comes_from_outside_or_from_no_data_is_no_forecast():
    field = np.full((20, 20), 2.0, dtype=np.float32)
    field[:, 8:10] = np.nan
    flow = np.stack([np.full((20, 20), 3.0), np.zeros((20, 20))]).astype(np.float32)
    moved = advect(field, flow, 1)[0]
    assert np.isnan(moved[:, :3]).all()
    assert np.isnan(moved[:, 11:13]).all()
    np.testing.assert_allclose(moved[:, 3:11], 2.0)
    np.testing.assert_allclose(moved[:, 13:], 2.0)


def test_one_interpolation_per_lead_time_does_not_smooth():
    frames = cells(3, velocity=(1.5, 0.5))
    prediction = forecast(frames, 12)
    assert np.nanmax(prediction[11]) > 0.93 * frames[2].max()


def test_dry_in_dry_out():
    assert not forecast(np.zeros((3, 32, 40), dtype=np.float32), 5).any()


def test_rain_that_only_just_began_stays_where_it_is():
    frames = np.zeros((3, 32, 32), dtype=np.float32)
    frames[2, 16, 16] = 5.0
    np.testing.assert_array_equal(forecast(frames, 2), frames[[2, 2]])


def test_no_data_in_no_data_out():
    assert np.isnan(forecast(np.full((3, 32, 32), np.nan, dtype=np.float32), 2)).all()


def test_a_constant_field_does_not_move():
    prediction = forecast(np.full((3, 32, 32), 2.0, dtype=np.float32), 3)
    np.testing.assert_allclose(prediction[:, 5:-5, 5:-5], 2.0, rtol=1e-5)


def test_batches_and_channels_are_extrapolated_apart():
    frames = torch.from_numpy(np.stack([cells(3, velocity=v) for v in ((2.0, 0.0), (0.0, 2.0))]))[:, :, None]
    together = EXTRAPOLATION(frames, 4)
    for k in range(2):
        torch.testing.assert_close(together[k : k + 1], EXTRAPOLATION(frames[k : k + 1], 4), equal_nan=True)


def test_one_frame_is_not_enough():
    with pytest.raises(ValueError, match="at least 2 input frames, got 1"):
        EXTRAPOLATION(torch.zeros(1, 1, 1, 8, 8), 2)


@pytest.mark.parametrize("arguments", [(0, 8.0), (2, 0.0)])
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="extrapolation needs"):
        Extrapolation(*arguments)


@pytest.mark.real_data
def test_extrapolation_beats_persistence_on_real_rain(real_data):
    from tests.data.formats.readers import reader

    files = sorted(real_data.glob("knmi_hdf5/20100826/*.h5"))[20:37]
    rain = np.stack([reader("knmi").read(file)[0].values * 12 for file in files])[:, 100:600, 100:600]
    moved, stayed = forecast(rain[:5], 12), forecast(rain[:5], 12, Persistence())
    for step in (5, 11):  # 30 and 60 minutes
        gain = csi(moved, rain[5:])[step] - csi(stayed, rain[5:])[step]
        assert gain > 0.08


def test_pysteps_agrees():
    """pysteps (optional) as the oracle: Lucas-Kanade motion and its semi-Lagrangian advection."""
    motion = pytest.importorskip("pysteps.motion", reason="pysteps is an optional extra: `make test-pysteps`")
    from pysteps.extrapolation.semilagrangian import extrapolate

    frames = cells(9, velocity=(2.0, 1.0))
    decibel = np.where(frames[:3] > 0.1, 10 * np.log10(np.maximum(frames[:3], 0.1)), -15)
    flow = motion.get_method("LK")(decibel)
    theirs = csi(np.nan_to_num(extrapolate(frames[2], flow, 6)), frames[3:])
    ours = csi(forecast(frames[:3], 6), frames[3:])
    assert np.abs(ours - theirs).max() < 0.1
