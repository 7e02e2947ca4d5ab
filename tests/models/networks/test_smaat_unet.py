"""SmaAt-UNet: weights counted by hand, its convolutions and its attention written out in NumPy."""

import numpy as np
import pytest
import torch

from nowcast.models.networks.smaat_unet import Attention, SmaAtUNet
from tests.models.networks.shared.learning import learns_in_all_ways, plain

SMALL = {"widths": [4, 6, 8], "kernels_per_channel": 2, "reduction": 2}


def separable(inputs, outputs):
    """Two 3×3 kernels with bias for each channel, a 1×1 convolution with bias, two numbers of normalisation."""
    return 2 * inputs * (9 + 1) + outputs * (2 * inputs + 1) + 2 * outputs


def attention(width):
    """Two matrices with bias to a sixteenth and back; a 7×7 kernel over two maps, two numbers of normalisation."""
    few = width // 16
    return few * (width + 1) + width * (few + 1) + 2 * 49 + 2


def test_weights_are_those_of_the_table():
    """Of 12 frames to 1, as in the paper: a quarter of the U-Net's 17 million."""
    convolutions = [
        (12, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512),
        (512, 512), (512 + 512, 512), (512, 256), (256 + 256, 256), (256, 128), (128 + 128, 128), (128, 64),
        (64 + 64, 64), (64, 64),
    ]  # fmt: skip
    count = sum(separable(*pair) for pair in convolutions) + sum(map(attention, (64, 128, 256, 512, 512))) + 64 + 1
    assert count == 4_033_537
    with torch.device("meta"):
        net = plain("smaat_unet", input_steps=12, forecast_steps=1)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def normalised(values, own):
    shape = (-1, 1, 1)
    spread = np.sqrt(own["running_var"].reshape(shape) + 1e-5)
    return (values - own["running_mean"].reshape(shape)) / spread * own["weight"].reshape(shape) + own["bias"].reshape(
        shape
    )


def drawn(module):
    generator = torch.Generator().manual_seed(1)
    for value in (*module.parameters(), *(one for one in module.buffers() if one.is_floating_point())):
        value.data.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return module.double().eval()


def correlated(values, kernel):
    """(H, W) by a kernel, cell by cell, zeros around."""
    half = len(kernel) // 2
    padded = np.pad(values, half)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return np.einsum("hwij,ij->hw", windows, kernel)


def test_attention_is_that_of_the_equations():
    module = drawn(Attention(4, 2))
    features = np.random.default_rng(0).standard_normal((4, 5, 9))
    w = numbers(module)

    def perceptron(x):
        between = np.maximum(w["of_channels.0.weight"] @ x + w["of_channels.0.bias"], 0)
        return w["of_channels.2.weight"] @ between + w["of_channels.2.bias"]

    by_channel = sigmoid(perceptron(features.mean(axis=(1, 2))) + perceptron(features.max(axis=(1, 2))))
    refined = features * by_channel[:, None, None]
    maps = [refined.max(axis=0), refined.mean(axis=0)]
    summed = sum(correlated(one, kernel) for one, kernel in zip(maps, w["of_cells.0.weight"][0], strict=True))
    expected = refined * sigmoid(normalised(summed[None], numbers(module.of_cells[1])))
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(features)[None])[0].numpy(), expected, atol=1e-12)


def test_a_convolution_is_by_channel_and_then_over_channels():
    block = drawn(SmaAtUNet(2, 1, 1, [3, 4], 2, 2).down[0])
    frames = np.random.default_rng(0).standard_normal((2, 6, 7))
    features = frames
    for first in (0, 4):
        by_channel, mixing, norm = (numbers(block[first + k]) for k in range(3))
        kernels, biases = by_channel["weight"][:, 0], by_channel["bias"]
        two_each = [
            correlated(features[index // 2], kernel) + bias
            for index, (kernel, bias) in enumerate(zip(kernels, biases, strict=True))
        ]
        mixed = np.einsum("oi,ihw->ohw", mixing["weight"][..., 0, 0], two_each) + mixing["bias"][:, None, None]
        features = np.maximum(normalised(mixed, norm), 0)
    with torch.no_grad():
        np.testing.assert_allclose(block(torch.from_numpy(frames)[None])[0].numpy(), features, atol=1e-12)


@pytest.mark.parametrize("shape", [(16, 16), (17, 30), (5, 9), (1, 3)])
def test_any_grid_and_fewer_lead_times(shape):
    net = plain("smaat_unet", **SMALL, forecast_steps=4).eval()
    frames = torch.rand(2, 3, 1, *shape)
    said = net(frames, 4)
    assert said.shape == (2, 4, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])


def test_what_goes_down_has_no_attention_and_what_goes_up_has():
    net = plain("smaat_unet", **SMALL).eval()
    frames = torch.rand(1, 3, 1, 8, 8)
    coarse, said = [], []
    net.down[2].register_forward_hook(lambda _, inputs, output: coarse.append(output))
    for _ in range(2):
        said.append(net(frames, 1).detach())
        torch.nn.init.constant_(net.attention[0].of_cells[1].bias, -20.0)  # closes the finest level's way across
    assert torch.equal(coarse[0], coarse[1])
    assert not torch.allclose(said[0], said[1], atol=1e-5)


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("smaat_unet", **SMALL)


def test_what_it_was_not_built_for_is_refused():
    net = SmaAtUNet(3, 4, 1, [4, 4], 2, 2)
    for frames, steps in ((2, 4), (3, 5)):
        with pytest.raises(ValueError, match=f"maps 3 frames to at most 4, got {frames} to {steps}"):
            net(torch.zeros(1, frames, 1, 8, 8), steps)
    for settings, name in ((([4], 2, 2), "widths"), (([4, 4], 0, 2), "kernels_per_channel"), (([4, 4], 2, 0), "reduc")):
        with pytest.raises(ValueError, match=rf"model\.{name}"):
            SmaAtUNet(3, 4, 1, *settings)
