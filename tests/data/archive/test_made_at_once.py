"""Archives that several processes make at the same time: ranks of one training, or two trainings."""

import multiprocessing
import time
from dataclasses import dataclass

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.paper.days import Day
from tests.data.paper.test_hko import archives

COUNT = 3  # processes


@dataclass(frozen=True)
class SlowDays:
    """Two days whose frames take a while."""

    cell_km = 1.0
    provider = licence = "test"

    def fingerprint(self):
        return "days"

    def days(self):
        times = np.datetime64("2024-05-01", "s") + np.arange(20) * np.timedelta64(360, "s")
        return [Day(name, times, self.frames, name) for name in ("a", "b")]

    def frames(self):
        for k in range(20):
            time.sleep(0.03)
            yield np.full((12, 12), k / 20, dtype=np.float32)


def make(start, folder, answers):
    source = archives(SlowDays(), folder)
    start.wait(timeout=120)
    try:
        answers.put([str(path) for path in source.paths()])
    except Exception as error:  # the test shows what
        answers.put(repr(error))


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
    from tests.data.test_datamodule import module

    path = moving_rain(tmp_path / "a.nc")
    opened = []
    monkeypatch.setattr(datamodule, "Archive", lambda path: opened.append(path) or Archive(path))
    data = module(path, cache=cache)
    data.prepare_data()
    data.setup()
    assert len(opened) == (1 if cache == "none" else 2)
