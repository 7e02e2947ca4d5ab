"""The ConvLSTM against a plain NumPy loop of the paper's equations."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from nowcast.models.networks.convlstm import ConvLSTM


def make(hidden=(3, 2), kernels=(3, 5), patch=1, **options):
    settings = {"peephole": "channel", "output_peephole": "current", "frame_shape": None} | options
    return ConvLSTM(1, patch, hidden, kernels, kernels[::-1], **settings)


def randomise(net, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net.double()


# -- the oracle: equations (3) of the paper written out ---------------------------------------------------


def convolve(x, weight):  # (C_in, H, W), (C_out, C_in, K, K)
    return np.stack([sum(correlate2d(x[c], kernel[c], mode="same") for c in range(len(x))) for kernel in weight])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_step(cell, x, h, c):
    """One step of a layer; x is None for the bottom layer of the forecaster."""
    w_h, bias = cell.state_weight.detach().numpy(), cell.bias.detach().numpy()
    gates = convolve(h, w_h) + bias[:, None, None]
    if x is not None:
        gates = gates + convolve(x, cell.input_weight.detach().numpy())
    i, f, g, o = np.split(gates, 4)
    w_ci = w_cf = w_co = 0.0
    if cell.peephole is not None:
        w_ci, w_cf, w_co = cell.peephole.detach().numpy()
    i = sigmoid(i + w_ci * c)
    f = sigmoid(f + w_cf * c)
    c_new = f * c + i * np.tanh(g)
    o = sigmoid(o + w_co * (c_new if cell.output_peephole == "current" else c))
    return o * np.tanh(c_new), c_new


def oracle(net, frames, steps):
    """(T, H, W) grey → (steps, H, W) logits, frame by frame."""
    p = net.patch
    places = [(row, column) for row in range(p) for column in range(p)]  # channel = row in patch · p + column
    zeros = [np.zeros((cell.hidden, frames.shape[1] // p, frames.shape[2] // p)) for cell in net.encoder]
    states = [(zero, zero) for zero in zeros]
    for frame in frames:
        x = np.stack([frame[row::p, column::p] for row, column in places])
        for layer, cell in enumerate(net.encoder):
            states[layer] = cell_step(cell, x, *states[layer])
            x = states[layer][0]
    result = []
    for step in range(steps):
        if step:
            x = None
            for layer, cell in enumerate(net.forecaster):
                states[layer] = cell_step(cell, x, *states[layer])
                x = states[layer][0]
        hidden = np.concatenate([h for h, _ in states])
        patches = np.tensordot(net.head.weight.detach().numpy()[:, :, 0, 0], hidden, 1)
        result.append(np.empty(frames.shape[1:]))
        for (row, column), patch, bias in zip(places, patches, net.head.bias.detach().numpy(), strict=True):
            result[-1][row::p, column::p] = patch + bias
    return np.stack(result)


@pytest.mark.parametrize("output_peephole", ["current", "previous"])
@pytest.mark.parametrize("peephole", ["channel", "location", "none"])
@pytest.mark.parametrize(("hidden", "kernels"), [((3,), (3,)), ((3, 2), (3, 5)), ((2, 3, 2), (1, 3, 5))])
def test_equals_the_equations_written_out(peephole, output_peephole, hidden, kernels):
    shape = (6, 7)
    frame_shape = shape if peephole == "location" else None
    net = randomise(make(hidden, kernels, peephole=peephole, output_peephole=output_peephole, frame_shape=frame_shape))
    frames = np.random.default_rng(1).random((4, *shape))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 5)[0, :, 0].numpy()
    np.testing.assert_allclose(ours, oracle(net, frames, 5), atol=1e-12)


def test_equals_the_equations_on_patches():
    net = randomise(make(patch=3))
    frames = np.random.default_rng(3).random((3, 6, 9))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 3)[0, :, 0].numpy()
    np.testing.assert_allclose(ours, oracle(net, frames, 3), atol=1e-12)


def test_one_input_frame_and_one_forecast_step():
    net = randomise(make())
    frames = np.random.default_rng(2).random((1, 5, 5))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 1)[0, :, 0].numpy()
    np.testing.assert_allclose(ours, oracle(net, frames, 1), atol=1e-12)


def test_the_output_peephole_option_changes_the_forecast():
    current = randomise(make(output_peephole="current"))
    previous = randomise(make(output_peephole="previous"))
    previous.load_state_dict(current.state_dict())
    x = torch.rand(1, 3, 1, 6, 6, dtype=torch.float64)
    assert not torch.allclose(current(x, 3), previous(x, 3))


# -- counts, initialisation, structure ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "input_kernel", "state_kernel", "patch", "count"),
    [
        ([256], 5, 5, 4, 13_524_496),
        ([128, 128], 5, 5, 4, 10_042_896),
        ([128, 64, 64], 5, 5, 4, 7_585_296),
        ([128, 128], 9, 1, 4, 11_550_224),
        ([128, 64, 64], 9, 1, 4, 8_830_480),
        ([64, 64], 3, 3, 2, 896_260),  # the radar network: arithmetic, not printed in the paper
    ],
)
def test_parameter_counts_of_table_1(hidden, input_kernel, state_kernel, patch, count):
    layers = len(hidden)
    net = ConvLSTM(1, patch, hidden, [input_kernel] * layers, [state_kernel] * layers, "channel", "current", None)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("peephole", ["channel", "location"])
def test_every_parameter_is_saved_and_gets_a_gradient(peephole):
    net = make(peephole=peephole, frame_shape=(6, 6) if peephole == "location" else None)
    net(torch.rand(2, 3, 1, 6, 6), 3).square().sum().backward()
    names = {name for name, _ in net.named_parameters()}
    assert names == set(net.state_dict())
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_initialisation_is_that_of_the_release():
    torch.manual_seed(0)
    net = make(hidden=(16, 8), kernels=(3, 5), patch=2)
    cells = {"encoder.0": (4, 16), "encoder.1": (16, 8), "forecaster.1": (16, 8), "forecaster.0": (0, 16)}
    for name, (inputs, hidden) in cells.items():
        cell = net.get_submodule(name)
        assert not cell.bias.any()
        assert not cell.peephole.any()
        assert cell.peephole.shape == (3, hidden, 1, 1)
        for weight, channels in ((cell.input_weight, inputs), (cell.state_weight, hidden)):
            if channels == 0:
                assert weight is None
                continue
            bound = channels**-0.5  # channels only; the kernel's area does not count
            assert weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert 0.9 * 24**-0.5 < net.head.weight.abs().max() <= 24**-0.5
    assert not net.head.bias.any()


def test_the_first_frame_comes_from_the_encoder_alone():
    net = randomise(make())
    x = torch.rand(1, 3, 1, 6, 6, dtype=torch.float64)
    before = net(x, 3)
    with torch.no_grad():
        for parameter in net.forecaster.parameters():
            parameter.zero_()
    after = net(x, 3)
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_a_longer_forecast_begins_like_a_shorter_one():
    net = randomise(make())
    x = torch.rand(2, 3, 1, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(net(x, 7)[:, :4], net(x, 4))


def test_patches_are_row_major():
    net = make(hidden=(2,), kernels=(1,), patch=2)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.arange(4.0))  # channel = row in patch · 2 + column in patch
    frame = net(torch.zeros(1, 1, 1, 4, 4), 1)[0, 0, 0]
    assert frame[:2, :2].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("shape", [(7, 9), (8, 9), (1, 5)])
def test_any_size_is_padded_and_cropped(shape):
    net = randomise(make(patch=4))
    x = torch.rand(1, 2, 1, *shape, dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (0, -shape[1] % 4, 0, -shape[0] % 4))
    forecast = net(x, 2)
    assert forecast.shape == (1, 2, 1, *shape)
    torch.testing.assert_close(forecast, net(padded, 2)[..., : shape[0], : shape[1]])


def test_gradients_are_those_of_finite_differences():
    net = randomise(make(hidden=(2, 1), kernels=(3, 1)))
    parameters = dict(net.named_parameters())
    x = torch.rand(1, 2, 1, 3, 3, dtype=torch.float64)

    def forecast(*values):
        return torch.func.functional_call(net, dict(zip(parameters, values, strict=True)), (x, 3))

    assert torch.autograd.gradcheck(forecast, tuple(parameters.values()))


def test_bfloat16_is_near_float32():
    torch.manual_seed(0)
    net = make(hidden=(8, 8), kernels=(3, 3), patch=2)
    x = torch.rand(2, 4, 1, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(x, 4)
    torch.testing.assert_close(half.float(), net(x, 4), atol=0.03, rtol=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": (3, 4)}, "odd"),
        ({"hidden": (3,)}, "one entry per layer"),
        ({"hidden": (3, 0)}, ">= 1"),
        ({"peephole": "pixel"}, "channel, location or none"),
        ({"output_peephole": "next"}, "current or previous"),
        ({"peephole": "location"}, "frame_shape"),
        ({"frame_shape": (4, 4)}, "frame_shape"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


@pytest.mark.parametrize(("shape", "steps"), [((2, 3, 2, 6, 6), 3), ((3, 1, 6, 6), 3), ((1, 3, 1, 6, 6), 0)])
def test_impossible_inputs_are_refused(shape, steps):
    with pytest.raises(ValueError, match="must be"):
        make()(torch.zeros(shape), steps)


@pytest.mark.gpu
def test_cuda_equals_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net = randomise(make(patch=2)).float()
    x = torch.rand(2, 4, 1, 16, 16)
    torch.testing.assert_close(net(x, 4), net.cuda()(x.cuda(), 4).cpu(), atol=1e-4, rtol=1e-4)
