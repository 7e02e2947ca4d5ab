"""PredRNN-v2: weights as many as published, its equations in NumPy, and what it may see in training."""

import math

import numpy as np
import pytest
import torch

from nowcast.models.networks.predrnn_v2 import PredRNNv2
from tests.models.networks.shared.learning import learns_in_all_ways, plain
from tests.models.networks.shared.written_out import convolved, sigmoid

SMALL = {"patch": 2, "hidden": 3, "layers": 2, "kernel": 3}


def count(pixels):
    """Kernels of 5×5 without bias: 7 of the input, 4 of the state, 3 of the memory, 1 of two; 1×1 of two."""
    of_layers = 25 * 128 * (7 * (pixels + 3 * 128) + 4 * (4 * 128 + 3 * 128 + 2 * 128)) + 4 * 2 * 128 * 128
    return of_layers + 128 * pixels + 128 * 128


def test_weights_are_as_many_as_published():
    """OpenSTL: 23.67 million for 8 pixels of a patch (TaxiBJ: 2 channels, 2×2), 23.9 for 16 (Moving-MNIST)."""
    assert round(count(8) / 1e6, 2) == 23.67
    assert round(count(16) / 1e6, 1) == 23.9
    with torch.device("meta"):
        net = plain("predrnn_v2")
    assert sum(parameter.numel() for parameter in net.parameters()) == count(16)


def step(layer, below, state, cell, memory):
    """Equations of the paper, one after another."""
    x = np.split(convolved(below, layer.of_input), 7)
    h, m = np.split(convolved(state, layer.of_state), 4), np.split(convolved(memory, layer.of_memory), 3)
    more_cell = sigmoid(x[0] + h[0]) * np.tanh(x[2] + h[2])
    cell = sigmoid(x[1] + h[1] + 1) * cell + more_cell
    more_memory = sigmoid(x[3] + m[0]) * np.tanh(x[5] + m[2])
    memory = sigmoid(x[4] + m[1] + 1) * memory + more_memory
    both = np.concatenate([cell, memory])
    output = sigmoid(x[6] + h[3] + convolved(both, layer.of_both))
    return output * np.tanh(convolved(both, layer.both)), cell, memory, more_cell, more_memory


def in_patches(frame, side):
    rows, columns = frame.shape
    return (
        frame.reshape(rows // side, side, columns // side, side)
        .transpose(1, 3, 0, 2)
        .reshape(side * side, rows // side, columns // side)
    )


def in_cells(patches, side):
    _, rows, columns = patches.shape
    return patches.reshape(side, side, rows, columns).transpose(2, 0, 3, 1).reshape(side * rows, side * columns)


def written_out(net, frames, seen, steps):
    """(T, H, W), and whether a frame is seen → (steps, H, W) logits, and the mean |cos| of gains."""
    shape = (net.hidden, frames.shape[1] // net.patch, frames.shape[2] // net.patch)
    states, cells, memory = [[np.zeros(shape)] * len(net.layers) for _ in range(2)] + [np.zeros(shape)]
    said, alike = [], []
    for time in range(steps):
        frame = frames[time] if time < len(frames) and seen[time] else sigmoid(said[-1])
        below = in_patches(frame, net.patch)
        for number, layer in enumerate(net.layers):
            below, cells[number], memory, *more = step(layer, below, states[number], cells[number], memory)
            states[number] = below
            first, second = (convolved(one, net.adapter).reshape(net.hidden, -1) for one in more)
            lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
            alike.append(np.abs((first * second).sum(axis=1) / lengths).mean())
        said.append(in_cells(convolved(below, net.last), net.patch))
    return np.stack(said), np.mean(alike)


def drawn(**settings):
    net = plain("predrnn_v2", **(SMALL | settings)).double()
    generator = torch.Generator().manual_seed(2)
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net


FRAMES = np.random.default_rng(0).random((5, 6, 8))


def tensor(frames):
    return torch.from_numpy(frames)[None, :, None]


def test_it_is_the_network_of_the_paper():
    net = drawn()
    with torch.no_grad():
        ours = net(tensor(FRAMES[:3]), 4)[0, :, 0].numpy()
    expected, _ = written_out(net, FRAMES[:3], [True] * 3, 6)
    np.testing.assert_allclose(ours, expected[-4:], atol=1e-12)


@pytest.mark.parametrize(
    ("chances", "seen"), [((1.0, 1.0), [1, 1, 1, 1]), ((0.0, 1.0), [1, 0, 0, 1]), ((1.0, 0.0), [1, 1, 1, 0])]
)
def test_in_training_it_sees_what_chance_says_and_says_all_frames_but_the_first(monkeypatch, chances, seen):
    net = drawn(decoupling=0.5)
    monkeypatch.setattr(net, "chances", lambda step: chances)
    ours = net.taught(tensor(FRAMES[:3]), tensor(FRAMES[3:]), 7)
    expected, alike = written_out(net, FRAMES[:4], seen, 4)
    np.testing.assert_allclose(ours.detach()[0, :, 0].numpy(), expected, atol=1e-12)
    assert float(net.penalty().detach()) == pytest.approx(0.5 * alike, abs=1e-12)


def test_each_frame_of_each_sample_is_drawn_by_itself():
    torch.manual_seed(0)
    net, drawn_of = plain("predrnn_v2", **SMALL), []
    net._run = lambda frames, true, steps: drawn_of.append(true)
    net.taught(torch.zeros(4000, 3, 1, 2, 2), torch.zeros(4000, 3, 1, 2, 2), 35000)
    shares = drawn_of[0].float().mean(dim=0)
    assert len(shares) == 5
    of_input, of_other = 1 - 0.5 * math.exp(-2), 0.5 * (1 - 10 / 25)
    for share, expected in zip(shares[1:].tolist(), [of_input, of_input, of_other, of_other], strict=True):
        assert share == pytest.approx(expected, abs=0.03)
    assert abs(torch.corrcoef(drawn_of[0].float().T)[3, 4]) < 0.05


@pytest.mark.parametrize(
    ("step", "of_input", "of_other"),
    [
        (0, 0.5, 0.5),
        (24_999, 0.5, 0.5),
        (25_000, 0.5, 0.5),
        (30_000, 1 - 0.5 * math.exp(-1), 0.4),
        (49_999, 1 - 0.5 * math.exp(-24_999 / 5000), 0.5 / 25_000),
        (50_000, 1.0, 0.0),
        (90_000, 1.0, 0.0),
    ],
)
def test_chances_are_those_of_the_schedule(step, of_input, of_other):
    assert plain("predrnn_v2", **SMALL).chances(step) == pytest.approx((of_input, of_other), abs=1e-9)


def test_after_the_schedule_training_sees_what_a_forecast_sees():
    net = drawn()
    with torch.no_grad():
        taught = net.taught(tensor(FRAMES[:3]), tensor(FRAMES[3:]), 50_000)
        torch.testing.assert_close(taught[:, -2:], net(tensor(FRAMES[:3]), 2))


@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 3)])
def test_any_grid_and_any_number_of_lead_times(shape):
    net = plain("predrnn_v2", **SMALL)
    frames = torch.rand(2, 3, 1, *shape)
    said = net(frames, 5)
    assert said.shape == (2, 5, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])
    assert net.taught(frames, torch.rand(2, 4, 1, *shape), 0).shape == (2, 6, 1, *shape)


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("predrnn_v2", **SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, r"model\.channels, patch, hidden and layers must be at least 1"),
        ({"kernel": 4}, r"model\.kernel odd, got 1, 2, 3, 2, 4"),
        ({"decoupling": -0.1}, r"model\.decoupling must be 0 or more"),
        ({"sampling_to": 10}, r"model\.sampling_to at least sampling_from.*got 0\.1, 25000 to 10"),
        ({"sampling_decay": 0.0}, r"model\.sampling_decay above 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plain("predrnn_v2", **(SMALL | change))


def test_what_it_sees_must_be_frames():
    with pytest.raises(ValueError, match="forecast_steps must be at least 1"):
        PredRNNv2(1, 2, 3, 2, 3, 0.1, 10, 20, 5.0)(torch.zeros(1, 3, 1, 8, 8), 0)
