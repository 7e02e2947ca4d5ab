"""HKO-7's TrajGRU: weights counted by hand, and states that are linked along motions, written out in NumPy."""

import numpy as np
import pytest
import torch

from nowcast.models.networks.trajgru import TrajGRU
from tests.models.networks.shared.learning import learns_in_all_ways, plain
from tests.models.networks.shared.written_out import convolved, leaky, sigmoid
from tests.models.networks.test_convgru import SMALL as CONVGRU
from tests.models.networks.test_convgru import convolution, drawn, shared, written_out

SMALL = {key: value for key, value in CONVGRU.items() if key != "state_kernels"} | {"links": [3, 2], "flow_features": 3}


def test_weights_are_those_of_the_table():
    layers = ((64, 13), (192, 13), (192, 9))
    states = 2 * sum(convolution(links * h, 3 * h, 1) for h, links in layers)
    flows = 2 * sum(convolution(h, 32, 5) + convolution(32, 2 * links, 5) for h, links in layers)
    flows += sum(convolution(i, 32, 5) for i in (8, 192, 192, 192, 192))
    count = shared() + states + flows
    with torch.device("meta"):
        net = plain("trajgru")
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def warped(state, flow):
    """(C, H, W) at x + U, y + V: equation 5 of the paper, a sum over all cells."""
    _, height, width = state.shape
    result = np.zeros_like(state)
    for row in range(height):
        for column in range(width):
            x, y = column + flow[0, row, column], row + flow[1, row, column]
            by_row = np.maximum(0, 1 - np.abs(y - np.arange(height)))
            by_column = np.maximum(0, 1 - np.abs(x - np.arange(width)))
            result[:, row, column] = np.einsum("chw,h,w->c", state, by_row, by_column)
    return result


def step(cell, below, state):
    """Equations 3 and 4."""
    features = convolved(state, cell.flow_of_state)
    if below is not None:
        features = features + convolved(below, cell.flow_of_input)
    flows = convolved(leaky(features), cell.flow)
    weight, bias = cell.of_state.weight.detach().numpy()[..., 0, 0], cell.of_state.bias.detach().numpy()
    links = len(flows) // 2
    by_link = weight.reshape(len(weight), len(state), links)
    from_state = bias[:, None, None] + sum(
        np.einsum("oc,chw->ohw", by_link[:, :, link], warped(state, flows[2 * link : 2 * link + 2]))
        for link in range(links)
    )
    from_input = np.zeros_like(from_state) if below is None else convolved(below, cell.of_input)
    (r, z, n), (r_in, z_in, n_in) = np.split(from_state, 3), np.split(from_input, 3)
    update = sigmoid(z + z_in)
    return update * state + (1 - update) * leaky(n_in + sigmoid(r + r_in) * n)


def test_it_is_the_network_of_the_paper():
    net = drawn(plain("trajgru", **SMALL))
    for cell in (*net.encoder, *net.forecaster):
        cell.flow.bias.data.mul_(5)  # motions of about a cell
    frames = np.random.default_rng(0).random((2, 12, 18))
    with torch.no_grad():
        ours = net(torch.from_numpy(frames)[None, :, None], 3)[0, :, 0].numpy()
    np.testing.assert_allclose(ours, written_out(net, frames, 3, step), atol=1e-12)


def test_without_training_nothing_moves():
    net = plain("trajgru", **SMALL)
    for cell in (*net.encoder, *net.forecaster):
        assert (cell.flow.weight == 0).all()
        assert (cell.flow.bias == 0).all()


@pytest.mark.parametrize("shape", [(12, 6), (13, 5), (1, 2)])
def test_any_grid_and_any_number_of_lead_times(shape):
    net = drawn(plain("trajgru", **SMALL)).float()
    frames = torch.rand(2, 3, 1, *shape)
    said = net(frames, 5)
    assert said.shape == (2, 5, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])


def test_it_learns_with_each_head_and_as_a_correction():
    learns_in_all_ways("trajgru", **SMALL)


@pytest.mark.parametrize("change", [{"links": [3]}, {"links": [3, 0]}, {"flow_features": 0}])
def test_links_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError, match=r"model\.links must be at least one for each of model\.hidden=\[3, 4\]"):
        TrajGRU(1, **(SMALL | change))
