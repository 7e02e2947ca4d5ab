"""Archives that several processes make at the same time: ranks of one training, or two trainings."""

import multiprocessing

import pytest

from nowcast.data.archive.archive import Archive
from tests.data.paper.slow_days import make

COUNT = 3  # processes


def test_processes_that_make_the_papers_archives_at_once_get_the_same(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(COUNT), context.Queue()
    processes = [context.Process(target=make, args=(start, tmp_path / "made", answers)) for _ in range(COUNT)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [[path.rsplit("/", 1)[-1] for path in paths] for paths in found] == [["a.nc", "b.nc"]] * COUNT, found
    assert [len(Archive(path).times) for path in found[0]] == [20, 20]
    left = [path.name for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert sorted(left) == [".lock", "a.nc", "archives.txt", "b.nc"]


@pytest.mark.parametrize("cache", ["none", "memmap"])
def test_a_training_opens_its_archives_once_unless_it_unpacks_them(tmp_path, monkeypatch, cache):
    from nowcast.data import datamodule
    from tests.data.archives import moving_rain
    from tests.data.modules import module

    path = moving_rain(tmp_path / "a.nc")
    opened = []
    monkeypatch.setattr(datamodule, "Archive", lambda path: opened.append(path) or Archive(path))
    data = module(path, cache=cache)
    data.prepare_data()
    data.setup()
    assert len(opened) == (1 if cache == "none" else 2)
