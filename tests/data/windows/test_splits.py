"""The splits of the data module: by blocks, days and archives, none with a frame of another."""

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.interface import lead_times_of
from nowcast.data.windows.index import NoWindowError
from tests.data.archives import frame, grid, moving_rain, write
from tests.data.modules import module


def test_splits_by_archive(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc") for n in ("a", "b_val", "c_test")]
    data = module(*paths, split="archives", val_archives=["*_val"], test_archives=["c_test"])
    used = [set(data.dataset(split).samples[:, 0].tolist()) for split in ("train", "val", "test")]
    assert used == [{0}, {1}, {2}]


def test_validation_blocks_where_no_validation_archive_is_named(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", frames=80) for n in ("a", "b", "c_test")]
    data = module(*paths, split="archives", test_archives=["c_test"])
    used = [set(data.dataset(split).samples[:, 0].tolist()) for split in ("train", "val", "test")]
    assert used == [{0, 1}, {0, 1}, {2}]


def test_no_validation_block_is_drawn_of_archives_that_are_to_be_trained_on(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", frames=80) for n in ("a", "made_1", "made_2", "c_test")]
    named = {"split": "archives", "test_archives": ["*_test"], "train_archives": ["made_*", "c_test"]}
    data = module(*paths, **named)
    used = [set(data.dataset(split).samples[:, 0].tolist()) for split in ("train", "val", "test")]
    assert used == [{0, 1, 2}, {0}, {3}]  # what is a test stays one
    alone = module(*paths, **named | {"train_archives": []})
    validation = [{tuple(one) for one in made.dataset("val").samples[:, :2].tolist()} for made in (data, alone)]
    assert validation[0] < validation[1]


def test_blocks_share_no_frame(tmp_path):
    data = module(moving_rain(tmp_path / "a.nc", frames=100), split="blocks")
    frames = []
    for split in ("train", "val", "test"):
        starts = set(data.dataset(split).samples[:, 1].tolist())
        frames.append({start + k for start in starts for k in range(5)})
    assert all(frames)
    assert not frames[0] & frames[1] | frames[0] & frames[2] | frames[1] & frames[2]


def instants(data, split):
    """Times of all frames in the windows of a split, over all archives, in minutes."""
    found = set()
    for archive, start in data.dataset(split).samples[:, :2].tolist():
        times = data.regions[archive].archive.times.astype("datetime64[m]").astype(int)
        found |= set(times[start : start + 5].tolist())
    return found


@pytest.mark.parametrize("how", ["blocks", "archives"])
def test_no_radar_trains_on_the_time_that_another_one_tests(tmp_path, how):
    """The second begins 35 minutes later, the third where the second ends; the fourth a day later is free."""
    begins = {"a": 0, "b": 35, "c": 435, "d": 1440}
    paths = [moving_rain(tmp_path / f"{name}.nc", frames=80, start=start) for name, start in begins.items()]
    data = module(*paths, split=how, shared_blocks=True, block_minutes=80.0, gap_minutes=10.0)
    splits = [instants(data, split) for split in (("train", "val", "test") if how == "blocks" else ("train", "val"))]
    for number, one in enumerate(splits):
        for other in splits[:number]:
            assert min(abs(a - b) for a in one for b in other) >= 10
    apart = module(*paths, split=how, block_minutes=80.0, gap_minutes=10.0)
    assert instants(apart, "train") & instants(apart, "val")


def test_radars_of_one_day_are_of_one_split_where_whole_days_are_drawn(tmp_path):
    paths = [
        moving_rain(tmp_path / f"day{day}_{radar}.nc", frames=20, start=1440 * day + 30 * (radar == "b"))
        for day in range(8)
        for radar in "ab"
    ]
    changes = {"split": "by_day", "gap_minutes": 0.0, "val_fraction": 0.25, "test_fraction": 0.25}
    of_frame = [split[0] for split in set_up(module(*paths, **changes, shared_blocks=True)).split_of_frame]
    assert of_frame[::2] == of_frame[1::2]
    assert sorted(of_frame[::2]) == [0, 0, 0, 0, 1, 1, 2, 2]
    of_frame = [split[0] for split in set_up(module(*paths, **changes)).split_of_frame]
    assert of_frame[::2] != of_frame[1::2]


def set_up(data):
    data.setup()
    return data


def test_training_on_everything_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.split\.method=all is for evaluation"):
        module(moving_rain(tmp_path / "a.nc")).dataset("train")


def test_provenance_and_split_are_plain(tmp_path):
    path = moving_rain(tmp_path / "a.nc", frames=60)
    data = module(path, split="blocks")
    assert data.provenance()["archives"] == {"a": Archive(path).fingerprint}
    assert data.provenance()["timesteps_seconds"] == [300]
    assert data.provenance()["cell_km"] == 1.0
    data.write_split(tmp_path / "split.json")
    assert '"test"' in (tmp_path / "split.json").read_text()
    row = data.describe()[0]
    assert (row["frames"], row["gaps"], row["grid"]) == (60, 0, [32, 40])


def mixed(folder):
    """Two archives of 5 minutes and one of 6: the last is for validation, the first for the test."""
    paths = [moving_rain(folder / f"{n}.nc", step=s) for n, s in (("a_test", 5), ("b", 5), ("c_val", 6))]
    names = {"split": "archives", "val_archives": ["c_val"], "test_archives": ["a_test"]}
    return paths, module(*paths, allow_mixed_timesteps=True, **names)


def test_lead_times_are_those_of_the_split(tmp_path):
    _, data = mixed(tmp_path)
    assert data.lead_times("test") == (5.0, 10.0)
    assert data.lead_times("train") == (5.0, 10.0)
    assert data.lead_times("val") == (6.0, 12.0)
    assert [lead_times_of(data, archive) for archive in range(3)] == [(5.0, 10.0), (5.0, 10.0), (6.0, 12.0)]


def test_a_split_of_different_lead_times_is_refused_with_what_does_work(tmp_path):
    paths, _ = mixed(tmp_path)
    settings = {"allow_mixed_timesteps": True, "split": "blocks", "val_fraction": 0.3}
    data = module(*paths, **settings)
    with pytest.raises(
        ValueError, match=r"val windows .* 5 min in a_test, b; 6 min in c_val.*data\.split\.method=blocks"
    ) as error:
        data.lead_times("val")
    typed = [text.split("]")[0].split(",") for text in str(error.value).split("data.archives=[")[1:]]
    assert typed == [[str(paths[0]), str(paths[1])], [str(paths[2])]]
    together = {row["name"]: row["windows"]["val"] for row in data.describe()}
    for group, expected in zip(typed, ((5.0, 10.0), (6.0, 12.0)), strict=True):
        apart = module(*group, **settings)
        assert apart.lead_times("val") == expected
        assert all(row["windows"]["val"] == together[row["name"]] for row in apart.describe())


@pytest.mark.parametrize("split", ["val", "test"])
def test_whole_days_are_scored_apart_as_they_are(tmp_path, split):
    """Drawn anew among fewer archives, others would be those of the split."""
    paths = [moving_rain(tmp_path / f"{n}.nc", step=s) for n, s in zip("abcdefghij", (5, 6) * 5, strict=True)]
    settings = {"allow_mixed_timesteps": True, "split": "by_day", "block_minutes": 400.0}
    data = module(*paths, **settings | {"val_fraction": 0.4, "test_fraction": 0.4})
    with pytest.raises(ValueError, match=rf"{split} windows have different time steps") as error:
        data.lead_times(split)
    assert ("both with data.split.method=all split=test (" in str(error.value)) == (split == "val")
    typed = [text.split("]")[0].split(",") for text in str(error.value).split("data.archives=[")[1:]]
    together = {row["name"] for row in data.describe() if row["windows"][split]}
    scored = [{r["name"] for r in module(*group).describe() if r["windows"]["test"]} for group in typed]
    assert set.union(*scored) == together


def test_a_split_without_windows_is_empty_whatever_its_archives_time_steps(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", step=s) for n, s in (("a", 5), ("b", 6))]
    data = module(*paths, allow_mixed_timesteps=True, split="blocks", val_fraction=0.0)
    for ask in (data.lead_times, data.shapes, data.common_shape):
        with pytest.raises(NoWindowError, match="no val window of 5 frames"):
            ask("val")


def test_windows_without_data_have_no_part_in_what_a_split_is(tmp_path):
    empty = [frame(6 * k, np.full((24, 40), np.nan), grid=grid((24, 40))) for k in range(20)]
    paths = [moving_rain(tmp_path / "a.nc"), write(tmp_path / "b.nc", empty)]
    data = module(*paths, allow_mixed_timesteps=True, eval_crop=None)
    data.setup()
    assert len(data.starts("test")[1]) > 0
    assert data.lead_times("test") == (5.0, 10.0)
    assert data.common_shape("test") == (32, 40)


def test_shapes_and_place_are_those_of_the_split(tmp_path):
    paths = [moving_rain(tmp_path / f"{n}.nc", shape=s) for n, s in (("a_test", (32, 40)), ("b", (24, 40)))]
    data = module(*paths, split="archives", test_archives=["a_test"], eval_crop=None)
    assert data.shapes("test") == ((32, 40),)
    assert data.shapes("train") == ((16, 16),)
    assert data.shapes("val") == ((24, 40),)
    assert data.common_shape("test") == (32, 40)  # the other archive has no part in it
    assert data.common_shape("train") is None  # tiles are at different places
    assert module(*paths, eval_crop=None).common_shape("test") is None
