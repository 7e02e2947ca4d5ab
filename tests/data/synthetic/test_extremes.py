"""Synthetic extremes: cells are where they were said to be, cases are what they are called, members stand apart."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nowcast.config.build import build
from nowcast.data.archive.archive import Archive
from nowcast.data.synthetic.extremes import Cell, ExtremeArchives, RainSystem
from tests.programs import composed

CASES = ["small_cell", "squall_line", "stationary", "entering", "dissolving"]
MEMBERS = 4
ONE_CELL = RainSystem(
    cells=(1, 1), radius_km=(6.0, 6.0), elongation=(1.0, 1.0), peak=(8.0, 8.0), veil=(0.0, 0.0), length_km=(0.0, 0.0),
    width_km=(0.0, 0.0), speed_kmh=(36.0, 36.0), growth_per_hour=(0.0, 0.0), enters_minutes=None,
)  # fmt: skip


def archives(folder, **changes):
    options = {
        "cases": {"cell": ONE_CELL}, "members": 2, "seed": 0, "shape": (48, 64), "frames": 7, "timestep_minutes": 5.0,
        "cell_km": 2.0,
    }  # fmt: skip
    return ExtremeArchives(str(folder), **(options | changes))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extremes")
    smaller = [f"data.archives.folder={folder}", f"data.archives.members={MEMBERS}"]
    return build(composed("data=extremes", *smaller, program="evaluate").data.archives)


@pytest.fixture(scope="module")
def rain(shipped):
    """Case → (members, T, H, W), as it is read from its archive."""
    read = {path.stem: Archive(path).read(slice(None), slice(None), slice(None)) for path in shipped.paths()}
    return {case: fields.reshape(-1, 17, 96, 96) for case, fields in read.items()}


# -- one cell --------------------------------------------------------------------------------------------------------


def test_a_cell_moves_and_grows_as_computed_by_hand():
    cell = Cell(30.0, 60.0, 36.0, -12.0, 8.0, 4.0, math.pi / 2, 5.0, math.log(2))  # its long axis points north
    assert cell.rain_rate(np.array(0.0), np.array(30.0), np.array(60.0)) == pytest.approx(5.0)
    half = np.array(0.5)  # hours: 18 km further east, 6 km further south, and √2 times as much
    assert cell.rain_rate(half, np.array(48.0), np.array(54.0)) == pytest.approx(5.0 * math.sqrt(2))
    one_sigma = 5.0 * math.sqrt(2) * math.exp(-0.5)
    assert cell.rain_rate(half, np.array(48.0), np.array(54.0 + 8.0)) == pytest.approx(one_sigma)
    assert cell.rain_rate(half, np.array(48.0 - 4.0), np.array(54.0)) == pytest.approx(one_sigma)


@pytest.mark.parametrize("member", range(2))
def test_the_archive_has_the_cell_where_it_is(tmp_path, member):
    source = archives(tmp_path)
    (cell,) = source.cells("cell", member)
    assert math.hypot(cell.eastward_kmh, cell.northward_kmh) == pytest.approx(36.0)
    fields = Archive(source.paths()[0]).read(slice(None), slice(None), slice(None))[7 * member : 7 * member + 7]
    for k, field in enumerate(fields):
        row, column = np.unravel_index(field.argmax(), field.shape)
        east, north = cell.east_km + cell.eastward_kmh * k / 12, cell.north_km + cell.northward_kmh * k / 12
        assert abs(2.0 * column - east) <= 1.0
        assert abs(2.0 * (47 - row) - north) <= 1.0  # row 0 is north
    # 2π·σ² km² of 8 mm/h, in cells of 4 km²: all of it is on the grid.
    assert fields[3].sum() == pytest.approx(8 * 2 * math.pi * 36 / 4, rel=0.01)


def test_what_enters_has_its_middle_on_an_edge_when_it_was_said(tmp_path):
    system = replace(ONE_CELL, enters_minutes=(20.0, 20.0))
    sides = set()
    for seed in range(24):
        (cell,) = archives(tmp_path, cases={"cell": system}, seed=seed).cells("cell", 0)
        east, north = (
            start + speed / 3
            for start, speed in ((cell.east_km, cell.eastward_kmh), (cell.north_km, cell.northward_kmh))
        )
        distances = {"west": east, "east": 126 - east, "south": north, "north": 94 - north}
        side, distance = min(distances.items(), key=lambda item: abs(item[1]))
        assert distance == pytest.approx(0, abs=1e-9)
        inwards = {"west": cell.eastward_kmh, "east": -cell.eastward_kmh, "south": cell.northward_kmh}
        assert inwards.get(side, -cell.northward_kmh) > 36 * 0.86  # at most 30 degrees aslant
        sides.add(side)
    assert len(sides) == 4


# -- the source ------------------------------------------------------------------------------------------------------


def test_a_member_is_its_seed_case_and_number(tmp_path):
    more = {"other": replace(ONE_CELL, peak=(5.0, 20.0)), "cell": ONE_CELL}
    first, later = archives(tmp_path), archives(tmp_path, cases=more, members=5)
    assert first.rain_rate("cell", 1).tobytes() == later.rain_rate("cell", 1).tobytes()
    assert first.cells("cell", 0) != first.cells("cell", 1)
    assert first.cells("cell", 0) != archives(tmp_path, seed=1).cells("cell", 0)
    assert archives(tmp_path, members=1).rain_rate("cell", 0).dtype == np.float32


def test_archives_are_made_once_and_other_settings_have_their_own(tmp_path):
    (path,) = archives(tmp_path).paths()
    stamp = path.stat().st_mtime_ns
    assert archives(tmp_path).paths() == [path]
    assert path.stat().st_mtime_ns == stamp
    assert archives(tmp_path, members=1).paths() != [path]
    assert "radius_km=(6.0, 6.0)" in Archive(path).attributes["source"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": {}}, "cases must be at least one"),
        ({"cases": {"Small cell": ONE_CELL}}, "'Small cell' must be small letters"),
        ({"members": 0}, "members must be >= 1, got 0"),
        ({"frames": 289}, r"timestep_minutes must be > 0, and all frames within a day, got 5\.0"),
        ({"shape": (4, 64)}, "shape must be two sides"),
    ],
)
def test_impossible_archives_are_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        archives(tmp_path, **changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cells", (0, 1)), ("radius_km", (5.0, 4.0)), ("elongation", (0.5, 1.0)), ("peak", (0.0, 1.0)), ("veil", (1.0,))],
)
def test_impossible_systems_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be \[least, most\], at least .*got"):
        replace(ONE_CELL, **{name: value})


# -- the cases of configs/data/extremes.yaml -----------------------------------------------------------------------


@pytest.mark.thorough
def test_members_are_days_of_which_a_bootstrap_draws(shipped):
    assert [path.stem for path in shipped.paths()] == CASES
    days = [Archive(path).times.astype("datetime64[D]").astype(int).reshape(MEMBERS, 17) for path in shipped.paths()]
    assert len(np.unique(days)) == MEMBERS * len(CASES)
    assert (np.ptp(days, axis=2) == 0).all()  # the 17 frames of one window, which spans no gap


def test_cases_are_what_they_are_called(rain):
    assert list(rain) == CASES
    wet = {case: (fields >= 0.5).sum(axis=(2, 3)) for case, fields in rain.items()}  # (members, T) cells
    amount = {case: fields.sum(axis=(2, 3)) for case, fields in rain.items()}
    assert wet["small_cell"][:, 4].max() < 100  # 900 km²
    assert wet["small_cell"][:, 4].min() > 0
    first, last = rain["stationary"][:, 4], rain["stationary"][:, -1]
    for before, after in zip(first, last, strict=True):
        places = [np.array(np.nonzero(field >= 0.5)).mean(axis=1) for field in (before, after)]
        assert np.hypot(*(places[1] - places[0])) < 5  # cells of 3 km: some grow and some decay, none moves
    moved = np.array([
        [np.array(np.nonzero(field >= 5)).mean(axis=1) for field in (member[4], member[-1])]
        for member in rain["squall_line"]
    ])  # (members, 2, 2)  # fmt: skip
    assert (np.hypot(*(moved[:, 1] - moved[:, 0]).T) * 3 > 60).all()  # km in an hour
    assert (amount["entering"][:, -1] > 1.5 * amount["entering"][:, 4]).all()
    assert (wet["entering"][:, 4] > 0).all()  # something of it can be seen
    assert (amount["dissolving"][:, -1] < 0.35 * amount["dissolving"][:, 4]).all()
