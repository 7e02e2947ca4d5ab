"""A network in Lagrangian coordinates: it starts as extrapolation, and what flows in is unknown and not dry."""

from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from nowcast.config.mistakes import UsageError
from nowcast.config.program import CONFIGS
from nowcast.forecasting.heads import GreyHead
from nowcast.forecasting.network import build_network
from nowcast.models.advection import sample
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.models.lagrangian import Lagrangian, averaged, displaced, in_blocks
from nowcast.units import Spacing
from tests.models.in_lagrangian import FIVE, HEAD, LEADS, SCALING, THRESHOLDS, Nothing, model, said, showers, spaced


def test_before_training_it_is_extrapolation():
    """The same cells reach each threshold, but for some where a mean of logarithms is not that of rates."""
    rain = showers()
    baseline = Extrapolation(2, 8.0)(rain, 4)
    forecast = said(model(says=3.0), rain, 4)  # whatever the network says, its gain is 0 at first
    for threshold in THRESHOLDS:
        known = baseline.isfinite()
        ours, theirs = (forecast.probability(threshold) >= 0.5)[known], (baseline >= threshold)[known]
        assert theirs.sum() > 50
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.93


def test_probabilities_fall_with_the_threshold_and_become_less_sure_with_time():
    forecast = said(model(), showers(), 4)
    assert (forecast.values.diff(dim=2) <= 0).all()
    spread = (forecast.values[:, :, 0] - 0.5).abs().amax(dim=(0, 2, 3))
    assert (spread.diff() < 0).all()


def test_frames_are_seen_at_the_time_of_the_last_one():
    net = Nothing()
    rain = showers()
    model(net)(rain, 2, FIVE)
    rain_seen, known, wet, clock = net.seen[0].unbind(dim=1)  # (T, H, W) each
    assert net.seen.shape == (1, 4, 4, 48, 64)
    assert (clock == 0.5).all()  # 5 of 10 minutes
    last = rain_seen[-1]
    for frame, there in zip(rain_seen[:-1], known[:-1], strict=True):
        both = (there > 0) & (known[-1] > 0) & ((frame > 0) | (last > 0))
        together = torch.corrcoef(torch.stack([frame[both], last[both]]))[0, 1]
        assert together > 0.97  # without moving: below 0.8
    assert (known[-1][:6, :9] == 0).all()
    assert ((known == 0) <= (rain_seen == 0)).all()
    assert set(wet.unique().tolist()) <= {0.0, 1.0}


class EastwardMotion(Extrapolation):
    """3 cells a step to the right, whatever it sees."""

    def flow(self, frames):
        return np.stack([np.full(frames.shape[1:], 3.0), np.zeros(frames.shape[1:])]).astype(np.float32)


def test_what_flows_in_is_less_sure_than_what_was_seen_and_is_no_streak_of_the_border():
    rain = torch.zeros(1, 3, 1, 20, 40)
    rain[:, :, :, :10, :6] = 8.0  # half of the border is wet
    rain[:, :, :, 15:, 30:] = torch.nan
    net = Lagrangian(
        lambda outputs: Nothing(), EastwardMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=1
    )
    probability = said(net, rain, 4).values[0, 3, 0]  # 12 cells have come from outside
    inflow = probability[:, :12]
    assert (inflow[:9, 10:] > 0.5).all()
    assert (inflow[11:15, 10:] < 0.5).all()
    assert inflow[:10].max() < probability[:10, 13:17].min()  # less sure than of what was seen
    assert inflow[11:15].min() > probability[:10, 25:].max()
    steps = inflow[:15].diff(dim=0).abs().amax(dim=0)  # along the border; the farther from it, the smoother
    assert (steps[:9] < 0.5 * steps[11]).all()
    assert (inflow[:9].amax(dim=0).diff() > -0.01).all()
    with torch.no_grad():
        net.inflow_offset.fill_(-20.0)
    changed = said(net, rain, 4).values[0, 3, 0]
    assert (changed[:, :12] < 1e-3).all()
    torch.testing.assert_close(changed[:14, 12:], probability[:14, 12:])


def test_a_dry_row_at_the_border_of_fine_cells_does_not_dry_what_flows_in():
    """Products have such rows; what flows in is of blocks as the network sees them."""
    rain = torch.full((1, 3, 1, 24, 60), 8.0)
    rain[:, :, :, :, 0] = 0.0
    net = Lagrangian(
        lambda outputs: Nothing(), EastwardMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=1
    )
    net.cell_km = 6.0
    outputs = net(rain, 2, Spacing(torch.tensor([5.0]), torch.tensor([[2.0, 2.0]])))  # 9 cells a step
    inflow = torch.sigmoid(HEAD.logits(outputs))[0, 1, 0, :, :17]
    assert (inflow > 0.5).all()


def test_every_part_learns():
    net = model(says=0.5)
    nn.init.constant_(net.gain, 0.1)
    outputs = net(showers(velocity=(3.0, 1.0)), 4, FIVE)
    HEAD.logits(outputs).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_unet_and_a_convlstm_start_as_extrapolation_and_learn():
    rain, target = showers(), showers(seed=1)
    for name in ("unet", "convlstm"):
        node: Any = yaml.safe_load((CONFIGS / "model" / "lagrangian.yaml").read_text())
        net: Any = yaml.safe_load((CONFIGS / "model" / f"{name}.yaml").read_text())
        changes = {"input_steps": 4, "forecast_steps": 4, "widths": [8, 16], "patch": 2}
        net = net | {key: value for key, value in changes.items() if key in net} | {"_partial_": True}
        del node["defaults"]
        network = build_network(OmegaConf.create(node | {"net": net}), HEAD)
        plain, first = model(leads=tuple(node["lead_minutes"])), network(rain, 4, FIVE)
        torch.testing.assert_close(first, plain(rain, 4, FIVE))
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(3):  # a gain that was 0 must grow before the network behind it learns
            optimizer.zero_grad()
            observed = HEAD.target(target[:, :4].nan_to_num(0.0), SCALING)
            nn.functional.binary_cross_entropy_with_logits(HEAD.logits(network(rain, 4, FIVE)), observed).backward()
            optimizer.step()
        still = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
        assert still == []


def test_lead_times_between_those_that_were_learned_are_interpolated_and_later_ones_stay():
    net = model()
    with torch.no_grad():
        net.offset.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        net.slope.fill_(0.0)
    rain = torch.full((1, 3, 1, 16, 20), 1.0)  # no motion
    first = {}
    for minutes, steps in ((5.0, 6), (7.5, 3), (2.0, 2)):
        outputs = net(rain, steps, spaced(rain, minutes))[0, :, 0, 8, 10] - 1.0  # log2(1 / 0.5)
        first |= {minutes * (k + 1): float(value) for k, value in enumerate(outputs.detach())}
    expected = {2: 0, 4: 0, 5: 0, 7.5: 0.5, 10: 1, 15: 2, 20: 3, 22.5: 3, 25: 3, 30: 3}
    assert first == pytest.approx(expected, abs=1e-5)


def test_frames_of_different_time_steps_in_one_batch_are_each_by_their_own():
    net = model(says=1.0)
    with torch.no_grad():
        net.offset.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        net.gain.copy_(torch.arange(12.0).view(4, 3) / 10)
    rain = torch.cat([showers(), showers(seed=1)])
    both = net(rain, 3, Spacing(torch.tensor([5.0, 6.0]), torch.full((2, 2), 2.0)))
    for number, minutes in enumerate((5.0, 6.0)):
        alone = net(rain[number : number + 1], 3, spaced(rain[:1], minutes))
        torch.testing.assert_close(both[number : number + 1], alone)


def test_without_a_time_step_it_says_nothing():
    with pytest.raises(ValueError, match="must be told how many minutes lie between frames"):
        model()(showers(), 2)


@pytest.mark.parametrize("leads", [(), (0.0, 5.0), (5.0, 5.0), (10.0, 5.0)])
def test_lead_times_must_rise(leads):
    with pytest.raises(ValueError, match=r"model\.lead_minutes must rise from above 0"):
        model(leads=leads)


@pytest.mark.parametrize(("fill", "most"), [(0.0, 0.15), (torch.nan, 0.3)])  # where nothing is seen, it is less sure
def test_nothing_to_see_is_no_error(fill, most):
    rain = torch.full((2, 3, 1, 16, 20), fill)
    forecast = said(model(), rain, 4)
    assert forecast.values.isfinite().all()
    assert forecast.values.max() < most


def test_a_head_without_thresholds_is_refused_with_one_that_has_them():
    node = OmegaConf.load(CONFIGS / "model" / "lagrangian.yaml")
    with pytest.raises(UsageError, match=r"Lagrangian says probabilities of thresholds: choose head=exceedance"):
        build_network(node, GreyHead())
    with pytest.raises(
        UsageError, match=r"needs 3 output channels for each cell, and nowcast\.models\.networks\.fc_lstm\.FCLSTM puts"
    ):
        build_network(OmegaConf.create({"_target_": "nowcast.models.networks.fc_lstm.FCLSTM"}), HEAD)


def test_blocks_are_means_of_what_is_known_of_them():
    rain = torch.arange(20.0).view(1, 1, 1, 4, 5)
    rain[..., 0, 0], rain[..., 2:, 2:4] = torch.nan, torch.nan
    found = averaged(rain, (2, 2))[0, 0, 0]
    expected = [[12 / 3, 20 / 4, 13 / 2], [52 / 4, torch.nan, 33 / 2]]  # of 1 5 6, 2 3 7 8, 4 9; 10 11 15 16, 14 19
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)
    assert averaged(rain, (1, 1)) is rain
    known = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    counts = averaged(torch.where(known > 0, 2.0, torch.nan)[None, None, None], (2, 2))[0, 0, 0]
    torch.testing.assert_close(counts, torch.tensor([[2.0, torch.nan, 2.0]]), equal_nan=True)  # half is enough


def test_a_plane_stays_a_plane_in_finer_cells():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    rows, columns = (torch.arange(size).float() for size in (17, 30))
    plane = 2 * ((columns + 0.5) / 4 - 0.5)[None] + 3 * ((rows + 0.5) / 3 - 0.5)[:, None]
    inside = slice(2, -3), slice(2, -3)
    fine = displaced((2 * x + 3 * y).expand(1, 5, 2, 6, 8), (3, 4), (17, 30))
    torch.testing.assert_close(fine[0, 3, 0][inside], 4 * plane[inside])
    torch.testing.assert_close(fine[0, 3, 1][inside], 3 * plane[inside])
    here = in_blocks(torch.zeros(1, 2, 17, 30), (3, 4))
    found = sample((2 * x + 3 * y)[None, None], here, beyond="border")[0, 0]
    torch.testing.assert_close(found[inside], plane[inside])
    away = in_blocks(torch.tensor([4.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 17, 30), (3, 4))  # a block
    torch.testing.assert_close(away - here, torch.ones(1, 2, 17, 30))


def test_finer_cells_keep_their_detail_and_get_the_corrections_of_those_it_was_trained_on():
    """Of 1 km, it looks at blocks of 2 km as it does at 2 km itself; before training it is extrapolation at 1 km."""
    fine = showers((96, 128), velocity=(4.0, 2.0))
    native = Spacing(torch.tensor([5.0]), torch.tensor([[1.0, 1.0]]))
    net, looking = model(), Nothing()
    net.cell_km = 2.0
    baseline = Extrapolation(2, 16.0)(fine, 4)
    known = baseline.isfinite()
    with torch.inference_mode():
        forecast = HEAD.forecast(torch.sigmoid(HEAD.logits(net(fine, 4, native))), SCALING)
    for threshold in THRESHOLDS:
        ours, theirs = (forecast.probability(threshold) >= 0.5)[known], (baseline >= threshold)[known]
        assert theirs.sum() > 200
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.9
    watched = model(looking)
    watched.cell_km = 2.0
    watched(fine, 4, native)
    seen = looking.seen
    watched(averaged(fine, (2, 2)), 4, FIVE)
    torch.testing.assert_close(seen, looking.seen)
    with torch.no_grad():
        watched.gain.fill_(1.0)
        looking.says.fill_(2.0)
    raised = watched(fine, 4, native)[:, :, 0] - net(fine, 4, native)[:, :, 0]
    assert (raised[..., 40:56, 60:80] - 2).abs().max() < 1e-4  # far from the border


def test_cells_that_are_not_square_make_blocks_that_are():
    """As those of longitude and latitude; where rows are those of the training, so are columns."""
    rain, looking = showers(), Nothing()
    net = model(looking)
    net.cell_km = 2.0
    for sides, seen in (((1.0, 0.5), (24, 16)), ((0.7, 2.1), (16, 64)), ((2.0, 0.9), (48, 64))):
        outputs = net(rain, 2, Spacing(torch.tensor([5.0]), torch.tensor([sides])))
        assert looking.seen.shape[-2:] == seen
        assert outputs.shape == (1, 2, 3, 48, 64)


def test_a_motion_of_blocks_is_as_many_cells_as_these_have():
    net = Lagrangian(
        lambda outputs: Nothing(), EastwardMotion(2, 8.0), THRESHOLDS, LEADS, 3, local_slope=False, turns=1
    )
    net.cell_km = 2.0
    rain, spacing = torch.zeros(1, 3, 1, 20, 60), Spacing(torch.tensor([5.0]), torch.tensor([[1.0, 0.5]]))
    rain[..., 4:8, 3:9] = 8.0
    moved = net.extrapolated(rain, 2, spacing, net.trajectories(rain, 2, spacing))  # 3 blocks of 4 cells a step
    assert torch.equal(moved[0, :, 0, :, 24:], torch.stack([rain[0, 0, 0].roll(12 * k, 1)[:, 24:] for k in (1, 2)]))
    assert moved[0, 1, 0, :, :24].isnan().all()
