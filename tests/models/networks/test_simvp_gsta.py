"""SimVP-gSTA: weights as many as published, the network written out in NumPy, and any number of lead times."""

import math

import numpy as np
import pytest
import torch

from nowcast.models.networks.simvp_gsta import SimVPgSTA, _drawn
from tests.models.networks.shared.learning import learns_in_all_ways, plain
from tests.models.networks.shared.written_out import convolved, numbers, sigmoid

SMALL = {"space": 4, "time": 6, "space_layers": 4, "time_layers": 3, "wider": 2}


def convolution(inputs, outputs, side):
    return outputs * (inputs * side * side + 1)


def block(width):
    """Two normalisations and scales; 1×1 in and out, 5×5 and 7×7 of each channel, 1×1 to two; eight times as wide."""
    attention = 2 * convolution(width, width, 1) + width * (25 + 1 + 49 + 1) + convolution(width, 2 * width, 1)
    return 6 * width + attention + 2 * 8 * width * width + 8 * width * (1 + 9 + 1) + width


def test_weights_are_as_many_as_published():
    """46.8 million of 10 frames to 10 (OpenSTL's table for Moving-MNIST)."""
    space = (
        convolution(1, 64, 3) + 3 * convolution(64, 64, 3) + 2 * convolution(64, 256, 3) + 2 * convolution(64, 64, 3)
    )
    space += 8 * 2 * 64 + convolution(64, 1, 1)
    time = block(640) + 7 * block(512) + convolution(640, 512, 1) + convolution(512, 640, 1)
    assert round((space + time) / 1e6, 1) == 46.8
    with torch.device("meta"):
        net = plain("simvp_gsta", input_steps=10)
    assert sum(parameter.numel() for parameter in net.parameters()) == space + time


def by_channel(values, layer):
    """A kernel of its own for each channel, with gaps."""
    (weight, bias), gap = numbers(layer), layer.dilation[0]
    side, (_, height, width) = weight.shape[2], values.shape
    around = gap * (side // 2)
    padded = np.pad(values, ((0, 0), (around, around), (around, around)))
    result = bias[:, None, None] + np.zeros_like(values)
    for i in range(side):
        for j in range(side):
            seen = padded[:, gap * i : gap * i + height, gap * j : gap * j + width]
            result += weight[:, 0, i, j][:, None, None] * seen
    return result


def gelu(values):
    return values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))


def scaled(values, layer):
    weight, bias = numbers(layer)
    return values * weight[:, None, None] + bias[:, None, None]


def normalised(values, layer):
    mean, variance = layer.running_mean.numpy()[:, None, None], layer.running_var.numpy()[:, None, None]
    return scaled((values - mean) / np.sqrt(variance + 1e-5), layer)


def spatial(values, layers):
    values = convolved(values, layers[0])
    if len(layers) == 4:  # four channels become four cells
        channels, height, width = values.shape
        values = values.reshape(channels // 4, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
        values = values.reshape(channels // 4, 2 * height, 2 * width)
    halves = [(half - half.mean()) / np.sqrt(half.var() + 1e-5) for half in np.split(values, 2)]
    values = scaled(np.concatenate(halves), layers[-2])
    return values * sigmoid(values)


def translated(values, part):
    normal = normalised(values, part.before_attention)
    inside = by_channel(by_channel(gelu(convolved(normal, part.enter)), part.near), part.far)
    said, gate = np.split(convolved(inside, part.gate), 2)
    values = values + part.attention_scale.detach().numpy() * (convolved(sigmoid(gate) * said, part.leave) + normal)
    mixed = gelu(by_channel(convolved(normalised(values, part.before_mixing), part.mixing[0]), part.mixing[1]))
    values = values + part.mixing_scale.detach().numpy() * convolved(mixed, part.mixing[3])
    return convolved(values, part.change) if isinstance(part.change, torch.nn.Conv2d) else values


def written_out(net, frames):
    """(T, H, W) → (T, H, W) logits."""
    deep, fine = [], []
    for frame in frames:
        values = spatial(frame[None], net.encoder[0])
        fine.append(values)
        for layers in net.encoder[1:]:
            values = spatial(values, layers)
        deep.append(values)
    together = np.concatenate(deep)
    for part in net.translator:
        together = translated(together, part)
    result = []
    for values, beside in zip(np.split(together, len(frames)), fine, strict=True):
        for layers in net.decoder[:-1]:
            values = spatial(values, layers)
        result.append(convolved(spatial(values + beside, net.decoder[-1]), net.last)[0])
    return np.stack(result)


def test_it_is_the_network_of_the_paper_and_later_frames_are_of_what_it_said():
    net = plain("simvp_gsta", **SMALL).double().eval()
    generator = torch.Generator().manual_seed(1)
    for value in (*net.parameters(), *(one for one in net.buffers() if one.is_floating_point())):
        value.data.copy_(torch.rand(value.shape, generator=generator) * 0.6 - (0.3 if value.requires_grad else -0.3))
    frames = np.random.default_rng(0).random((3, 8, 12))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 5)[0, :, 0].numpy()
    first = written_out(net, frames)
    np.testing.assert_allclose(ours[:3], first, atol=1e-10)
    np.testing.assert_allclose(ours[3:], written_out(net, sigmoid(first))[:2], atol=1e-10)


def test_weights_start_as_in_its_release():
    """Variance two over the number of outputs that a weight reaches, channels apart where they are convolved apart."""
    torch.manual_seed(0)
    for layer, fan_out in ((torch.nn.Conv2d(64, 128, 3), 128 * 9), (torch.nn.Conv2d(900, 900, 5, groups=900), 25)):
        assert float(_drawn(layer).weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)


@pytest.mark.parametrize("shape", [(8, 8), (9, 14), (1, 3)])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_any_grid_and_any_number_of_lead_times(shape, steps):
    net = plain("simvp_gsta", **SMALL).eval()
    frames = torch.rand(2, 3, 1, *shape)
    assert net(frames, steps).shape == (2, steps, 1, *shape)
    torch.testing.assert_close(net(frames, steps), net(frames, 7)[:, :steps])


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("simvp_gsta", **SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": 3}, r"model\.space must be a multiple of 2"),
        ({"time": 0}, r"model\.time"),
        ({"space_layers": 3}, r"model\.space_layers must be even"),
        ({"time_layers": 1}, r"model\.time_layers at least 2"),
        ({"space_kernel": 4}, r"model\.space_kernel must be odd, got 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SimVPgSTA(3, 1, **({"space_kernel": 3} | SMALL | change))


def test_another_number_of_frames_is_refused():
    with pytest.raises(ValueError, match="sees 3 frames, got 4"):
        plain("simvp_gsta", **SMALL)(torch.zeros(1, 4, 1, 8, 8), 2)
