"""The paper's RMSProp by its formula, and the schedule at its corners."""

import math

import numpy as np
import pytest
import torch

from nowcast.training.optimizers import PaperRMSProp, warmup_cosine


def descend(optimizer, parameter, steps=5):
    """Steps on Σ x⁴ / 4, whose gradient is x³."""
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (parameter**4 / 4).sum().backward()
        optimizer.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


def test_the_update_is_the_formula():
    parameter = torch.nn.Parameter(torch.tensor([2.0, -0.3, 1e-4], dtype=torch.float64))
    ours = descend(PaperRMSProp([parameter], lr=1e-3, decay=0.9, eps=1e-6), parameter)
    x, mean_square = np.array([2.0, -0.3, 1e-4]), np.zeros(3)
    for step in range(5):
        gradient = x**3
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        x = x - 1e-3 * gradient / np.sqrt(mean_square + 1e-6)
        np.testing.assert_allclose(ours[step].numpy(), x, rtol=1e-12)


def test_it_is_not_torchs():
    ours, theirs = (torch.nn.Parameter(torch.tensor([0.05])) for _ in range(2))
    a = descend(PaperRMSProp([ours], lr=1e-3, decay=0.9, eps=1e-6), ours)
    b = descend(torch.optim.RMSprop([theirs], lr=1e-3, alpha=0.9, eps=1e-6), theirs)
    assert (a - b).abs().max() > 1e-4


def test_the_state_survives_saving():
    first, second = (torch.nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
    whole = descend(PaperRMSProp([first], lr=1e-2, decay=0.9, eps=1e-6), first, steps=6)
    optimizer = PaperRMSProp([second], lr=1e-2, decay=0.9, eps=1e-6)
    descend(optimizer, second, steps=3)
    resumed = PaperRMSProp([second], lr=1.0, decay=0.5, eps=1.0)
    resumed.load_state_dict(optimizer.state_dict())
    assert torch.equal(descend(resumed, second, steps=3), whole[3:])


def test_parameters_without_gradient_stay():
    used, unused = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = PaperRMSProp([used, unused], lr=0.1, decay=0.9, eps=1e-6)
    descend(optimizer, used, steps=1)
    assert unused.item() == 1
    assert used.item() < 1


@pytest.mark.parametrize("change", [{"lr": 0}, {"decay": 1.0}, {"eps": 0}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match="RMSProp needs"):
        PaperRMSProp([torch.nn.Parameter(torch.ones(1))], **({"lr": 1e-3, "decay": 0.9, "eps": 1e-6} | change))


def rates(total_steps, warmup_fraction, min_factor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, total_steps, warmup_fraction, min_factor)
    result = []
    for _ in range(total_steps + 2):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def test_warm_up_then_cosine():
    factors = rates(20, 0.2, 0.1)
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert factors[20:] == pytest.approx([0.1, 0.1])


def test_without_warm_up_it_starts_at_the_top():
    assert rates(10, 0.0, 0.0)[0] == 1.0


@pytest.mark.parametrize("arguments", [(0, 0.1, 0.0), (10, 1.0, 0.0), (10, 0.1, 2.0)])
def test_impossible_schedules_are_refused(arguments):
    with pytest.raises(ValueError, match="schedule needs"):
        rates(*arguments)


def test_it_is_torchs_with_the_epsilon_inside_the_root():
    # With a negligible epsilon both formulas are one, so the difference above is the epsilon's place and no more.
    ours, theirs = (torch.nn.Parameter(torch.tensor([2.0, -0.7], dtype=torch.float64)) for _ in range(2))
    a = descend(PaperRMSProp([ours], lr=1e-3, decay=0.9, eps=1e-30), ours)
    b = descend(torch.optim.RMSprop([theirs], lr=1e-3, alpha=0.9, eps=1e-30), theirs)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_groups_have_their_own_rates():
    slow, fast = (torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    groups = [{"params": [slow], "lr": 1e-3}, {"params": [fast]}]
    optimizer = PaperRMSProp(groups, lr=1e-2, decay=0.9, eps=1e-6)
    ((slow + fast) ** 2).sum().backward()
    optimizer.step()
    assert (1 - fast.item()) == pytest.approx(10 * (1 - slow.item()))
    assert (1 - slow.item()) == pytest.approx(1e-3 * 4 / math.sqrt(0.1 * 16 + 1e-6))


def test_a_closure_is_called_with_gradients_and_its_value_returned():
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = PaperRMSProp([parameter], lr=1e-2, decay=0.9, eps=1e-6)

    def closure():
        value = (parameter**2).sum()
        value.backward()
        return value.item()

    assert optimizer.step(closure) == 4.0
    assert parameter.item() < 2


def test_every_factor_of_the_schedule():
    expected = [(k + 1) / 5 for k in range(5)]
    expected += [0.2 + 0.8 * (1 + np.cos(np.pi * (k - 5) / 45)) / 2 for k in range(5, 50)] + [0.2, 0.2]
    np.testing.assert_allclose(rates(50, 0.1, 0.2), expected, rtol=1e-12)
