"""Losses of areas, spectra, distributions and quantiles by hand; what all losses share is in test_losses.py."""

import math

import numpy as np
import pytest
import torch

from nowcast.config.mistakes import UsageError
from nowcast.training.losses.cells import Pinball, WeightedError
from nowcast.training.losses.events import SoftCsi
from nowcast.training.losses.fields import FourierLoss, ProbabilityMatching
from nowcast.training.trial_build import build_objective
from tests.programs import composed
from tests.training.resuming import train

SCALE = {"zr_a": 118.239, "zr_b": 1.5241, "min_dbz": -10.0, "max_dbz": 60.0}


def grey(rain_rate):
    """By hand: dBZ of a·R^b, from -10 to 60."""
    return (10 * math.log10(118.239 * rain_rate**1.5241) + 10) / 70


def logits_of(values):
    return torch.logit(torch.as_tensor(values, dtype=torch.float64))


def frame(*rows):
    return torch.tensor(rows, dtype=torch.float64)[None, None, None]


def everywhere(target):
    return torch.ones_like(target, dtype=torch.bool)


def test_soft_csi_by_hand():
    """Two cells that count: a hit and a false alarm, 0.1 and 0.05 grey above 2 mm/h; 50 mm/h were nowhere reached."""
    border, width = grey(2.0), 0.1
    said, target = frame([border + 0.1, border + 0.05, 0.9]), frame([border + 0.2, 0.1, math.nan])
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 1, 3)
    hit, alarm = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-0.5))
    off = 1 - hit / (hit + alarm + 1 - hit)
    found = SoftCsi([2.0, 50.0], [3.0, 1.0], width, **SCALE)(logits_of(said), target, mask)
    assert found.item() == pytest.approx(3 * off / 4, rel=1e-5)


def test_soft_csi_of_a_narrow_width_is_csi():
    """3 hits, 2 misses, 1 false alarm, 1 cell without rain."""
    wet, dry = grey(5.0) + 0.1, grey(5.0) - 0.1
    said, target = frame([wet, wet, wet, dry, dry, wet, dry]), frame([wet, wet, wet, wet, wet, dry, dry])
    found = SoftCsi([5.0], [1.0], 1e-3, **SCALE)(logits_of(said), target, everywhere(target))
    assert found.item() == pytest.approx(1 - 3 / 6, abs=1e-9)


def test_a_fourier_loss_by_hand():
    """Two cells: their transform is sum and difference, over √2."""
    said, target = frame([0.5, 0.2]), frame([0.1, 0.4])
    amplitude = ((0.7 - 0.5) ** 2 + (0.3 - 0.3) ** 2) / 2 / 2  # mean of two squared differences
    correlation = 1 - (0.5 * 0.1 + 0.2 * 0.4) / math.sqrt((0.25 + 0.04) * (0.01 + 0.16))
    loss = FourierLoss(0.4)
    for progress, share in ((0.0, 1.0), (0.3, 0.5), (0.6, 0.0), (1.0, 0.0)):
        loss.progress = progress
        expected = math.sqrt(2) * (share * correlation + (1 - share) * amplitude)
        assert loss(logits_of(said), target, everywhere(target)).item() == pytest.approx(expected)
    expected = math.sqrt(2) * (correlation + amplitude) / 2
    assert loss.eval()(logits_of(said), target, everywhere(target)).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(2, 3, 1, 6, 8), (1, 2, 1, 5, 7)])
def test_its_parts_are_those_of_the_whole_transform(shape):
    """As the authors write them: over all frequencies, with cells that do not count set to 0."""
    generator = np.random.default_rng(0)
    said, target, mask = generator.random(shape), generator.random(shape), generator.random(shape) > 0.2
    ours, theirs = (np.fft.fft2(field * mask, norm="ortho") for field in (said, target))
    powers = (np.abs(ours) ** 2).sum() * (np.abs(theirs) ** 2).sum()
    correlation = 1 - (ours.conj() * theirs).sum().real / math.sqrt(powers)
    amplitude = ((np.abs(ours) - np.abs(theirs)) ** 2).mean()
    loss, holey = FourierLoss(0.0), torch.from_numpy(np.where(mask, target, np.nan))
    for loss.progress, part in ((0.0, correlation), (1.0, amplitude)):
        found = loss(logits_of(said), holey, torch.from_numpy(mask))
        assert found.item() == pytest.approx(math.sqrt(shape[-2] * shape[-1]) * part)


def test_amplitudes_do_not_see_where_rain_is():
    target = torch.rand(1, 2, 1, 6, 6, dtype=torch.float64) * 0.9 + 0.05
    moved = target.roll((2, 3), dims=(3, 4))
    loss = FourierLoss(0.0)
    loss.progress = 1.0
    assert loss(logits_of(moved), target, everywhere(target)).item() == pytest.approx(0, abs=1e-12)
    loss.progress = 0.0
    assert loss(logits_of(moved), target, everywhere(target)).item() > 0.1


def test_probability_matching_by_hand():
    """The right values in wrong places; the last cell does not count."""
    said, target = frame([0.6, 0.2, 0.9]), frame([0.2, 0.6, math.nan])
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 1, 3)
    assert ProbabilityMatching(0.0)(logits_of(said), target, mask).item() == pytest.approx(0.16)
    assert ProbabilityMatching(1.0)(logits_of(said), target, mask).item() == pytest.approx(0)
    # Sorted 0.2, 0.6 against 0.3, 0.8.
    other = frame([0.8, 0.3, math.nan])
    expected = 0.75 * (0.2**2 + 0.1**2) / 2 + 0.25 * (0.1**2 + 0.2**2) / 2
    assert ProbabilityMatching(0.25)(logits_of(said), other, mask).item() == pytest.approx(expected)


def test_every_frame_has_a_distribution_of_its_own():
    """Two frames whose values are those of the other."""
    said = torch.tensor([0.2, 0.6], dtype=torch.float64).view(1, 2, 1, 1, 1)
    assert ProbabilityMatching(1.0)(logits_of(said), said.flip(1), everywhere(said)).item() == pytest.approx(0.16)


def test_pinball_by_hand():
    said, target = frame([0.5, 0.5]), frame([0.8, 0.1])
    found = Pinball("sequence", 0.9)(logits_of(said), target, everywhere(target))
    assert found.item() == pytest.approx(0.9 * 0.3 + 0.1 * 0.4)


def test_the_best_single_value_is_the_quantile():
    """Of 0.01, 0.02, …, 0.99 those that 90 % of them lie below."""
    values = torch.arange(1, 100, dtype=torch.float64) / 100
    target = values.view(1, 1, 1, 1, -1)
    losses = [
        Pinball("cell", 0.9)(logits_of(torch.full_like(target, float(one))), target, everywhere(target))
        for one in values
    ]
    assert values[int(torch.stack(losses).argmin())].item() == pytest.approx(0.9)


def test_weights_of_rain_by_hand():
    """No rain, 3 mm/h and 100 mm/h weigh 1, 4 and 24; errors 0.1, 0.2 and 0.3."""
    target = frame([0.0, grey(3.0), grey(100.0)])
    said = target + frame([0.1, 0.2, -0.3])
    found = WeightedError("sequence", 24.0, **SCALE)(logits_of(said), target, everywhere(target))
    assert found.item() == pytest.approx(0.1 + 4 * 0.2 + 24 * 0.3, rel=1e-5)


def test_a_training_says_how_far_it_is(tmp_path, monkeypatch):
    """Four batches; the last 40 % have amplitudes alone."""
    shares = []
    forward = FourierLoss.forward

    def watched(loss, *arguments):
        if loss.training:
            shares.append(loss.share)
        return forward(loss, *arguments)

    monkeypatch.setattr(FourierLoss, "forward", watched)
    assert train(tmp_path, "run", "loss=facl", "trainer.max_epochs=2") == (0, "")
    assert shares == pytest.approx([1, 1 - 0.25 / 0.6, 1 - 0.5 / 0.6, 0])


@pytest.mark.parametrize("name", ["facl", "pinball", "probability_matching", "soft_csi", "weighted_mae"])
def test_they_are_of_amounts(name):
    build_objective(composed("head=grey", f"loss={name}"))
    with pytest.raises(UsageError, match="does not fit a head that says probabilities of exceedance"):
        build_objective(composed("head=exceedance", f"loss={name}"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftCsi([1.0, 2.0], [1.0], 0.1, **SCALE), r"one of each of loss\.thresholds=\[1\.0, 2\.0\]"),
        (lambda: SoftCsi([1.0], [0.0], 0.1, **SCALE), "one of them positive"),
        (lambda: SoftCsi([1.0], [1.0], 0.0, **SCALE), r"loss\.width must be above 0"),
        (lambda: FourierLoss(1.0), r"loss\.amplitude_only must be in \[0, 1\), got 1\.0"),
        (lambda: ProbabilityMatching(1.5), r"loss\.matching must be in \[0, 1\], got 1\.5"),
        (lambda: Pinball("cell", 1.0), r"loss\.quantile must be between 0 and 1, got 1\.0"),
        (lambda: WeightedError("cell", 0.5, **SCALE), r"loss\.largest must be at least 1, got 0\.5"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
