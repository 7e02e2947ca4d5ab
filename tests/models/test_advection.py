"""The semi-Lagrangian operator: exact where it can be, unknown where nothing is known, differentiable."""

import numpy as np
import pytest
import torch

from nowcast.models.advection import departures, filled, move, sample, smoothed
from nowcast.models.baselines.extrapolation import advect


def field(batch=2, channels=3, shape=(9, 14), seed=0, dtype=torch.float64):
    return torch.rand(batch, channels, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def steady(x, y, batch=2, shape=(9, 14), dtype=torch.float64):
    return torch.tensor([x, y], dtype=dtype).view(1, 2, 1, 1).expand(batch, 2, *shape)


def test_no_motion_is_the_identity():
    one, valid = field(dtype=torch.float32), torch.ones(2, 1, 9, 14)
    displacement = departures(torch.zeros(2, 2, 9, 14), 3)
    assert (displacement == 0).all()
    moved, known = move(one, valid, displacement[:, 2])
    torch.testing.assert_close(moved, one, rtol=0, atol=1e-6)
    assert (known == 1).all()


@pytest.mark.parametrize(("x", "y"), [(2, 1), (-3, 0), (0, -2), (1, -4)])
def test_whole_cells_are_exact_on_grids_that_are_not_square(x, y):
    one = field()
    moved, known = move(one, torch.ones(2, 1, 9, 14, dtype=torch.float64), departures(steady(x, y), 2)[:, 1])
    for row in range(9):
        for column in range(14):
            r, c = row - 2 * y, column - 2 * x
            if 0 <= r < 9 and 0 <= c < 14:
                assert torch.equal(moved[:, :, row, column], one[:, :, r, c])
                assert (known[:, :, row, column] == 1).all()
            else:
                assert (known[:, :, row, column] == 0).all()  # what flows in is not known, and not dry


def test_it_is_the_extrapolation_of_the_baseline():
    draw = np.random.default_rng(0)
    rain = draw.gamma(0.3, 4.0, (40, 60)).astype(np.float32)
    rain[:6, :9] = np.nan
    y, x = np.mgrid[:40, :60].astype(np.float32)
    motion = np.stack([1.5 + np.sin(y / 9), 0.7 + np.cos(x / 11)]).astype(np.float32)
    expected = advect(rain, motion, 4)
    last = torch.from_numpy(rain)[None, None]
    displacements = departures(torch.from_numpy(motion)[None], 4)
    for step in range(4):
        moved, known = move(last, last.isfinite().float(), displacements[:, step])
        ours = torch.where(known > 0.5, moved, torch.nan)[0, 0].numpy()
        same = np.isfinite(ours) & np.isfinite(expected[step])
        assert same.mean() > 0.5
        assert (np.isfinite(ours) != np.isfinite(expected[step])).mean() < 0.01
        assert np.median(np.abs(ours - expected[step])[same]) < 0.02  # remap rounds to 1/32 of a cell


def test_missing_values_travel_along_and_do_not_spread_into_what_is_known():
    one, valid = field(), torch.ones(2, 1, 9, 14, dtype=torch.float64)
    one[:, :, 4, 5], valid[:, :, 4, 5] = torch.nan, 0
    moved, known = move(one, valid, departures(steady(2, 1), 1)[:, 0])
    assert moved.isfinite().all()
    assert (known[:, :, 5, 7] == 0).all()
    assert known[:, :, 1:, 2:].sum() == 2 * (8 * 12 - 1)
    half, part = move(one, valid, departures(steady(0.5, 0.0), 1)[:, 0])
    assert torch.equal(half[:, :, 4, 5], one[:, :, 4, 4])  # the known half of the pair
    assert (part[:, :, 4, 5] == 0.5).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_is_turned_moves_turned(turns):
    one, motion = field(shape=(8, 11)), field(channels=2, shape=(8, 11), seed=1) - 0.5
    valid = torch.ones(2, 1, 8, 11, dtype=torch.float64)
    moved, known = move(one, valid, departures(motion, 2)[:, 1])
    turned = torch.rot90(motion, turns, (2, 3))
    for _ in range(turns):  # 90° counter-clockwise: (x, y) → (y, -x), y downwards
        turned = torch.stack([turned[:, 1], -turned[:, 0]], dim=1)
    again, also = move(torch.rot90(one, turns, (2, 3)), torch.rot90(valid, turns, (2, 3)), departures(turned, 2)[:, 1])
    torch.testing.assert_close(again, torch.rot90(moved, turns, (2, 3)))
    torch.testing.assert_close(also, torch.rot90(known, turns, (2, 3)))


def test_what_is_mirrored_moves_mirrored():
    one, motion = field(), field(channels=2, seed=1) - 0.5
    valid = torch.ones(2, 1, 9, 14, dtype=torch.float64)
    moved, _ = move(one, valid, departures(motion, 2)[:, 1])
    mirrored = motion.flip(3) * torch.tensor([-1.0, 1.0], dtype=torch.float64).view(1, 2, 1, 1)
    again, _ = move(one.flip(3), valid, departures(mirrored, 2)[:, 1])
    torch.testing.assert_close(again, moved.flip(3))


def test_gradients_are_right():
    one, motion = field(1, 2, (5, 6)), 0.4 * field(1, 2, (5, 6), seed=1) + 0.13
    valid = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    valid[0, 0, 2, 3] = 0

    def moved(values, speed):
        return move(values, valid, departures(speed, 2)[:, 1])

    assert torch.autograd.gradcheck(moved, (one.requires_grad_(), motion.requires_grad_()))


def test_a_border_continues_where_it_is_asked_to():
    one = field()
    found = sample(one, steady(-50.0, 40.0), beyond="border")
    torch.testing.assert_close(found, one[:, :, -1:, :1].expand_as(found))
    assert (sample(one, steady(-50.0, 40.0), beyond="nothing") == 0).all()


def test_unknown_cells_are_filled_from_around_and_known_ones_stay():
    one = torch.full((1, 1, 11, 13), 3.0, dtype=torch.float64)
    one[..., 9:] = 7.0
    known = torch.ones_like(one)
    known[..., 2:6, 1:4], known[..., :, 12] = 0, 0
    given = torch.where(known > 0, one, torch.nan)
    found = filled(given, known)
    assert torch.equal(found[known > 0], one[known > 0])
    assert found.isfinite().all()
    assert ((found >= 3) & (found <= 7)).all()
    torch.testing.assert_close(found[..., 2:6, 1:4], one[..., 2:6, 1:4], rtol=0, atol=0.6)
    assert (found[..., 12] > 5).all()
    assert (filled(torch.full_like(one, torch.nan), torch.zeros_like(one)) == 0).all()
    single = filled(torch.tensor([[[[2.0, torch.nan]]]]), torch.tensor([[[[1.0, 0.0]]]]))
    assert single.isfinite().all()


def test_means_are_over_as_many_cells_as_they_should():
    one = field(1, 1, (64, 96)) - 0.5
    assert smoothed(one, torch.ones(1, 1, 64, 96, dtype=torch.float64)) is one
    spread = [float(smoothed(one, torch.full_like(one, width)).std()) for width in (1.5, 2.0, 4.0, 8.0, 16.0)]
    for width, found in zip((2, 4, 8), spread[1:], strict=False):
        assert 0.4 < found * width / float(one.std()) < 1.2  # of so many cells in each direction
    assert sorted(spread, reverse=True) == spread
    width = torch.linspace(0, 12, 96, dtype=torch.float64).expand(1, 1, 64, 96)
    partly = smoothed(one, width)
    assert torch.equal(partly[..., :7], one[..., :7])
    assert partly[..., 60:].std() < 0.3 * one.std()
    flat = torch.full((2, 3, 21, 34), 3.0, dtype=torch.float64)
    torch.testing.assert_close(smoothed(flat, width[..., :21, :34]), flat)
