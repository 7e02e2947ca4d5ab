"""More processes than windows are refused in a line before any is started; as many as windows train."""

from types import SimpleNamespace

import pytest

from nowcast.config.mistakes import UsageError
from nowcast.training.validate import refuse_idle_processes
from tests.programs import TINY, run
from tests.training.together.test_distributed import TWO, ended, program, start, validation


def data(train, val, batches):
    return SimpleNamespace(
        dataset=lambda split: range({"train": train, "val": val}[split]), ordered_loader=lambda split: range(batches)
    )


@pytest.mark.parametrize(
    ("train", "val", "batches", "devices", "nodes"), [(0, 0, 0, 1, 1), (2, 2, 2, 2, 1), (4, 9, 4, 2, 2)]
)
def test_as_many_batches_as_processes_are_enough(train, val, batches, devices, nodes):
    refuse_idle_processes(data(train, val, batches), devices, nodes)


@pytest.mark.parametrize(
    ("train", "val", "batches", "devices", "nodes", "words"),
    [
        (9, 1, 1, 2, 1, "2 processes, and the number of validation windows is 1: .* with at most 1 processes, such as"),
        (3, 9, 9, 2, 2, "trainer.num_nodes=2 are 4 processes, and the number of training windows is 3"),
        (9, 7, 2, 3, 1, "the 7 validation windows make 2 batches: .* Type data.batch_size=2 or less, .* at most 2"),
    ],
)
def test_fewer_are_refused_with_what_to_type(train, val, batches, devices, nodes, words):
    with pytest.raises(UsageError, match=words) as caught:
        refuse_idle_processes(data(train, val, batches), devices, nodes)
    assert "\n" not in str(caught.value)


def test_a_training_of_two_processes_with_one_validation_batch_is_refused_before_they_begin(tmp_path):
    """The windows of one event of 12 frames, of 7 frames each, four frames apart: two, in one batch."""
    settings = [*TINY, f"data.archives.folder={tmp_path / 'data'}", f"output={tmp_path / 'run'}", *TWO]
    code, message = run("train", *settings)
    assert code == 1
    assert "the 2 validation windows make 1 batches: each process needs one. Type data.batch_size=1 or less" in message
    assert "\n" not in message
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_with_a_validation_window_each(tmp_path):
    folder = tmp_path / "run"
    ended([start(program(folder, *TWO, "data.windows.stride=4", "data.batch_size=1"))])
    assert len(validation(folder)) == 2
    assert (folder / "evaluation" / "scores.csv").exists()
