"""Frame scores against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from nowcast.verification.per_frame.frame_metrics import FrameScores, ssim


def batch(seed=0, shape=(3, 2, 1, 12, 14)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    return logits, torch.rand(shape, generator=generator, dtype=torch.float64)


def scores(logits, target, known=True):
    metric = FrameScores(lead_times=target.shape[1])
    metric.update(torch.sigmoid(logits), target, torch.ones_like(target, dtype=torch.bool), logits if known else None)
    return metric


def test_each_score_equals_its_definition():
    logits, target = batch()
    ours = {name: value.numpy() for name, value in scores(logits, target).compute().items()}
    p, t = torch.sigmoid(logits).numpy(), target.numpy()
    for lead in range(2):
        entropy, mse, mae, psnr = [], [], [], []
        for s in range(3):
            a, b = p[s, lead, 0], t[s, lead, 0]
            entropy.append(-(b * np.log(a) + (1 - b) * np.log(1 - a)).sum())
            mse.append(((a - b) ** 2).sum())
            mae.append(np.abs(a - b).sum())
            psnr.append(20 * math.log10(1 / math.sqrt(((a - b) ** 2).mean())))
        for name, values in (("cross_entropy", entropy), ("mse", mse), ("mae", mae), ("psnr", psnr)):
            assert ours[name][lead] == pytest.approx(np.mean(values), rel=1e-12), name


def test_cross_entropy_is_per_sequence_overall_and_exact_for_certain_forecasts():
    logits = torch.tensor([40.0, -40.0, 40.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 8, 8).double()
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 8, 8).double()
    metric = scores(logits, target)
    assert metric.compute()["cross_entropy"].tolist() == pytest.approx([0, 0, 40 * 64])
    assert metric.overall()["cross_entropy"] == pytest.approx(2560)  # the sum over lead times, not their mean
    assert metric.overall()["mse"] == pytest.approx(64 / 3)
    half = scores(torch.zeros(1, 10, 1, 64, 64), torch.zeros(1, 10, 1, 64, 64))
    assert half.overall()["cross_entropy"] == pytest.approx(10 * 64 * 64 * math.log(2))


def test_models_without_logits_have_no_cross_entropy():
    logits, target = batch()
    assert math.isnan(scores(logits, target, known=False).overall()["cross_entropy"])


def test_ssim_equals_its_definition():
    logits, target = batch(1, (2, 3, 1, 20, 17))
    forecast = torch.sigmoid(logits)
    ours = ssim(forecast, target).numpy()
    c1, c2, sample = (0.01 * 2) ** 2, (0.03 * 2) ** 2, 49 / 48
    for s in range(2):
        for t in range(3):
            x, y = forecast[s, t, 0].numpy(), target[s, t, 0].numpy()
            u_x, u_y = uniform_filter(x, 7), uniform_filter(y, 7)
            v_x, v_y = (sample * (uniform_filter(z * z, 7) - uniform_filter(z, 7) ** 2) for z in (x, y))
            v_xy = sample * (uniform_filter(x * y, 7) - u_x * u_y)
            score = (2 * u_x * u_y + c1) * (2 * v_xy + c2) / ((u_x**2 + u_y**2 + c1) * (v_x + v_y + c2))
            assert ours[s, t] == pytest.approx(score[3:-3, 3:-3].mean(), rel=1e-9)


def test_a_perfect_forecast():
    _, target = batch()
    metric = FrameScores(lead_times=2)
    metric.update(target, target, torch.ones_like(target, dtype=torch.bool), None)
    overall = metric.overall()
    assert (overall["mse"], overall["mae"]) == (0, 0)
    assert overall["ssim"] == pytest.approx(1)
    assert overall["psnr"] == math.inf


def test_batches_add_up():
    logits, target = batch(2)
    whole = scores(logits, target).compute()
    parts = FrameScores(lead_times=2)
    for s in range(3):
        mask = torch.ones_like(target[s : s + 1], dtype=torch.bool)
        parts.update(torch.sigmoid(logits[s : s + 1]), target[s : s + 1], mask, logits[s : s + 1])
    for name, value in parts.compute().items():
        torch.testing.assert_close(value, whole[name])


def test_masked_data_and_small_frames_and_other_lengths_are_refused():
    _, target = batch()
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[0, 0, 0, 0, 0] = False
    with pytest.raises(ValueError, match="observed everywhere"):
        FrameScores(lead_times=2).update(target, target, mask, None)
    with pytest.raises(ValueError, match="expected 5 lead times, got 2"):
        FrameScores(lead_times=5).update(target, target, torch.ones_like(mask), None)
    with pytest.raises(ValueError, match="at least 7x7"):
        ssim(torch.zeros(1, 1, 1, 6, 9), torch.zeros(1, 1, 1, 6, 9))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_yet_is_undefined():
    assert all(value.isnan().all() for value in FrameScores(lead_times=2).compute().values())


def test_similarity_and_ratio_are_those_of_scikit_image():
    """As OpenSTL calls it: a frame at a time, in double precision, clipped; floats are taken to range from -1 to 1."""
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image comes with `make test-pysteps`")
    generator = torch.Generator().manual_seed(4)
    target = torch.rand(2, 3, 1, 64, 64, generator=generator).square()
    forecast = target + 0.3 * torch.randn(target.shape, generator=generator)  # beyond 0 and 1, too
    found = FrameScores(lead_times=3)
    found.update(forecast, target, torch.ones_like(target, dtype=torch.bool), None)
    ours = found.compute()
    for lead in range(3):
        frames = [
            (forecast[s, lead, 0].double().clip(0, 1).numpy(), target[s, lead, 0].double().numpy()) for s in (0, 1)
        ]
        similar = [metrics.structural_similarity(one, other, data_range=2.0) for one, other in frames]
        ratio = [metrics.peak_signal_noise_ratio(other, one, data_range=1.0) for one, other in frames]
        assert ours["ssim"][lead].item() == pytest.approx(np.mean(similar), rel=1e-9)
        assert ours["psnr"][lead].item() == pytest.approx(np.mean(ratio), rel=1e-9)


def test_frames_beyond_0_and_1_are_clipped_for_similarity_and_ratio_alone():
    target = torch.zeros(1, 1, 1, 8, 8)
    forecast = target - 0.5
    forecast[..., 0, 0] = 0.5
    found = FrameScores(lead_times=1)
    found.update(forecast, target, torch.ones_like(target, dtype=torch.bool), None)
    overall = found.overall()
    assert overall["mse"] == pytest.approx(64 * 0.25)
    assert overall["mae"] == pytest.approx(64 * 0.5)
    assert overall["psnr"] == pytest.approx(10 * math.log10(64 / 0.25))
