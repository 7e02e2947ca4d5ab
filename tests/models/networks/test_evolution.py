"""NowcastNet's evolution: weights counted by hand, blocks and operator written out in NumPy, where gradients stop."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from nowcast.models.networks.evolution import Evolution, _Residual, _rough
from tests.models.networks.shared.learning import learns_in_all_ways, plain
from tests.models.networks.shared.written_out import convolved

SMALL = {"widths": [4, 6, 8]}


def block(inputs, between, outputs):
    """Two 3×3 convolutions and one of 1×1 with bias, and the normalisations of what they see."""
    long = between * (9 * inputs + 1) + outputs * (9 * between + 1) + 2 * inputs + 2 * between
    return long + outputs * (inputs + 1) + 2 * inputs


def test_weights_are_those_of_the_table():
    """9 frames to 20, as in the paper: one way down, two up, a gain for the growth at each lead time."""
    down = [(9, 32, 32), (32, 64, 64), (64, 128, 128), (128, 256, 256), (256, 256, 256)]
    up = [(512, 256, 128), (256, 128, 64), (128, 64, 32), (64, 32, 32)]
    count = sum(block(*one) for one in down) + 2 * sum(block(*one) for one in up) + 33 * (20 + 40) + 20
    net = plain("evolution", input_steps=9, forecast_steps=20)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def drawn(net):
    generator = torch.Generator().manual_seed(1)
    for value in (*net.parameters(), *(one for one in net.buffers() if one.is_floating_point())):
        value.data.copy_(torch.rand(value.shape, generator=generator) - (0.4 if value.requires_grad else -0.1))
    return net.double()


def normalised(values, layer):
    mean, variance, weight, bias = (
        one.detach().numpy()[:, None, None] for one in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (values - mean) / np.sqrt(variance + 1e-5) * weight + bias


def test_a_block_adds_two_convolutions_and_a_short_way_each_of_spectral_norm_one():
    part = drawn(_Residual(3, 4, 5))
    for _ in range(50):
        part(torch.rand(2, 3, 4, 4, dtype=torch.float64))  # each pass of a training improves the norms
    part.eval()
    for layer in (part.long[2], part.long[5], part.short[1]):
        matrix = layer.weight.detach().numpy().reshape(len(layer.weight), -1)
        assert np.linalg.svd(matrix)[1][0] == pytest.approx(1, abs=1e-4)
        assert not np.allclose(matrix, layer.parametrizations.weight.original.detach().numpy().reshape(matrix.shape))
    values = np.random.default_rng(0).standard_normal((3, 6, 7))
    long = convolved(np.maximum(normalised(values, part.long[0]), 0), part.long[2])
    long = convolved(np.maximum(normalised(long, part.long[3]), 0), part.long[5])
    expected = long + convolved(normalised(values, part.short[0]), part.short[1])
    with torch.no_grad():
        np.testing.assert_allclose(part(torch.from_numpy(values)[None])[0].numpy(), expected, atol=1e-10)


def moved(field, motion):
    """(H, W) at where it was a step before, linear between cells; beyond the border as at the border."""
    height, width = field.shape
    result = np.zeros_like(field)
    for row in range(height):
        for column in range(width):
            x = min(max(column - motion[0, row, column], 0), width - 1)
            y = min(max(row - motion[1, row, column], 0), height - 1)
            by_row = np.maximum(0, 1 - np.abs(y - np.arange(height)))
            result[row, column] = by_row @ field @ np.maximum(0, 1 - np.abs(x - np.arange(width)))
    return result


class Fixed(torch.nn.Module):
    """A way up that says the same, whatever it sees."""

    def __init__(self, says):
        super().__init__()
        self.says = torch.nn.Parameter(torch.from_numpy(says))

    def forward(self, fine):
        return self.says[None].expand(len(fine[0]), -1, -1, -1)


def evolving(shape=(6, 7), leads=3):
    """A network whose motions and growth are known."""
    draw = np.random.default_rng(2)
    net = plain("evolution", **SMALL, forecast_steps=leads).double()
    growth, motion = draw.standard_normal((leads, *shape)), draw.standard_normal((2 * leads, *shape)) * 1.5
    net.growing, net.moving = Fixed(growth), Fixed(motion)
    torch.nn.init.constant_(net.gain, 0.5)
    frames = draw.random((2, 3, 1, *shape))
    frames[:, :, :, 0] = 0.0
    return net, torch.from_numpy(frames), growth, motion.reshape(leads, 2, *shape)


def test_what_is_there_moves_and_grows_step_by_step():
    net, frames, growth, motion = evolving()
    with torch.no_grad():
        said, both = net(frames, 3)[:, :, 0].numpy(), net.taught(frames, frames, 0)[:, :, 0].numpy()
    for sample in range(2):
        grey = frames[sample, -1, 0].numpy().clip(0.01, 0.99)
        field = np.log(grey / (1 - grey))
        for lead in range(3):
            only_moved = moved(field, motion[lead])
            field = only_moved + 0.5 * growth[lead]
            np.testing.assert_allclose(both[sample, lead], only_moved, atol=1e-10)
            np.testing.assert_allclose(both[2 + sample, lead], field, atol=1e-10)
            np.testing.assert_allclose(said[sample, lead], field, atol=1e-10)


def test_no_gradient_passes_from_a_lead_time_to_those_before_it():
    net, frames, _, _ = evolving()
    net(frames, 3)[:, 1].sum().backward()
    for gradient in (net.growing.says.grad.view(3, -1), net.moving.says.grad.view(3, -1), net.gain.grad.view(3, -1)):
        assert [bool((one != 0).any()) for one in gradient] == [False, True, False]


def test_before_training_the_last_frame_is_moved_and_nothing_grows():
    net = plain("evolution", **SMALL).eval()
    frames = torch.rand(2, 3, 1, 9, 11)
    with torch.no_grad():
        torch.nn.init.zeros_(net.moving.last.weight)
        torch.nn.init.zeros_(net.moving.last.bias)
        expected = frames[:, -1:].clamp(0.01, 0.99).expand(-1, 2, -1, -1, -1)
        torch.testing.assert_close(torch.sigmoid(net(frames, 2)), expected)


def test_roughness_is_the_weighted_square_of_sobels_derivatives():
    draw = np.random.default_rng(0)
    motion, weight = draw.standard_normal((2, 3, 2, 5, 6)), draw.random((2, 1, 1, 5, 6))
    expected = 0.0
    for lead in range(3):
        for sample in range(2):
            for part in motion[sample, lead]:
                squares = sum(sobel(part, axis=axis, mode="nearest") ** 2 for axis in (0, 1)) / 64
                expected += (squares * weight[sample, 0, 0]).mean() / 2
    assert float(_rough(torch.from_numpy(motion), torch.from_numpy(weight))) == pytest.approx(expected, rel=1e-10)
    net = plain("evolution", **SMALL, roughness=0.25)
    frames = torch.rand(2, 3, 1, 6, 7)
    net(frames, 2)
    told = []
    net.moving.register_forward_hook(lambda _, inputs, output: told.append(output.detach().view(2, 2, 2, 6, 7)))
    net(frames, 2)
    penalty = float(net.penalty().detach())
    assert penalty == pytest.approx(0.25 * float(_rough(told[0], 1 + 23 * frames[:, -1:])), rel=1e-5)
    assert penalty > 0


@pytest.mark.parametrize("shape", [(16, 16), (17, 30), (5, 9), (1, 3)])
def test_any_grid_and_fewer_lead_times(shape):
    net = plain("evolution", **SMALL, forecast_steps=4).eval()
    frames = torch.rand(2, 3, 1, *shape)
    said = net(frames, 4)
    assert said.shape == (2, 4, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("evolution", **SMALL)


def test_it_finds_how_a_shower_moves():
    """Two cells to the right a step: after some steps of training, motion alone brings it there."""
    torch.manual_seed(0)
    net = plain("evolution", widths=[4, 8], forecast_steps=2)
    column, row = torch.arange(24.0), torch.arange(12.0)[:, None]
    showers = [torch.exp(-((column - 6 - 2 * k) ** 2 + (row - 6) ** 2) / 8) for k in range(5)]
    seen, true = torch.stack(showers)[None, :, None].split([3, 2], dim=1)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        said = torch.sigmoid(net.taught(seen, true, 0))
        ((said - true.repeat(2, 1, 1, 1, 1)).square().mean() + net.penalty()).backward()
        optimizer.step()
    with torch.no_grad():
        moved_only = torch.sigmoid(net.taught(seen, true, 0))[:1]
    off, before = ((one - true).square().mean(dim=(0, 2, 3, 4)) for one in (moved_only, seen[:, -1:]))
    assert (off < 0.4 * before).all(), (off, before)


def test_what_it_was_not_built_for_is_refused():
    net = Evolution(3, 4, 1, [4, 4], 0.01)
    for frames, steps in ((2, 4), (3, 5)):
        with pytest.raises(ValueError, match=f"maps 3 frames to at most 4, got {frames} to {steps}"):
            net(torch.zeros(1, frames, 1, 8, 8), steps)
    with pytest.raises(ValueError, match=r"model\.widths must have two levels"):
        Evolution(3, 4, 1, [4], 0.01)
    with pytest.raises(ValueError, match=r"model\.roughness must be 0 or more, got -1"):
        Evolution(3, 4, 1, [4, 4], -1)
