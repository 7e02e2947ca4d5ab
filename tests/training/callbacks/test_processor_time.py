"""Processor seconds of training: what counts, where it ends, and that a run which is taken up again counts on."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
import yaml

from nowcast.forecasting import checkpoint
from nowcast.training.callbacks import processor_time
from nowcast.training.callbacks.processor_time import (
    SCHEDULE_STEPS,
    DeviceClock,
    ProcessorClock,
    ProcessorTime,
    follow_time,
)
from nowcast.training.optimizers import warmup_cosine
from nowcast.training.task import NowcastTask
from tests.training.resuming import interrupted, rows, same_weights, train

LIMIT = "callbacks.processor_time.limit_seconds"
NO_END = "trainer.max_epochs=-1"


class TickingClock:
    """Every work takes a second."""

    def __init__(self):
        self.seconds = 0.0

    def start(self):
        pass

    def stop(self):
        self.seconds += 1

    def settle(self):
        pass


@pytest.fixture
def ticking(monkeypatch):
    monkeypatch.setattr(processor_time, "ProcessorClock", TickingClock)


def times(folder):
    with (folder / "time.csv").open() as file:
        return [(int(row["epoch"]), int(row["step"]), float(row["processor_seconds"])) for row in csv.DictReader(file)]


# Two batches an epoch, a second each but for the second, whose memory is measured.
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (4, [(0, 2, 1), (1, 4, 3), (2, 5, 4)]),  # in the middle of an epoch
        pytest.param(3, [(0, 2, 1), (1, 4, 3)], marks=pytest.mark.thorough),  # at its end
    ],
)
def test_training_ends_with_the_batch_that_reaches_the_limit_and_is_validated(tmp_path, ticking, limit, expected):
    assert train(tmp_path, "run", NO_END, f"{LIMIT}={limit}") == (0, "")
    assert times(tmp_path / "run") == expected
    last = checkpoint.read(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert last["global_step"] == expected[-1][1]
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    with (tmp_path / "run" / "time.csv").open() as file:
        found = list(csv.DictReader(file))
    logged = [row["val/loss"] for row in rows(tmp_path / "run" / "metrics.csv") if "val/loss" in row]
    assert [row["val/loss"] for row in found] == logged
    assert all(float(row["peak_memory_mib"]) > 0 for row in found)


@pytest.mark.parametrize("batch", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_run_that_is_taken_up_again_counts_on_and_ends_where_it_would_have(tmp_path, ticking, batch):
    settings = [NO_END, f"{LIMIT}=6", "optimizer=adamw"]  # its schedule spans the seconds
    assert train(tmp_path, "whole", *settings) == (0, "")
    interrupted(tmp_path, "part", *settings, epoch=2, batch=batch)
    assert train(tmp_path, "part", *settings, "resume=auto") == (0, "")
    same_weights(tmp_path, "whole", "part")
    assert times(tmp_path / "part") == times(tmp_path / "whole")
    assert rows(tmp_path / "part" / "metrics.csv") == rows(tmp_path / "whole" / "metrics.csv")
    # Once more: nothing is left.
    assert train(tmp_path, "part", *settings, "resume=auto") == (0, "")
    same_weights(tmp_path, "whole", "part")


def test_a_run_that_is_killed_while_its_last_batch_is_validated_is_validated_when_taken_up_again(
    tmp_path, ticking, monkeypatch
):
    settings = [NO_END, f"{LIMIT}=2", "callbacks.last.minutes=1e-9"]  # would save after every batch
    began = NowcastTask.on_validation_epoch_start

    def killed(task):
        if task.global_step == 3:
            raise RuntimeError("killed")
        began(task)

    with monkeypatch.context() as patch:
        patch.setattr(NowcastTask, "on_validation_epoch_start", killed)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path, "run", *settings)
    assert times(tmp_path / "run") == [(0, 2, 1)]
    assert train(tmp_path, "run", *settings, "resume=auto") == (0, "")
    assert times(tmp_path / "run") == [(0, 2, 1), (1, 3, 2)]


def test_neither_validation_nor_what_lies_between_batches_counts(tmp_path, monkeypatch):
    now = [0.0]

    def taking(name, seconds):
        before = getattr(NowcastTask, name)

        def longer(*arguments, **more):
            now[0] += seconds
            return before(*arguments, **more)

        monkeypatch.setattr(NowcastTask, name, longer)

    monkeypatch.setattr(processor_time.time, "process_time", lambda: now[0])
    for name, seconds in (("training_step", 1), ("validation_step", 100), ("on_train_epoch_end", 1000)):
        taking(name, seconds)
    assert train(tmp_path, "run", "trainer.max_epochs=2") == (0, "")
    assert times(tmp_path / "run") == [(0, 2, 2), (1, 4, 4)]


def test_without_a_limit_nothing_is_measured(tmp_path):
    assert train(tmp_path, "run", "trainer.max_epochs=1") == (0, "")
    with (tmp_path / "run" / "time.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert "peak_memory_mib" not in row
    assert 0 < float(row["processor_seconds"]) < 60


@pytest.mark.thorough
def test_a_run_from_before_there_was_such_a_count_goes_on(tmp_path, ticking):
    settings = ["trainer.max_epochs=3"]
    interrupted(tmp_path, "run", *settings)
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["callbacks"]["processor_time"]
    path.write_text(yaml.safe_dump(config))
    assert train(tmp_path, "run", *settings, "resume=auto") == (0, "")
    assert times(tmp_path / "run")[-1][:2] == (2, 6)


def test_the_schedule_spans_the_limit():
    limit = ProcessorTime("", 200)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, SCHEDULE_STEPS, warmup_fraction=0.1, min_factor=0.2)
    optimizer.step()  # PyTorch warns of a schedule that begins before
    assert SCHEDULE_STEPS == 1000
    found = []
    for seconds in (0, 10, 20, 65, 110, 200, 230):
        limit.seconds = seconds
        follow_time(schedule, limit)
        found.append(optimizer.param_groups[0]["lr"])
    # Steps 0, 50, 100, 325, 550 and 1000 of 1000, the first 100 of them rising.
    falling = [0.2 + 0.8 * (1 + math.cos(math.pi * part)) / 2 for part in (0, 0.25, 0.5, 1, 1)]
    assert found == pytest.approx([1 / 100, 51 / 100, *falling])


def test_several_processes_add_up():
    """Of two, this one took 3 s after an earlier 10 s of both, the other 4 s."""
    limit = ProcessorTime("", 17)
    limit.load_state_dict({"seconds": 10.0, "peak_mib": None})
    limit.clock.seconds = 3.0
    strategy = SimpleNamespace(
        root_device=torch.device("cpu"), reduce=lambda own, reduce_op: {"sum": own + 4}[reduce_op]
    )
    trainer = SimpleNamespace(world_size=2, strategy=strategy, should_stop=False)
    limit._add_up(trainer)
    limit._stop_at_limit(trainer)
    assert limit.seconds == 17
    assert trainer.should_stop
    assert limit.state_dict() == {"seconds": 17, "peak_mib": None}


def test_the_processors_clock_adds_up_what_lies_between_start_and_stop(monkeypatch):
    ticks = iter([1.0, 3.0, 10.0, 14.0])
    monkeypatch.setattr(processor_time.time, "process_time", lambda: next(ticks))
    clock = ProcessorClock()
    for _ in range(2):
        clock.start()
        clock.stop()
    assert clock.seconds == 2 + 4


def test_the_devices_clock_waits_for_the_work_before_only(monkeypatch):
    waited = []

    class Mark:
        def __init__(self, at):
            self.at = at

        def synchronize(self):
            waited.append(self.at)

        def elapsed_time(self, other):
            return 1000.0 * (other.at - self.at)

    marks = iter([Mark(1), Mark(3), Mark(10), Mark(14)])
    monkeypatch.setattr(processor_time, "_mark", lambda: next(marks))
    clock = DeviceClock()
    clock.start()
    clock.stop()
    assert (clock.seconds, waited) == (0, [])
    clock.start()
    clock.stop()
    assert (clock.seconds, waited) == (2, [3])
    clock.settle()
    clock.settle()
    assert (clock.seconds, waited) == (2 + 4, [3, 14])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_devices_clock_counts_device_seconds():
    clock, matrix = DeviceClock(), torch.rand(4096, 4096, device="cuda")
    for _ in range(3):
        clock.start()
        for _ in range(10):
            matrix @ matrix
        clock.stop()
    clock.settle()
    assert 1e-4 < clock.seconds < 60


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([NO_END, f"{LIMIT}=0"], "limit_seconds must be above 0 or null, got 0"),
        ([f"{LIMIT}=5"], r"type trainer.max_epochs=-1"),
        ([NO_END, "trainer.max_steps=7", f"{LIMIT}=5"], "trainer.max_steps=7: either might end"),
    ],
)
def test_impossible_limits_are_refused(tmp_path, settings, message):
    code, text = train(tmp_path, "run", *settings)
    assert code == 1
    assert message in text


def test_a_new_run_from_a_checkpoint_has_seconds_left_and_the_schedule_of_before(tmp_path, ticking):
    settings = [NO_END, "optimizer=adamw"]
    assert train(tmp_path, "run", *settings, f"{LIMIT}=2") == (0, "")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for limit, schedule, message in (
        (4, "", f"{LIMIT}: 2 → 4"),  # over which the schedule would span
        (2, "", f"has trained 2 processor seconds; with {LIMIT}=2 none is left: over them the learning rate's"),
        (2, "optimizer=rmsprop_paper", f"none is left: give more, such as {LIMIT}=4"),
    ):
        given = [*settings, *([schedule] if schedule else []), f"{LIMIT}={limit}", f"resume={last}"]
        code, text = train(tmp_path, "more", *given)
        assert code == 1
        assert message in text
