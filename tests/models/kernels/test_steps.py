"""One fused step, forward and backward, against autograd of the equations; on each kind of processor."""

import importlib.util
import os

import pytest
import torch

from nowcast.models.kernels.steps import EagerSteps, Gates
from nowcast.models.kernels.steps_cpu import native_steps

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None


@pytest.fixture(
    params=[
        "eager",
        "native",
        # On a CUDA device, or anywhere by `pip install triton` and TRITON_INTERPRET=1
        pytest.param("triton", marks=() if INTERPRETED else pytest.mark.gpu),
    ]
)
def place(request):
    """(Steps, device)."""
    if request.param == "eager":
        return EagerSteps(), "cpu"
    if request.param == "native":
        return native_steps(torch.float32), "cpu"
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("no CUDA device, and TRITON_INTERPRET is not 1")
    from nowcast.models.kernels.steps_cuda import TritonSteps

    return TritonSteps(), "cpu" if INTERPRETED else "cuda"


def equations(from_input, from_state, cell, peephole, current):
    """New cell and hidden state, as the paper has them."""
    i, f, g, o = (from_input + from_state).chunk(4, dim=1)
    w_i, w_f, w_o = peephole
    new = torch.sigmoid(f + w_f * cell) * cell + torch.sigmoid(i + w_i * cell) * torch.tanh(g)
    return new, torch.sigmoid(o + w_o * (new if current else cell)) * torch.tanh(new)


SHAPES = [(2, 3, 5, 4), (1, 1, 1, 1), (3, 70, 6, 7), (1, 16, 9, 8)]


@pytest.mark.parametrize("absent", ["nothing", "input", "state", "cell", "peephole", "gradients"])
@pytest.mark.parametrize("peephole_shape", ["channel", "location"])
@pytest.mark.parametrize("current", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_and_its_gradients(place, shape, current, peephole_shape, absent):
    steps, device = place
    batch, channels, *grid = shape
    generator = torch.Generator().manual_seed(1)

    def draw(*size):
        values = torch.randn(size, generator=generator).to(device)
        return values.contiguous(memory_format=torch.channels_last)

    gates_shape = (batch, 4 * channels, *grid)
    arrays = {
        "input": draw(*gates_shape),
        "state": draw(*gates_shape),
        "cell": draw(*shape),
        "peephole": draw(3, channels, *(grid if peephole_shape == "location" else (1, 1))),
    }
    d_hidden, d_later, d_new_cell = draw(*shape), draw(*shape), draw(*shape)
    if absent in arrays:
        arrays[absent].zero_()
    if absent == "gradients":
        d_later.zero_()
        d_new_cell.zero_()
    leaves = {name: value.clone().requires_grad_() for name, value in arrays.items()}
    new, hidden = equations(*leaves.values(), current)
    expected = torch.autograd.grad((new, hidden), list(leaves.values()), (d_new_cell, d_hidden + d_later))

    given = {name: None if name == absent else value for name, value in arrays.items()}
    gates, rest = Gates(given["input"], given["state"]), (given["peephole"], current)
    our_new, our_hidden, kept = torch.empty_like(new), torch.empty_like(new), torch.empty_like(arrays["input"])
    steps.forward(gates, given["cell"], *rest, kept, our_new, our_hidden)
    exact = {"atol": 2e-6, "rtol": 2e-5}
    torch.testing.assert_close((our_new, our_hidden), (new.detach(), hidden.detach()), **exact)
    torch.testing.assert_close(kept, arrays["input"] + arrays["state"], **exact)

    without = absent == "gradients"
    sums = steps.make_sums(our_new)
    d_gates = kept.clone(memory_format=torch.preserve_format)
    d_cell = steps.backward(
        Gates(d_gates, None),  # the gradient overwrites what was kept
        given["cell"],
        our_new,
        *rest,
        d_hidden,
        None if without else d_later,
        None if without else d_new_cell,
        d_gates,
        sums,
    )
    torch.testing.assert_close(d_gates, expected[0], **exact)
    if absent != "cell":
        torch.testing.assert_close(d_cell, expected[2], **exact)
    total = sums.sum(0).float()
    scale = {"atol": 1e-5 * batch * grid[0] * grid[1], "rtol": 1e-4}
    torch.testing.assert_close(total[:4].reshape(-1), expected[0].sum((0, 2, 3)), **scale)
    if peephole_shape == "channel" and absent not in ("peephole", "cell"):
        torch.testing.assert_close(total[4:], expected[3][..., 0, 0], **scale)
