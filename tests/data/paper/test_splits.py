"""The splits of the paper's days: six blocks a day, drawn each day by itself."""

import numpy as np
import pytest

from tests.data.modules import radar
from tests.data.paper.hko_tree import archives, tree, write_day


def module(source, **changes):
    settings = {
        "timestep_minutes": None, "allow_mixed_timesteps": False, "cell_km": None, "input_steps": 5,
        "forecast_steps": 15, "stride": 1, "crop": None, "eval_crop": None, "random_crops": False, "augment": "none",
        "min_rain_fraction": 0.0, "min_valid_fraction": 0.0, "importance_floor": None, "samples_per_epoch": None,
        "split": "paper", "val_archives": [], "test_archives": [], "block_minutes": 240.0, "val_fraction": 1 / 6,
        "test_fraction": 1 / 6, "gap_minutes": 0.0, "batch_size": 8, "workers": 0, "seed": 1000,
    }  # fmt: skip
    return radar(source, **(settings | changes))


def blocks_of(data, split):
    """Archive and block of every window of a split, from the times of its first and last frame."""
    result = set()
    for region, starts in zip(data.regions, data.starts(split), strict=True):
        minutes = (region.archive.times - region.archive.times[0]).astype(int) // 60
        for start in starts:
            first, last = minutes[start] // 240, minutes[start + 19] // 240
            assert first == last
            result.add((region.archive.name, int(first)))
    return result


@pytest.mark.parametrize(("count", "apart"), [(6, (4, 1, 1)), pytest.param(97, (65, 16, 16), marks=pytest.mark.slow)])
def test_days_give_the_papers_counts(tmp_path, count, apart):
    """97 days: 8148 training sequences, 2037 of validation and of test."""
    dates = (np.datetime64("2011-03-01") + np.arange(count)).astype(str)
    for date in dates:
        write_day(tmp_path, date, side=4, distinct=1)
    sizes = {"crop": 4, "disk_radius": 0.0, "size": 2}
    source = archives(tree(tmp_path, day_count=count), tmp_path / "made", **sizes)
    data = module(source)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [84 * count, 21 * count, 21 * count]
    train, val, test = (blocks_of(data, split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (4 * count, count, count)
    assert not (train & val | train & test | val & test)
    for name in (f"hko_{date.replace('-', '')}" for date in dates):
        assert sum(archive == name for archive, _ in test) == 1
        assert sum(archive == name for archive, _ in val) == 1
    drawn = {block for _, block in test}  # days draw their blocks each for itself
    assert len(drawn) == 6 if count == 97 else len(drawn) > 1
    assert "share days" in data.caveat

    by_day = module(source, split="by_day")
    assert tuple(len(by_day.dataset(split)) for split in ("train", "val", "test")) == tuple(126 * n for n in apart)
    days = [{archive for archive, _ in blocks_of(by_day, split)} for split in ("train", "val", "test")]
    assert not (days[0] & days[1] | days[0] & days[2] | days[1] & days[2])
    assert by_day.caveat == ""


@pytest.mark.thorough
def test_the_draw_depends_on_the_seed(days, tmp_path):
    source = archives(tree(days, day_count=3), tmp_path / "made")
    draws = []
    for seed in (0, 0, 1, 2, 3):
        data = module(source, seed=seed)
        data.setup()
        draws.append(blocks_of(data, "test"))
    assert draws[0] == draws[1]
    assert len({frozenset(draw) for draw in draws}) > 1


def test_gaps_between_blocks_are_refused(days, tmp_path):
    with pytest.raises(ValueError, match=r"data.split.gap_minutes=0"):
        module(archives(tree(days), tmp_path), gap_minutes=30.0)
