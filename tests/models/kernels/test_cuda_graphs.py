"""Training by replayed graphs gives the weights of training without; what a record does not fit is not replayed."""

import copy
import logging
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from nowcast.models.convlstm import ConvLSTM
from nowcast.models.kernels.cuda_graphs import WARM_UP, GraphedNetwork, record_on_cuda
from tests.programs import TINY, rows, run


def make(**change):
    settings = {"patch": 2, "hidden": (4, 3), "input_kernels": (3, 3), "state_kernels": (3, 3), **change}
    torch.manual_seed(1)
    return ConvLSTM(1, **settings, peephole="channel", output_peephole="current", frame_shape=None)


class OnCPU:
    """Handles memory as a CUDA graph does: results always lie in the same place, and shapes are not checked."""

    def __init__(self):
        self.replays, self.records = 0, 0

    def __call__(self, net, inputs):
        self.records += 1
        weights = tuple(net.parameters())
        place, gradients = inputs.clone(), [torch.full_like(weight, torch.nan) for weight in weights]
        with torch.no_grad():
            logits = net(inputs)

        class Replay(torch.autograd.Function):
            @staticmethod
            def forward(ctx, values, *_):
                place.copy_(values)
                with torch.enable_grad():
                    ctx.result = net(place)
                logits.copy_(ctx.result)
                return logits.detach()

            @staticmethod
            def backward(ctx, gradient):
                found = torch.autograd.grad(ctx.result, weights, gradient, allow_unused=True)
                pairs = zip(gradients, found, strict=True)
                return None, *(None if value is None else memory.copy_(value).detach() for memory, value in pairs)

        def replay(values):
            self.replays += 1
            return Replay.apply(values, *weights)

        return replay


def batches(sizes, frames=3, device="cpu"):
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(size, frames, 1, 6, 8, generator=generator).to(device) for size in sizes]


def trained(net, forecast, rain, steps=2, accumulate=1, bfloat16=False):
    """Losses of the steps, and the weights after them."""
    optimizer, losses = torch.optim.SGD(net.parameters(), 0.5), []
    for count, inputs in enumerate(rain, start=1):
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
            logits = forecast(inputs, steps)
        loss = F.mse_loss(torch.sigmoid(logits.float()), inputs[:, :1].expand(-1, steps, -1, -1, -1))
        loss.backward()
        losses.append(loss.detach().cpu())
        if count % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return [*losses, *(weight.detach().cpu() for weight in net.parameters())]


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("frames", [3, 1])  # with one input frame some weights have no gradient
def test_training_by_replay_is_training(accumulate, frames):
    rain = batches([4, 4, 4, 4, 4, 4, 3, 4, 4, 1, 4, 4], frames)
    ours, theirs, record = make(), make(), OnCPU()
    result = trained(ours, GraphedNetwork(ours, record=record), rain, accumulate=accumulate)
    torch.testing.assert_close(result, trained(theirs, theirs, rain, accumulate=accumulate))
    assert record.replays == len(rain) - WARM_UP - 2  # not the first three, nor the two smaller batches


def test_only_what_a_record_fits_is_replayed():
    net, record = make(), OnCPU()
    graphed = GraphedNetwork(net, record=record)
    usual, other = batches([2, 1])
    for _ in range(WARM_UP + 2):
        graphed(usual, 2)
    assert record.replays == 2

    def replays_after(*arguments):
        before = record.replays
        torch.testing.assert_close(graphed(*arguments), net(*arguments))
        return record.replays - before

    assert replays_after(usual, 2) == 1
    assert replays_after(other, 2) == 0  # a graph would repeat the one sequence
    assert replays_after(usual, 3) == 0
    assert replays_after(usual[:, :2], 2) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert replays_after(usual, 2) == 0
    with torch.no_grad():
        assert replays_after(usual, 2) == 0
    assert replays_after(usual.clone().requires_grad_(), 2) == 0  # whose gradient no graph would give
    net.head.bias.requires_grad_(False)
    assert replays_after(usual, 2) == 0
    net.head.bias.requires_grad_()
    for _ in range(WARM_UP + 2):
        assert replays_after(other, 2) == 0  # one kind only
    assert replays_after(usual, 2) == 1
    assert record.records == 1
    net.head.weight.data = net.head.weight.data + 1.0  # the graph would read the weights of before
    assert replays_after(usual, 2) == 0


def test_what_comes_once_is_not_recorded():
    net, record = make(), OnCPU()
    graphed = GraphedNetwork(net, record=record)
    for inputs in batches([1, 2, 3, 4, 1, 2, 3, 4]):
        graphed(inputs, 2)
    assert graphed.recorded is None


def test_a_network_that_cannot_be_recorded_is_trained_without(caplog):
    def fail(net, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    rain, ours, theirs = batches([2] * 8), make(), make()
    with caplog.at_level(logging.WARNING):
        result = trained(ours, GraphedNetwork(ours, record=fail), rain)
    torch.testing.assert_close(result, trained(theirs, theirs, rain))
    assert [record.message for record in caplog.records] == [
        "no CUDA graph could be recorded (operation not permitted when stream is capturing); steps are launched "
        "kernel by kernel, slower"
    ]


def test_on_a_cpu_nothing_is_recorded():
    net = make()
    graphed = GraphedNetwork(net)
    for inputs in batches([2] * 6):
        torch.testing.assert_close(graphed(inputs, 2), net(inputs, 2))
    assert graphed.recorded is None
    assert not graphed.failed


def test_recording_is_asked_of_pytorch_without_autocast_keeping_weights(monkeypatch):
    asked = []

    def record(net, arguments, allow_unused_input):
        asked.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), allow_unused_input))
        assert not torch.is_autocast_cache_enabled()
        return net

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    net, inputs = make(), batches([2])[0]
    graphed = GraphedNetwork(net, record=record_on_cuda)
    for bfloat16 in [True] * 4:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            graphed(inputs, 2)
    assert asked == [(True, torch.bfloat16, True)]
    assert torch.is_autocast_cache_enabled()


def test_a_run_with_graphs_ends_as_one_without(monkeypatch, tmp_path):
    """With what a trainer does around a step: gradients that are clipped and accumulated, averaged weights."""
    record = OnCPU()
    monkeypatch.setattr("nowcast.training.run.validate", lambda config: None)  # refuses graphs on a CPU
    monkeypatch.setattr("nowcast.training.task.GraphedNetwork", partial(GraphedNetwork, record=record))
    losses = []
    for graphs in (False, True):
        folder = tmp_path / str(graphs)
        settings = [f"output={folder}", f"data.archives.folder={tmp_path / 'data'}", f"cuda_graphs={graphs}"]
        more = ["evaluate=false", "callbacks=ema", "trainer.max_epochs=4", "trainer.accumulate_grad_batches=2"]
        assert run("train", *TINY, *settings, *more) == (0, "")
        losses.append([float(row["val/loss"]) for row in rows(folder / "metrics.csv") if row["val/loss"]])
    assert record.replays > 0
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_replay_on_cuda(accumulate, bfloat16, recompute):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rain = batches([4] * 10 + [3, 4, 4], device="cuda")
    ours = make(recompute=recompute).cuda()
    theirs = copy.deepcopy(ours)
    graphed = GraphedNetwork(ours)
    result = trained(ours, graphed, rain, accumulate=accumulate, bfloat16=bfloat16)
    expected = trained(theirs, theirs, rain, accumulate=accumulate, bfloat16=bfloat16)
    assert graphed.recorded is not None
    assert not graphed.failed
    tolerance = 0.02 if bfloat16 else 1e-4
    torch.testing.assert_close(result, expected, atol=tolerance, rtol=tolerance)
