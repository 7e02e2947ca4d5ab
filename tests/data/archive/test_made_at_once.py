"""Archives that several processes make at the same time: ranks of one training, or two trainings."""

import multiprocessing
from collections import Counter
from pathlib import Path

import netCDF4
import pytest

from nowcast.data.archive.archive import Archive
from tests.data.paper.slow_days import make
from tests.programs import TINY, run

COUNT = 3  # processes


@pytest.mark.thorough
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
    from nowcast.data import opened as opening
    from tests.data.archives import moving_rain
    from tests.data.modules import module

    path = moving_rain(tmp_path / "a.nc")
    opened = []
    monkeypatch.setattr(opening, "archive_at", lambda path, *_: opened.append(path) or Archive(path))
    data = module(path, cache=cache)
    data.prepare_data()
    data.setup()
    assert len(opened) == (1 if cache == "none" else 2)


@pytest.mark.thorough
def test_a_run_opens_each_archive_once_for_all_that_it_does_with_it(tmp_path, monkeypatch):
    """Training, calibration, scores, examples and pictures: its header once, its values at most once."""
    folder = tmp_path / "data"
    assert run("check", *TINY, f"data.archives.folder={folder}") == (0, "")  # makes them
    opened = Counter()

    opening = netCDF4.Dataset

    class Kind(type):
        def __instancecheck__(cls, one):
            return isinstance(one, opening)

    class Dataset(metaclass=Kind):
        """Not a subclass: one made in Python ends the process when it is collected as garbage."""

        def __new__(cls, path, *rest, **more):
            opened[Path(path).name] += Path(path).is_relative_to(folder)
            return opening(path, *rest, **more)

    monkeypatch.setattr(netCDF4, "Dataset", Dataset)
    assert run("train", *TINY, f"data.archives.folder={folder}", f"output={tmp_path / 'run'}") == (0, "")
    assert {path.name: opened[path.name] for path in folder.rglob("*.nc")} == dict.fromkeys(
        ("train_000.nc", "train_001.nc", "train_002.nc", "val_000.nc", "test_000.nc"), 2
    )
