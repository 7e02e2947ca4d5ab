"""The layer with its own backward pass against the plain step-by-step form and against the textbook network."""

import pytest
import torch

from nowcast.models.kernels import compiler as native
from nowcast.models.kernels import layer as convlstm_core
from nowcast.models.kernels import steps as cell_steps
from nowcast.models.kernels import steps_cpu as cell_native
from nowcast.models.kernels import winograd
from nowcast.models.kernels.layer import Execution
from nowcast.models.kernels.steps import EagerSteps
from nowcast.models.networks.convlstm import ConvLSTM, ConvLSTMCell
from nowcast.models.networks.fc_lstm import FCLSTM
from nowcast.studies.benchmarks.textbook import Textbook
from tests.conftest import thinned

IN_ONE_PASS = Execution(recompute=False, winograd=True)


def make(hidden=(5, 3), kernels=(3, 5), patch=1, recompute=False, seed=0, **options):
    settings = {"peephole": "channel", "output_peephole": "current", "frame_shape": None} | options
    net = ConvLSTM(1, patch, hidden, kernels, kernels[::-1], **settings, recompute=recompute)
    return randomise(net, seed)


@pytest.fixture(autouse=True)
def _same_inputs_in_each_run():
    torch.manual_seed(0)


def randomise(net, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net


def results(net, inputs, steps, bfloat16=False):
    """Forecast and the gradient of every parameter and of the inputs."""
    net.zero_grad()
    inputs = inputs.clone().requires_grad_()
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
        forecast = net(inputs, steps)
    weights = torch.linspace(-0.5, 1, forecast.numel(), device=inputs.device).reshape(forecast.shape)
    (forecast.float() * weights).sum().backward()
    return {"forecast": forecast.detach(), "inputs": inputs.grad} | {k: p.grad for k, p in net.named_parameters()}


def plain_results(net, inputs, steps, monkeypatch, bfloat16=False):
    with monkeypatch.context() as patch:
        patch.setattr(ConvLSTMCell, "run", lambda cell, frames, state, n, _: cell.run_step_by_step(frames, state, n))
        return results(net, inputs, steps, bfloat16)


def assert_close(ours, theirs, relative):
    """Each array within `relative` of its largest value: rounding errors have the size of the largest terms."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        if expected is None:  # with one forecast step the forecaster is not run
            assert ours[name] is None, name
            continue
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            ours[name], expected, atol=relative * scale, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.fixture(params=["native", "eager"])
def steps_used(request, monkeypatch):
    """Run a test with the compiled kernel and without it."""
    if request.param == "eager":
        monkeypatch.setattr(convlstm_core, "steps_for", lambda like: EagerSteps())
    return request.param


LAYERS = [((5,), (3,)), ((5, 3), (3, 5)), ((2, 17, 3), (1, 3, 5))]
CASES = [
    (peephole, output_peephole, hidden, kernels)
    for peephole in ("channel", "location", "none")
    for output_peephole in ("current", "previous")
    for hidden, kernels in LAYERS
]


# Of those that stay, all layers, both kinds of output and all peepholes are.
@pytest.mark.parametrize(("peephole", "output_peephole", "hidden", "kernels"), thinned(CASES, fast=[0, 5, 10, 15]))
@pytest.mark.parametrize("recompute", [False, True])
def test_equals_the_plain_form(peephole, output_peephole, hidden, kernels, recompute, steps_used, monkeypatch):
    shape = (7, 6)
    options = {"peephole": peephole, "output_peephole": output_peephole}
    if peephole == "location":
        options["frame_shape"] = shape
    net = make(hidden, kernels, recompute=recompute, **options)
    x = torch.rand(2, 3, 1, *shape)
    assert_close(results(net, x, 4), plain_results(net, x, 4, monkeypatch), 2e-5)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 3000, 10**9])  # a step at a time, some, the whole sequence
def test_pieces_of_any_length_give_the_same(piece_bytes, recompute, monkeypatch):
    monkeypatch.setitem(convlstm_core.PIECE_BYTES, "cpu", piece_bytes)
    net = make(recompute=recompute).double()
    x = torch.rand(1, 5, 1, 4, 5, dtype=torch.float64)
    assert_close(results(net, x, 6), plain_results(net, x, 6, monkeypatch), 1e-12)


@pytest.mark.parametrize(("batch", "input_steps", "forecast_steps"), [(1, 1, 1), (1, 1, 2), (3, 2, 1), (1, 4, 5)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (8, 8)])
def test_short_sequences_and_odd_sizes(batch, input_steps, forecast_steps, shape, steps_used, monkeypatch):
    net = make(patch=2)
    x = torch.rand(batch, input_steps, 1, *shape)
    ours = results(net, x, forecast_steps)
    assert_close(ours, plain_results(net, x, forecast_steps, monkeypatch), 2e-5)


@pytest.mark.parametrize("peephole", ["channel", "none"])
def test_bfloat16_equals_the_plain_form_to_its_precision(peephole, steps_used, monkeypatch):
    net = make((16, 24), (3, 3), peephole=peephole)
    x = torch.rand(2, 4, 1, 12, 10)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x, 2).dtype == torch.bfloat16
    exact = plain_results(net, x, 4, monkeypatch)
    ours, plain = results(net, x, 4, bfloat16=True), plain_results(net, x, 4, monkeypatch, bfloat16=True)
    for name, expected in exact.items():
        error, of_plain = ((r[name].float() - expected).norm() / expected.norm() for r in (ours, plain))
        assert error < max(2 * of_plain, 0.02), name  # no less exact than what it stands for


def test_bfloat16_weights_are_trained_in_bfloat16(steps_used):
    net = make((8,), (3,)).bfloat16()
    net(torch.rand(1, 2, 1, 6, 6).bfloat16(), 3).float().sum().backward()
    assert {parameter.grad.dtype for parameter in net.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("output_peephole", ["current", "previous"])
@pytest.mark.parametrize("peephole", ["channel", "location", "none"])
def test_float64_equals_the_textbook(peephole, output_peephole):
    frame_shape = (6, 6) if peephole == "location" else None
    net = make(peephole=peephole, output_peephole=output_peephole, frame_shape=frame_shape).double()
    textbook = Textbook(net)
    x = torch.rand(2, 3, 1, 6, 6, dtype=torch.float64)
    ours, theirs = results(net, x, 4), results(textbook, x, 4)
    torch.testing.assert_close(ours["forecast"], theirs["forecast"], atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(ours["inputs"], theirs["inputs"], atol=1e-12, rtol=1e-10)
    for stack in ("encoder", "forecaster"):
        for layer in (0, 1):
            joined = theirs[f"{stack}.{layer}.convolution.weight"]
            state = ours[f"{stack}.{layer}.state_weight"]
            margin = (joined.shape[-1] - state.shape[-1]) // 2
            inner = joined[:, -state.shape[1] :, margin : joined.shape[-1] - margin, margin : joined.shape[-1] - margin]
            torch.testing.assert_close(state, inner, atol=1e-12, rtol=1e-10)
            bias = theirs[f"{stack}.{layer}.convolution.bias"]
            torch.testing.assert_close(ours[f"{stack}.{layer}.bias"], bias, atol=1e-12, rtol=1e-10)
            if peephole != "none":
                name = f"{stack}.{layer}.peephole"
                torch.testing.assert_close(ours[name], theirs[name], atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("peephole", ["channel", "location", "none"])
def test_layer_gradients_are_those_of_finite_differences(peephole):
    torch.manual_seed(0)
    frame_shape = (2, 3) if peephole == "location" else None
    cell = randomise(ConvLSTMCell(1, 2, 3, 1, peephole, "previous", frame_shape)).double()
    values = [p.detach().clone().requires_grad_() for p in cell.parameters()]
    state = [torch.rand(1, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    x = torch.rand(2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in cell.named_parameters()]

    def run(x, hidden, c, *values):
        for name, value in zip(names, values, strict=True):
            delattr(cell, name)
            setattr(cell, name, value)
        outputs, last = cell.run(x, (hidden, c), 2, IN_ONE_PASS)
        return outputs, *last

    assert torch.autograd.gradcheck(run, (x, *state, *values))


def test_a_graph_can_be_used_twice():
    net = make()
    forecast = net(torch.rand(1, 3, 1, 6, 6), 4).square().sum()
    first = torch.autograd.grad(forecast, list(net.parameters()), retain_graph=True)
    second = torch.autograd.grad(forecast, list(net.parameters()))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * one.abs().max().item(), rtol=0)


def test_the_same_step_gives_the_same_bits():
    net, x = make((16, 8), (3, 3)), torch.rand(3, 4, 1, 20, 20)
    first, second = results(net, x, 5), results(net, x, 5)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_not_a_number_stays_visible(steps_used):
    net, x = make(), torch.rand(1, 2, 1, 5, 5)
    x[0, 0, 0, 2, 2] = torch.nan
    assert net(x, 2).isnan().any()
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x, 2).isnan().any()


def test_large_pre_activations_saturate(steps_used):
    net = make((3,), (3,))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1e4)
    assert all(value.isfinite().all() for value in results(net, torch.rand(1, 3, 1, 5, 5), 3).values())


def test_fc_lstm_equals_the_plain_form(steps_used, monkeypatch):
    net = randomise(FCLSTM((3, 5), (7, 4), "diagonal"))
    x = torch.rand(2, 3, 1, 3, 5)
    assert_close(results(net, x, 4), plain_results(net, x, 4, monkeypatch), 2e-5)


def test_without_a_gradient_nothing_is_kept():
    net = make()
    with torch.no_grad():
        forecast = net(torch.rand(1, 3, 1, 6, 6), 4)
    assert forecast.grad_fn is None


def test_recomputing_keeps_less_memory():
    kept = {}
    for recompute in (False, True):
        net, sizes = make((16, 16), (3, 3), recompute=recompute), []
        out = net(torch.rand(1, 4, 1, 16, 16), 5)
        stack = [out.grad_fn]
        while stack:
            node = stack.pop()
            stack += [parent for parent, _ in node.next_functions if parent is not None]
            sizes += [piece.numel() for piece in getattr(node, "kept", [])]
        kept[recompute] = sum(set(sizes))
    assert kept[True] == 0 < kept[False]


# -- the kernel of the CPU --------------------------------------------------------------------------------------


def test_the_kernel_is_compiled_here():
    """CI has a compiler: without this test a broken kernel would only be slow."""
    for source in (cell_native.SOURCE, winograd.SOURCE):
        assert native.library(source, torch.float32) is not None
        assert native.library(source, torch.bfloat16) is not None


def test_without_a_compiler_the_plain_operations_take_over(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    cell_native.native_steps.cache_clear()
    native.library.cache_clear()
    try:
        assert isinstance(cell_steps.steps_for(torch.zeros(1)), EagerSteps)
        assert "no C compiler found" in caplog.text
    finally:
        cell_native.native_steps.cache_clear()
        native.library.cache_clear()


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'no such target' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(native.NoCompilerError, match="broken-cc failed: no such target"):
        native.compile_kernel(cell_native.SOURCE, torch.float32)


def test_the_kernel_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = native.compile_kernel(cell_native.SOURCE, torch.float32)
    monkeypatch.setattr(native.subprocess, "run", None)  # would fail if it were called
    assert native.compile_kernel(cell_native.SOURCE, torch.float32) == first
    assert first.is_relative_to(tmp_path)


def test_wrong_arrays_are_refused_before_the_kernel_reads_them():
    steps = cell_native.native_steps(torch.float32)
    cell, gates = torch.zeros(1, 2, 3, 3), torch.zeros(1, 8, 3, 3)
    cell = cell.contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="channels-last"):
        steps.forward(cell_steps.Gates(gates, None), None, None, True, None, cell, cell.clone())


@pytest.mark.gpu
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("peephole", ["channel", "location", "none"])
def test_cuda_equals_cpu(peephole, bfloat16):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net = make((16, 24), (3, 5), peephole=peephole, frame_shape=(9, 11) if peephole == "location" else None)
    x = torch.rand(2, 4, 1, 9, 11)
    expected = results(net, x, 4)
    ours = {name: value.cpu().float() for name, value in results(net.cuda(), x.cuda(), 4, bfloat16).items()}
    assert_close(ours, expected, 0.05 if bfloat16 else 1e-4)
