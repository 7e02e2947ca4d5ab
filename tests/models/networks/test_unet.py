"""The U-Net: sizes counted by hand, any grid, and what it was not built for is refused."""

import pytest
import torch

from nowcast.models.networks.unet import UNet


def convolution(inputs, outputs, side=3):
    return outputs * (inputs * side * side + 1)


def test_weights_are_those_of_the_table():
    """4 frames of 1 channel to 6 of 2, widths 8-16-32: two convolutions a level down, two up, one 1x1."""
    table = [
        (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32),  # down
        (32 + 16, 16), (16, 16), (16 + 8, 8), (8, 8),  # up
    ]  # fmt: skip
    expected = sum(convolution(*pair) for pair in table) + convolution(8, 12, 1)
    net = UNet(4, 6, 1, [8, 16, 32], outputs=2)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


@pytest.mark.parametrize("shape", [(16, 16), (17, 30), (5, 9), (1, 3)])
def test_any_grid_and_fewer_lead_times(shape):
    net = UNet(3, 4, 2, [4, 8, 8])
    torch.nn.init.normal_(net.last.weight)
    frames = torch.rand(2, 3, 2, *shape)
    said = net(frames, 4)
    assert said.shape == (2, 4, 1, *shape)
    torch.testing.assert_close(net(frames, 2), said[:, :2])


def test_it_says_nothing_at_first_and_learns():
    torch.manual_seed(0)
    net, frames = UNet(2, 3, 1, [4, 8]), torch.rand(1, 2, 1, 12, 12)
    assert (net(frames, 3) == 0).all()
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = (net(frames, 3) - frames[:, -1:]).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4


def test_far_cells_are_seen_through_coarse_levels():
    torch.manual_seed(0)
    shallow, deep = UNet(1, 1, 1, [4]), UNet(1, 1, 1, [4, 4, 4, 4])
    frames, changed = torch.rand(1, 1, 1, 64, 64), None
    changed = frames.clone()
    changed[..., 32, 8] += 1
    for net, reaches in ((shallow, False), (deep, True)):
        torch.nn.init.normal_(net.last.weight)
        difference = (net(changed, 1) - net(frames, 1))[0, 0, 0, 32, 24].abs()
        assert (difference > 0) == reaches


def test_what_it_was_not_built_for_is_refused():
    net = UNet(3, 4, 1, [4])
    with pytest.raises(ValueError, match="maps 3 frames to at most 4, got 2 to 4"):
        net(torch.zeros(1, 2, 1, 8, 8), 4)
    with pytest.raises(ValueError, match="maps 3 frames to at most 4, got 3 to 5"):
        net(torch.zeros(1, 3, 1, 8, 8), 5)
    for widths in ([], [4, 0]):
        with pytest.raises(ValueError, match=r"model\.widths"):
            UNet(3, 4, 1, widths)
