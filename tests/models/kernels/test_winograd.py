"""Winograd's convolutions against direct sums in float64."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from nowcast.models.kernels import layer as convlstm_core
from nowcast.models.kernels import winograd
from nowcast.models.kernels.convolution import DirectConvolution, MatrixProduct, convolution_for
from nowcast.models.kernels.winograd import NUMBERS, WinogradConvolution, is_faster, kernel_points
from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.studies.benchmarks.textbook import Textbook
from tests.conftest import thinned

SHAPES = [(1, 1, 1), (1, 3, 2), (2, 4, 4), (1, 5, 9), (3, 13, 8), (2, 50, 50)]  # (B, H, W): below, at and above a tile


def laid_out(*shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _same_numbers_in_each_run():
    torch.manual_seed(0)


@pytest.fixture
def _also_for_16_channels(monkeypatch):
    """Small networks compute the same as large ones in less time."""
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", dict.fromkeys(winograd.FEWEST_CHANNELS, 16))


def operands(shape, channels, kernel, dtype=torch.float32):
    """Inputs, weight, gradient of the outputs."""
    batch, *grid = shape
    inputs, outputs = channels
    return (
        laid_out(batch, inputs, *grid, dtype=dtype),
        laid_out(outputs, inputs, kernel, kernel, dtype=dtype),
        laid_out(batch, outputs, *grid, dtype=dtype),
    )


def exact(images, weight, d_outputs, bias=None):
    """Outputs and both gradients by autograd in float64."""
    images, weight = images.double().requires_grad_(), weight.double().requires_grad_()
    outputs = F.conv2d(images, weight, None if bias is None else bias.double(), padding=weight.shape[-1] // 2)
    return outputs.detach(), *torch.autograd.grad(outputs, (images, weight), d_outputs.double())


def error(ours, expected):
    assert ours.shape == expected.shape
    return ((ours.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("channels", [(16, 16), (16, 48), (64, 16)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 3e-6), (torch.bfloat16, 5e-3)])
def test_equals_a_direct_convolution(kernel, channels, shape, dtype, largest):
    images, weight, d_outputs = operands(shape, channels, kernel, dtype)
    bias = torch.randn(channels[1]).to(dtype)
    expected = exact(images, weight, d_outputs, bias)
    convolution = WinogradConvolution(weight)
    ours = (
        convolution.forward(images, bias),
        convolution.input_gradient(d_outputs, images),
        convolution.weight_gradient(images, d_outputs),
    )
    for name, one, other in zip(("forward", "inputs", "weight"), ours, expected, strict=True):
        assert error(one, other) < largest, name
    assert ours[0].dtype == ours[1].dtype == dtype
    assert ours[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("scratch", [1, 100_000, 10**9])  # a tile at a time, some, all
def test_groups_of_tiles_of_any_size_give_the_same(scratch, monkeypatch):
    monkeypatch.setattr(winograd, "SCRATCH_BYTES", scratch)
    images, weight, d_outputs = operands((2, 11, 10), (16, 32), 3)
    expected, convolution = exact(images, weight, d_outputs), WinogradConvolution(weight)
    assert error(convolution.forward(images, None), expected[0]) < 3e-6
    assert error(convolution.weight_gradient(images, d_outputs), expected[2]) < 3e-6


@pytest.mark.parametrize("kernel", [3, 5])
def test_rounding_is_at_most_five_times_that_of_a_direct_sum(kernel):
    images, weight, d_outputs = operands((2, 24, 24), (64, 64), kernel)
    expected = exact(images, weight, d_outputs)
    ways = WinogradConvolution(weight), DirectConvolution(weight)
    of_forward = [error(way.forward(images, None), expected[0]) for way in ways]
    of_inputs = [error(way.input_gradient(d_outputs, images), expected[1]) for way in ways]
    assert of_forward[0] < 5 * of_forward[1]
    assert of_inputs[0] < 5 * of_inputs[1]


def test_points_of_a_kernel_written_out():
    """1 + 2x + 3x² at 2/3, over (2/3)(4/3)(2/3 - 3/2)(2/3 + 3/2) = -130/81; at infinity the last coefficient."""
    values = kernel_points(3) @ torch.tensor([1.0, 2.0, 3.0])
    assert NUMBERS[1] == 2 / 3
    torch.testing.assert_close(values[1].item(), (1 + 4 / 3 + 12 / 9) / (-130 / 81), rtol=1e-6, atol=0)
    assert values[5] == 3


def test_values_that_are_not_numbers_stay_visible():
    images, weight, _ = operands((1, 9, 9), (16, 16), 3)
    images[0, 3, 4, 4] = torch.nan
    for dtype in (torch.float32, torch.bfloat16):
        outputs = WinogradConvolution(weight.to(dtype)).forward(images.to(dtype), None)
        assert outputs[0, :, 3:6, 3:6].isnan().all(), dtype


def test_outputs_of_zeros_are_the_bias():
    weight, bias = laid_out(16, 16, 3, 3), torch.arange(16.0)
    outputs = WinogradConvolution(weight).forward(torch.zeros_like(laid_out(1, 16, 7, 7)), bias)
    assert torch.equal(outputs, bias[None, :, None, None].expand(outputs.shape))


def test_autocast_does_not_reach_the_products():
    images, weight, _ = operands((1, 8, 8), (16, 16), 3)
    expected = WinogradConvolution(weight).forward(images, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WinogradConvolution(weight).forward(images, None), expected)


def test_where_it_is_used(monkeypatch):
    monkeypatch.setattr(winograd, "_has_bfloat16_tiles", lambda: False)  # whatever this machine has
    weight, images = laid_out(48, 32, 3, 3), laid_out(1, 32, 16, 13)
    assert is_faster(weight, images)
    assert not is_faster(weight, images[..., :12])  # 4·3 tiles: too few
    assert is_faster(weight, laid_out(2, 32, 12, 12))
    for few in (laid_out(48, 16, 3, 3), laid_out(16, 48, 3, 3)):
        given = laid_out(1, few.shape[1], 16, 16)
        assert (is_faster(few, given), is_faster(few.bfloat16(), given.bfloat16())) == (False, True)
        with monkeypatch.context() as patch:
            patch.setattr(winograd, "_has_bfloat16_tiles", lambda: True)
            assert not is_faster(few.bfloat16(), given.bfloat16())
    assert isinstance(convolution_for(weight, images, winograd=True), WinogradConvolution)
    assert isinstance(convolution_for(weight, images, winograd=False), DirectConvolution)
    assert not is_faster(weight.double(), images.double())
    for other in (laid_out(32, 32, 7, 7), laid_out(32, 32, 1, 1), laid_out(32, 4, 3, 3), laid_out(40, 32, 3, 3)):
        assert not is_faster(other, laid_out(1, other.shape[1], 16, 16)), other.shape
    single = laid_out(32, 4, 1, 1)
    assert isinstance(convolution_for(single, laid_out(2, 4, 1, 1), winograd=True), MatrixProduct)


def test_processors_with_bfloat16_tiles_convolve_bfloat16_directly(monkeypatch):
    weight, images = laid_out(32, 32, 3, 3), laid_out(1, 32, 16, 16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert is_faster(weight, images)
    assert not is_faster(weight.bfloat16(), images.bfloat16())


def network(use):
    settings = {"peephole": "channel", "output_peephole": "current", "frame_shape": None}
    return ConvLSTM(1, 4, (16, 32), (3, 5), (5, 3), **settings, winograd=use)


@pytest.mark.usefixtures("_also_for_16_channels")
def test_a_network_gives_and_learns_the_same_as_the_textbook():
    with_it, without, inputs = network(True), network(False), torch.rand(2, 4, 1, 40, 36)
    without.load_state_dict(with_it.state_dict())
    textbook = Textbook(with_it)
    results = []
    for net in (with_it, without, textbook):
        forecast = net(inputs, 5)
        forecast.square().mean().backward()
        results.append((forecast.detach(), net.encoder[0], net.head.weight.grad))
    for other in results[1:]:
        torch.testing.assert_close(results[0][0], other[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(results[0][2], other[2], atol=1e-5, rtol=1e-4)
    for (name, ours), theirs in zip(with_it.named_parameters(), without.parameters(), strict=True):
        assert error(ours.grad, theirs.grad) < 1e-5, name
    assert not torch.equal(results[0][0], results[1][0])  # it was used


CASES = [  # hidden, kernels, batch, frames in, frames out, height and width of the frames
    ((16,), (3,), 1, 1, 2, (64, 68)),
    ((32, 16), (3, 5), 2, 4, 3, (66, 70)),
    ((16, 16, 48), (5, 3, 3), 1, 2, 4, (70, 64)),
]


@pytest.mark.usefixtures("_also_for_16_channels")
@pytest.mark.parametrize(("hidden", "kernels", "batch", "before", "after", "shape"), thinned(CASES, fast=[0]))
@pytest.mark.parametrize("peephole", ["channel", "location", "none"])
@pytest.mark.parametrize(("output_peephole", "recompute"), [("current", True), ("previous", False)])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_every_kind_of_network_learns_as_without_it(
    hidden, kernels, batch, before, after, shape, peephole, output_peephole, recompute, bfloat16
):
    place = {"frame_shape": shape} if peephole == "location" else {"frame_shape": None}
    nets = [
        ConvLSTM(1, 4, hidden, kernels, kernels[::-1], peephole, output_peephole, **place, recompute=way, winograd=use)
        for use, way in ((True, recompute), (False, False))
    ]
    with torch.no_grad():
        for parameter in nets[0].parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2)
    nets[1].load_state_dict(nets[0].state_dict())
    inputs, weights = torch.rand(batch, before, 1, *shape), torch.rand(batch, after, 1, *shape)
    results = []
    for net in nets:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            forecast = net(inputs, after)
        (forecast.float() * weights).sum().backward()
        results.append({"forecast": forecast.detach()} | {name: p.grad for name, p in net.named_parameters()})
    if not bfloat16:  # whose rounding may hide the difference
        assert not torch.equal(results[0]["forecast"], results[1]["forecast"])  # it was used
    for name, expected in results[1].items():
        if expected is None or not expected.any():  # a single frame needs no state
            assert results[0][name] is None or not results[0][name].any(), name
            continue
        # Direct sums in bfloat16 round, too: both are as far from the truth.
        assert error(results[0][name], expected.double()) < (0.05 if bfloat16 else 2e-5), name


@pytest.mark.usefixtures("_also_for_16_channels")
@pytest.mark.parametrize(("hidden", "kernels", "batch", "before", "after", "shape"), CASES)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_forecast_in_shared_memory_is_that_of_training(hidden, kernels, batch, before, after, shape, bfloat16):
    net = ConvLSTM(1, 4, hidden, kernels, kernels[::-1], "channel", "current", None)
    inputs = torch.rand(batch, before, 1, *shape)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        expected = net(inputs, after)
        with torch.no_grad():
            forecast = net(inputs, after)
            net(1 - inputs, after)  # has memory of its own
    torch.testing.assert_close(forecast, expected)


def test_a_forecast_takes_its_gates_from_shared_memory(monkeypatch):
    asked, give = [], convlstm_core.Shared.memory
    monkeypatch.setattr(
        convlstm_core.Shared, "memory", lambda self, use, *rest: asked.append(use) or give(self, use, *rest)
    )
    net = ConvLSTM(1, 4, (32, 32), (3, 3), (3, 3), "none", "current", None)
    with torch.no_grad():
        net(torch.rand(1, 2, 1, 64, 64), 3)
    assert asked.count("state") == 2 * (1 + 2)  # layers times steps that have a state
    assert asked.count("input") == 2  # pieces of the upper layers; frames have too few channels


def test_shared_memory_is_the_same_for_a_use_and_never_too_small():
    shared, images = convlstm_core.Shared(), laid_out(1, 8, 6, 5)
    first = shared.memory("state", images, 16)
    assert first.shape == (1, 16, 6, 5)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert shared.memory("state", images, 16).data_ptr() == first.data_ptr()
    assert shared.memory("state", images[:, :, :3], 8).data_ptr() == first.data_ptr()
    assert shared.memory("input", images, 16).data_ptr() != first.data_ptr()
    assert shared.memory("state", images.bfloat16(), 16).dtype == torch.bfloat16
    assert shared.memory("state", laid_out(2, 8, 6, 5), 32).shape == (2, 32, 6, 5)


@pytest.mark.usefixtures("_also_for_16_channels")
def test_memory_from_inference_serves_training():
    winograd._scratch.__dict__.clear()
    net = network(True)
    with torch.inference_mode():
        net(torch.rand(4, 2, 1, 64, 64), 2)  # needs more than what follows
    net(torch.rand(1, 2, 1, 64, 64), 3).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_the_default_precision_does_not_matter():
    images, weight, d_outputs = operands((1, 16, 16), (16, 16), 3, torch.bfloat16)
    try:
        torch.set_default_dtype(torch.bfloat16)  # as the trainer does with precision=bf16-true
        convolution = WinogradConvolution(weight)
        outputs, gradient = convolution.forward(images, None), convolution.weight_gradient(images, d_outputs)
    finally:
        torch.set_default_dtype(torch.float32)
    expected = exact(images, weight, d_outputs)
    assert error(outputs, expected[0]) < 5e-3
    assert error(gradient, expected[2]) < 5e-3


def test_several_threads_of_python_give_the_same():
    images, weight, _ = operands((2, 30, 30), (16, 32), 3)
    expected = WinogradConvolution(weight).forward(images, None)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: WinogradConvolution(weight).forward(images, None), range(16)))
    assert all(torch.equal(result, expected) for result in results)


def test_without_a_compiler_convolutions_are_direct(monkeypatch):
    weight, images = laid_out(32, 32, 3, 3), laid_out(1, 32, 16, 16)
    monkeypatch.setattr(winograd, "_functions", lambda dtype: None)
    assert isinstance(convolution_for(weight, images, winograd=True), DirectConvolution)


@pytest.mark.usefixtures("_also_for_16_channels")
def test_a_forecast_prepares_each_weight_once(monkeypatch):
    net, made = network(True), []
    prepare = WinogradConvolution._weight_points
    monkeypatch.setattr(
        WinogradConvolution, "_weight_points", lambda self, backward: made.append(id(self)) or prepare(self, backward)
    )
    with torch.no_grad():
        net(torch.rand(1, 5, 1, 64, 64), 12)
    assert len(set(made)) == 7  # of four layers, one without inputs
    made.clear()
    with torch.no_grad():
        net.encoder[0].state_weight.zero_()
        first = net(torch.rand(1, 5, 1, 64, 64), 2)
    assert first.isfinite().all()
    assert len(set(made)) == 7  # anew for each forecast, since weights change


def test_each_convolution_of_a_network_is_judged_by_its_own_images(monkeypatch):
    """A state convolution has the images of one step, that of the inputs those of all steps."""
    seen = []
    monkeypatch.setattr(convlstm_core, "convolution_for", lambda weight, images, winograd: (
        seen.append((weight.shape[1], len(images))), DirectConvolution(weight))[1])  # fmt: skip
    network(True)(torch.rand(2, 5, 1, 40, 36), 4)
    # encoder: 16 channels in, then 16 to 32; forecaster: no inputs at the bottom
    assert seen == [(16, 10), (16, 2), (16, 10), (32, 2), (16, 2), (16, 6), (32, 2)]


def test_anything_but_true_or_false_is_refused():
    with pytest.raises(ValueError, match=r"model\.winograd must be true or false, got 'maybe'"):
        network("maybe")
