"""RainNet: the published number of weights, the network written out in NumPy, and frames of its own as input."""

import numpy as np
import pytest
import torch

from nowcast.models.networks.rainnet import RainNet
from tests.models.networks.shared.learning import learns_in_all_ways, plain

SMALL = {"widths": [3, 4, 5], "dropout": 0.1}


def test_weights_are_as_many_as_published():
    """31,380,613 of 4 frames to 1: two convolutions a level down and up, one to two features, one to the frame."""
    table = [
        (4, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512),
        (512, 1024), (1024, 1024), (1024 + 512, 512), (512, 512), (512 + 256, 256), (256, 256),
        (256 + 128, 128), (128, 128), (128 + 64, 64), (64, 64), (64, 2),
    ]  # fmt: skip
    assert sum(9 * i * o + o for i, o in table) + 2 + 1 == 31_380_613
    with torch.device("meta"):
        net = plain("rainnet", input_steps=4)
    assert sum(parameter.numel() for parameter in net.parameters()) == 31_380_613


def convolved(values, layer, relu=True):
    """(C, H, W) → same size, by a loop over the kernel's cells."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    side, (_, height, width) = weight.shape[2], values.shape
    padded = np.pad(values, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    result = bias[:, None, None] + np.zeros((len(weight), height, width))
    for row in range(side):
        for column in range(side):
            window = padded[:, row : row + height, column : column + width]
            result += np.einsum("oi,ihw->ohw", weight[:, :, row, column], window)
    return np.maximum(result, 0) if relu else result


def pooled(values):
    channels, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    return padded.reshape(channels, -(-height // 2), 2, -(-width // 2), 2).max(axis=(2, 4))


def written_out(net, frames):
    """(T, H, W) → (H, W) logits."""
    fine = [convolved(convolved(frames, net.down[0][0]), net.down[0][2])]
    for block in net.down[1:]:
        fine.append(convolved(convolved(pooled(fine[-1]), block[0]), block[2]))
    features = fine.pop()
    for block in net.up:
        beside = fine.pop()
        larger = features.repeat(2, axis=1).repeat(2, axis=2)[:, : beside.shape[1], : beside.shape[2]]
        features = convolved(convolved(np.concatenate([larger, beside]), block[0]), block[2])
    return convolved(convolved(features, net.two), net.last, relu=False)[0]


@pytest.mark.parametrize("shape", [(8, 12), (7, 5), (1, 3)])
def test_it_is_the_network_of_the_paper_and_sees_what_it_said(shape):
    net = plain("rainnet", **SMALL, input_steps=4).double().eval()
    with torch.no_grad():
        net.two.bias.fill_(0.3)
    frames = np.random.default_rng(0).random((4, *shape))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 3)[0, :, 0].numpy()
    for said in ours:
        expected = written_out(net, frames)
        np.testing.assert_allclose(said, expected, atol=1e-12)
        frames = np.concatenate([frames[1:], 1 / (1 + np.exp(-expected))[None]])


def test_weights_start_as_he_et_al_draw_them():
    torch.manual_seed(0)
    net = RainNet(4, 1, [64, 128], 0.5)
    for layer, fan_in in ((net.down[0][2], 64 * 9), (net.down[1][2], 128 * 9), (net.up[0][0], 192 * 9)):
        assert float(layer.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
        assert (layer.bias == 0).all()


def test_in_training_features_of_the_two_coarsest_levels_are_left_out():
    net = RainNet(1, 1, [4, 4, 4], 0.5)
    seen = []
    net.down[1].register_forward_hook(lambda *_: seen.append("fine"))
    net.dropout.register_forward_hook(lambda _, inputs, output: seen.append(float((output == 0).float().mean())))
    net(torch.rand(1, 1, 1, 32, 32), 1)
    assert [type(one) for one in seen] == [str, float, float]
    assert min(seen[1:]) > 0.3
    net.eval()
    frames = torch.rand(1, 1, 1, 32, 32)
    assert torch.equal(net(frames, 2), net(frames, 2))


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("rainnet", **SMALL)


def test_what_it_was_not_built_for_is_refused():
    net = RainNet(3, 1, [4, 4], 0.5)
    with pytest.raises(ValueError, match="sees 3 frames, got 2"):
        net(torch.zeros(1, 2, 1, 8, 8), 1)
    with pytest.raises(ValueError, match="forecast_steps must be at least 1"):
        net(torch.zeros(1, 3, 1, 8, 8), 0)
    for widths in ([], [4], [4, 0]):
        with pytest.raises(ValueError, match=r"model\.widths"):
            RainNet(3, 1, widths, 0.5)
    with pytest.raises(ValueError, match=r"model\.dropout must be from 0 to below 1, got 1"):
        RainNet(3, 1, [4, 4], 1)
