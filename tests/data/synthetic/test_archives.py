"""Synthetic events as archives: kinds of rain, named by their split and kind, and mixed with others."""

import threading
import time
from collections.abc import Sequence

import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.paths import Together, archive_paths
from nowcast.data.synthetic.archives import SyntheticArchives
from nowcast.data.synthetic.rain import SyntheticRain

RAIN = SyntheticRain(
    shape=[16, 20], frames=6, timestep_minutes=5.0, cell_km=2.0, wet_fraction=0.3, spectral_slope=3.0,
    outer_scale_km=30.0, decorrelation_minutes=60.0, decorrelation_exponent=0.8, speed_kmh=[20.0, 30.0], eddy_kmh=5.0,
    turn_degrees_per_hour=5.0, growth_amplitude=0.2, growth_minutes=240.0, median_rate=1.0, rate_sigma=1.0,
    max_rate=120.0,
)  # fmt: skip
KINDS = {"showers": {"wet_fraction": 0.05}, "still": {"speed_kmh": [0.0, 1.0]}}


def source(folder, kinds=KINDS, events: Sequence[int] = (2, 1, 0)):
    return SyntheticArchives(RAIN, str(folder), *events, seed=3, kinds=kinds)


def test_each_kind_has_its_events_with_its_rain(tmp_path):
    paths = source(tmp_path).paths()
    assert [path.stem for path in paths] == [
        "train_showers_000", "train_showers_001", "val_showers_000", "train_still_000", "train_still_001",
        "val_still_000",
    ]  # fmt: skip
    archives = [Archive(path) for path in paths]
    assert len({str(archive.times[0]) for archive in archives}) == 6  # no two of one time, or they would share blocks
    wet = [float((archive.read(slice(None), slice(None), slice(None)) > 0.1).mean()) for archive in archives]
    assert max(wet[:3]) < 0.15 < min(wet[3:])
    assert "wet_fraction=0.05" in archives[0].attributes["source"]


def test_events_are_made_once(tmp_path):
    before = {path: path.stat().st_mtime_ns for path in source(tmp_path).paths()}
    more = source(tmp_path, events=(3, 1, 0)).paths()
    assert len(more) == 8
    assert {path: path.stat().st_mtime_ns for path in more if path in before} == before


def test_sources_and_files_are_mixed(tmp_path):
    own = source(tmp_path / "one", {}, (1, 0, 0)).paths()
    (tmp_path / "mine").mkdir()
    mine = own[0].rename(tmp_path / "mine" / "radar.nc")
    mixed = archive_paths([str(tmp_path / "mine"), source(tmp_path / "two", events=(1, 0, 0))])
    assert [path.stem for path in mixed] == ["radar", "train_showers_000", "train_still_000"]
    assert mixed[0] == mine
    with pytest.raises(ValueError, match="two archives have the same name"):
        archive_paths([source(tmp_path / "two"), source(tmp_path / "three")])


def test_parts_have_names_and_may_be_left_out(tmp_path):
    for name in ("a", "b"):
        source(tmp_path / name, events=(1, 0, 0), kinds={}).paths()[0].rename(tmp_path / f"{name}.nc")
    parts = {"mine": str(tmp_path / "[ab].nc"), "dropped": None, "synthetic": source(tmp_path / "c", events=(1, 0, 0))}
    names = [path.stem for path in archive_paths(Together(parts))]
    assert names == ["a", "b", "train_showers_000", "train_still_000"]
    with pytest.raises(ValueError, match="two archives have the same name"):
        Together(parts | {"again": str(tmp_path / "a.nc")}).paths()
    with pytest.raises(FileNotFoundError, match="no archive"):
        Together({"mine": str(tmp_path / "none_*.nc")}).paths()
    with pytest.raises(ValueError, match=r"data\.archives is empty"):
        Together({"mine": None}).paths()


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"Small showers": {}}, "must be small letters"),
        ({"showers": {"wet": 0.1}}, r"data\.archives\.kinds\.showers: .*wet.*; there are shape, frames"),
        ({"showers": {"wet_fraction": 2.0}}, "wet_fraction must be"),
    ],
)
def test_wrong_kinds_are_refused_before_anything_is_made(tmp_path, kinds, words):
    with pytest.raises(ValueError, match=words):
        source(tmp_path, kinds)


def test_events_are_made_several_at_once_and_no_more_than_there_are_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    running, most, lock, generate = [0], [0], threading.Lock(), SyntheticRain.generate

    def counted(self, seed):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        result = generate(self, seed)
        with lock:
            running[0] -= 1
        return result

    monkeypatch.setattr(SyntheticRain, "generate", counted)
    paths = source(tmp_path / "two", events=(5, 0, 0), kinds={}).paths()
    assert most == [2]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    alone = source(tmp_path / "one", events=(5, 0, 0), kinds={}).paths()
    for one, other in zip(paths, alone, strict=True):
        first, second = (Archive(path).read(slice(6), slice(16), slice(20)) for path in (one, other))
        assert (first == second).all()
