"""One step of training: what a network may add to it, and what is random in it."""

import pytest
import torch
from torch import nn

from nowcast.forecasting.heads import ExceedanceHead, GreyHead
from nowcast.scaling import Brightness, GreyScale
from nowcast.training.losses.cells import CrossEntropy, MeanSquaredError
from nowcast.training.task import NowcastTask
from tests.training.resuming import interrupted, same_weights, train


def task_of(net, head=None, scaling=None, loss=None):
    loss = loss or MeanSquaredError("cell")
    task = NowcastTask(net, head or GreyHead(), scaling or Brightness(), loss, None, None, [], None, None, None, 2, {})
    task.log = lambda *arguments, **settings: None
    return task


def batch(inputs=3, targets=2, shape=(4, 5), top=1.0):
    draw = torch.Generator().manual_seed(0)
    frames = torch.rand(2, inputs + targets, 1, *shape, generator=draw) * top
    frames[:, 1, :, 0] = torch.nan  # among the inputs
    frames[:, -1, :, 1] = torch.nan
    mask = frames[:, inputs:].isfinite()
    mask[:, :, :, 2] = False  # of another tile
    return {"inputs": frames[:, :inputs], "targets": frames[:, inputs:], "mask": mask}


class Told(nn.Module):
    """Says what it was built with, and keeps what it was told."""

    def __init__(self, says):
        super().__init__()
        self.says = nn.Parameter(says)

    def taught(self, inputs, future, step):
        self.inputs, self.future, self.step = inputs, future, step
        return self.says


def test_a_network_that_is_taught_sees_what_follows_and_is_judged_by_all_that_it_says():
    one = batch()
    net = Told(torch.randn(4, 4, 1, 4, 5))  # two things of each of two samples, of the last 4 of 5 frames
    loss = task_of(net).training_step(one, 0)
    frames = torch.cat([one["inputs"], one["targets"]], dim=1)
    assert (net.inputs.isfinite().all(), net.future.isfinite().all()) == (True, True)
    torch.testing.assert_close(net.future, one["targets"].nan_to_num(0.0))
    assert net.step == 0
    total, cells = 0.0, 0
    for sample in range(4):
        for time in range(4):
            for row in range(4):
                masked = row == 2 if time >= 2 else False
                for column in range(5):
                    true = frames[sample % 2, time + 1, 0, row, column]
                    if not masked and true.isfinite():
                        total += float((torch.sigmoid(net.says[sample, time, 0, row, column]) - true).detach() ** 2)
                        cells += 1
    assert cells == 4 * (15 + 20 + 15 + 10)
    assert float(loss.detach()) == pytest.approx(total / cells, rel=1e-6)


def test_gradients_of_what_is_taught_are_finite_and_none_comes_from_cells_without_data():
    net = Told(torch.zeros(2, 4, 2, 4, 5))
    head = ExceedanceHead((0.5, 2.0))
    task = task_of(net, head, GreyScale(118.239, 1.5241, -10.0, 60.0), CrossEntropy("cell"))
    task.training_step(batch(top=4.0), 0).backward()
    assert net.says.grad.isfinite().all()
    assert (net.says.grad[:, 0, :, 0] == 0).all()
    assert (net.says.grad[:, 1, :, 0] != 0).all()


class Adds(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def penalty(self):
        return 2 * self.weight


class Plain(nn.Module):
    """Says zeros, by parts that add to the loss."""

    def __init__(self, *parts):
        super().__init__()
        self.parts, self.drop = nn.ModuleList(parts), nn.Dropout(0.5)

    def forward(self, frames, forecast_steps):
        self.seen = self.drop(torch.ones(64))
        return torch.zeros(len(frames), forecast_steps, 1, *frames.shape[3:], requires_grad=True)


def test_what_parts_add_is_in_the_loss_of_training_and_not_in_that_of_validation():
    one, parts = batch(), [Adds(), nn.Sequential(Adds())]
    without, task = task_of(Plain()), task_of(Plain(*parts))
    loss = task.training_step(one, 0)
    assert float(loss.detach()) == pytest.approx(float(without.training_step(one, 0).detach()) + 12)
    loss.backward()
    assert parts[0].weight.grad == 2
    task.validation_step(one, 0)
    without.validation_step(one, 0)
    assert task.validation_loss.compute() == without.validation_loss.compute()


def test_what_is_random_in_a_step_is_that_of_seed_epoch_and_batch(monkeypatch):
    def drawn(seed, batch_index, epoch=0, rank=0):
        torch.manual_seed(seed)
        task = task_of(Plain())
        torch.rand(seed + batch_index)  # whatever was drawn before
        monkeypatch.setattr(NowcastTask, "current_epoch", epoch)
        monkeypatch.setattr(NowcastTask, "global_rank", rank)
        task.training_step(batch(), batch_index)
        return tuple(task.net.seen.tolist())

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(1, 2), drawn(1, 3), drawn(2, 2), drawn(1, 2, epoch=1), drawn(1, 2, rank=1)}) == 5


@pytest.mark.thorough  # the draws of a step and its number are looked at above
def test_a_run_that_samples_by_a_schedule_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    settings = [
        "model=predrnn_v2", "model.hidden=3", "model.layers=1", "model.kernel=3", "model.sampling_from=2",
        "model.sampling_to=9", "model.sampling_decay=2", "trainer.max_epochs=3", "data.batch_size=2",
    ]  # fmt: skip
    assert train(tmp_path, "whole", *settings) == (0, "")
    interrupted(tmp_path, "part", *settings, epoch=1, batch=2)
    assert train(tmp_path, "part", *settings, "resume=auto") == (0, "")
    same_weights(tmp_path, "whole", "part")
