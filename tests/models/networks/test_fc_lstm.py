"""The FC-LSTM against a plain NumPy loop of the paper's equations."""

import numpy as np
import pytest
import torch

from nowcast.models.networks.fc_lstm import FCLSTM


def make(hidden=(4, 3), shape=(3, 5), peephole="diagonal", seed=0):
    net = FCLSTM(shape, hidden, peephole)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net.double()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(cell, x, h, c):
    """Equations (2) of the paper, one gate after another; x is None for the forecaster's bottom layer."""
    w_h = np.split(cell.state_weight.detach().numpy()[..., 0, 0], 4)
    b = np.split(cell.bias.detach().numpy(), 4)
    w_x = [None] * 4 if x is None else np.split(cell.input_weight.detach().numpy()[..., 0, 0], 4)
    w_ci, w_cf, w_co = np.zeros((3, len(c))) if cell.peephole is None else cell.peephole.detach().numpy()[..., 0, 0]

    def linear(gate):
        return w_h[gate] @ h + b[gate] + (0 if x is None else w_x[gate] @ x)

    i = sigmoid(linear(0) + w_ci * c)
    f = sigmoid(linear(1) + w_cf * c)
    c_new = f * c + i * np.tanh(linear(2))
    o = sigmoid(linear(3) + w_co * c_new)
    return o * np.tanh(c_new), c_new


def oracle(net, frames, steps):
    """(T, H, W) grey → (steps, H, W) logits."""
    states = [(np.zeros(cell.hidden), np.zeros(cell.hidden)) for cell in net.encoder]
    for frame in frames:
        x = frame.ravel()
        for layer, cell in enumerate(net.encoder):
            states[layer] = step(cell, x, *states[layer])
            x = states[layer][0]
    result = []
    for k in range(steps):
        if k:
            x = None
            for layer, cell in enumerate(net.forecaster):
                states[layer] = step(cell, x, *states[layer])
                x = states[layer][0]
        logits = net.head.weight.detach().numpy() @ states[-1][0] + net.head.bias.detach().numpy()
        result.append(logits.reshape(frames.shape[1:]))
    return np.stack(result)


@pytest.mark.parametrize("peephole", ["diagonal", "none"])
@pytest.mark.parametrize("hidden", [(4,), (4, 3), (3, 4, 2)])
def test_equals_the_equations_written_out(hidden, peephole):
    net = make(hidden, peephole=peephole)
    frames = np.random.default_rng(1).random((2, 4, 3, 5))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[:, :, None], 3)[:, :, 0].numpy()
    for sequence, forecast in zip(frames, ours, strict=True):
        np.testing.assert_allclose(forecast, oracle(net, sequence, 3), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "hidden", "count"),
    [((64, 64), [2048, 2048], 142_667_776), ((100, 100), [2000, 2000], 196_066_000)],
)
def test_parameter_counts_of_the_paper(shape, hidden, count):
    with torch.device("meta"):
        net = FCLSTM(shape, hidden, "diagonal")
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_bottom_forecaster_layer_has_no_input_and_the_head_reads_the_top_layer_only():
    net = make((4, 3))
    assert net.forecaster[0].input_weight is None
    assert net.forecaster[1].input_weight.shape == (12, 4, 1, 1)
    assert net.head.in_features == 3


def test_peephole_none_has_no_peepholes():
    assert all(cell.peephole is None for cell in make(peephole="none").encoder)


def test_initial_weights_are_those_of_the_authors():
    net = FCLSTM((10, 10), (64, 64), "diagonal")
    weight = net.encoder[0].input_weight
    assert 0.95 * 0.1 < weight.abs().max() <= 0.1  # 1/sqrt(100 inputs)
    assert 0.95 / 8 < net.head.weight.abs().max() <= 1 / 8  # 1/sqrt(64)
    assert all((cell.bias == 0).all() and (cell.peephole == 0).all() for cell in net.encoder)
    assert (net.head.bias == 0).all()


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"frames are \(4, 5\).*\(3, 5\) only"):
        make()(torch.zeros(1, 2, 1, 4, 5, dtype=torch.float64), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (((3,), (4,), "diagonal"), "model.frame_shape"),
        (((3, 3), (), "diagonal"), "model.hidden"),
        (((3, 3), (4, 0), "diagonal"), "model.hidden"),
        (((3, 3), (4,), "channel"), "model.peephole must be diagonal or none"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FCLSTM(*settings)
