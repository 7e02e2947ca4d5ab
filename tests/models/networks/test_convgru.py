"""HKO-7's ConvGRU: weights counted by hand, the benchmark's grids, and the equations written out in NumPy."""

import numpy as np
import pytest
import torch

from nowcast.models.networks.convgru import ConvGRU
from tests.models.networks.shared.learning import learns_in_all_ways, plain
from tests.models.networks.shared.written_out import convolved, leaky, sigmoid, spread

SMALL = {
    "first": 2, "hidden": [3, 4], "strides": [3, 2], "down_kernels": [5, 3], "up_kernels": [5, 4],
    "state_kernels": [5, 3],
}  # fmt: skip


def convolution(inputs, outputs, side):
    return outputs * (inputs * side * side + 1)


# Layers of the benchmark's configuration between those that remember; a transposed convolution has as many weights.
BETWEEN = [(1, 8, 7), (64, 192, 5), (192, 192, 3), (192, 192, 4), (192, 192, 5), (64, 8, 7), (8, 8, 3), (8, 1, 1)]
INPUTS = [(8, 64), (192, 192), (192, 192), (192, 192), (192, 64)]  # 3×3 to three of each; the coarsest forecaster: none


def shared():
    return sum(convolution(*one) for one in BETWEEN) + sum(convolution(i, 3 * h, 3) for i, h in INPUTS)


def test_weights_are_those_of_the_table():
    states = 2 * sum(convolution(h, 3 * h, side) for h, side in ((64, 5), (192, 5), (192, 3)))
    assert shared() + states == 13_648_297
    with torch.device("meta"):
        net = plain("convgru")
    assert sum(parameter.numel() for parameter in net.parameters()) == 13_648_297


def test_grids_are_those_of_the_benchmark():
    """480 cells become 96, 32 and 16, and 480 again."""
    with torch.device("meta"):
        net = plain("convgru")
        seen, frames = [], torch.zeros(1, 1, 480, 480)
        for down in net.down:
            frames = down(torch.zeros(1, down.in_channels, *frames.shape[2:]))
            seen.append(frames.shape[2])
        for up, between in zip(net.up[::-1], (192, 192, 64), strict=True):
            seen.append(up(torch.zeros(1, between, seen[-1], seen[-1])).shape[2])
    assert seen == [96, 32, 16, 32, 96, 480]


def step(cell, below, state):
    """Equation 2 of the paper."""
    r, z, n = np.split(convolved(state, cell.of_state), 3)
    if below is None:
        reset, update, candidate = sigmoid(r), sigmoid(z), sigmoid(r) * n
    else:
        r_in, z_in, n_in = np.split(convolved(below, cell.of_input), 3)
        reset, update = sigmoid(r_in + r), sigmoid(z_in + z)
        candidate = n_in + reset * n
    return update * state + (1 - update) * leaky(candidate)


def written_out(net, frames, steps, step=step):
    """(T, H, W), multiples of all strides → (steps, H, W) logits."""
    states = [None] * len(net.hidden)
    for frame in frames:
        below = frame[None]
        for layer, cell in enumerate(net.encoder):
            below = leaky(convolved(below, net.down[layer]))
            before = np.zeros((net.hidden[layer], *below.shape[1:])) if states[layer] is None else states[layer]
            below = states[layer] = step(cell, below, before)
    result = []
    for _ in range(steps):
        below = None
        for layer in reversed(range(len(net.hidden))):
            states[layer] = step(net.forecaster[layer], below, states[layer])
            below = leaky(spread(states[layer], net.up[layer]))
        result.append(convolved(leaky(convolved(below, net.smooth)), net.last)[0])
    return np.stack(result)


def drawn(net):
    generator = torch.Generator().manual_seed(3)
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return net.double()


def test_it_is_the_network_of_the_paper():
    net = drawn(plain("convgru", **SMALL))
    frames = np.random.default_rng(0).random((3, 12, 6))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 4)[0, :, 0].numpy()
    np.testing.assert_allclose(ours, written_out(net, frames, 4), atol=1e-12)


@pytest.mark.parametrize("shape", [(12, 6), (13, 5), (1, 2)])
def test_any_grid_and_any_number_of_lead_times(shape):
    net = plain("convgru", **SMALL)
    frames = torch.rand(2, 3, 1, *shape)
    said = net(frames, 5)
    assert said.shape == (2, 5, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])
    filled = torch.nn.functional.pad(frames, (0, -shape[1] % 6, 0, -shape[0] % 6))
    torch.testing.assert_close(net(filled, 5)[..., : shape[0], : shape[1]], said)


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("convgru", **SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": [3]}, r"model\.state_kernels must be one odd side"),
        ({"strides": [3]}, "need one entry per layer"),
        ({"first": 0}, "must be >= 1"),
        ({"down_kernels": [2, 3]}, r"model\.down_kernels must be at least the strides, got 2 with stride 3"),
        ({"up_kernels": [4, 4]}, r"model\.up_kernels must be the strides or an even number more, got 4 with stride 3"),
        ({"state_kernels": [4, 3]}, r"model\.state_kernels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ConvGRU(1, **(SMALL | change))


def test_what_is_no_sequence_of_frames_is_refused():
    net = plain("convgru", **SMALL)
    with pytest.raises(ValueError, match=r"inputs must be \(B, T, 1, H, W\)"):
        net(torch.zeros(1, 3, 2, 8, 8), 1)
    with pytest.raises(ValueError, match="forecast_steps must be at least 1, got 0"):
        net(torch.zeros(1, 3, 1, 8, 8), 0)
