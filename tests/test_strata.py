"""Groups of windows by the time of their last input and their observed rain."""

import numpy as np
import pytest
import torch

from nowcast.strata import Groups, Strata


def batch(archive, time, rain):
    targets = torch.full((1, 2, 1, 3, 3), float(rain))
    return {
        "targets": targets,
        "mask": torch.ones_like(targets, dtype=torch.bool),
        "archive": torch.tensor([archive]),
        "init_time": torch.tensor([int(np.datetime64(time, "s").astype(np.int64))]),
    }


def times(*texts):
    return np.array(texts, dtype="datetime64[s]")


ARCHIVES = [("a", times("2024-02-29T23:55", "2024-03-01T00:05")), ("b", times("2024-03-01T12:00"))]


def labels(groups, one):
    numbers = groups.numbers(one, one["mask"])
    return {name: groups.labels[name][int(number)] for name, number in numbers.items()}


def test_a_window_belongs_to_one_group_of_each_kind():
    groups = Groups(Strata("day", [0.1, 0.5]), ARCHIVES)
    assert groups.labels["block"] == ("a 2024-02-29", "a 2024-03-01", "b 2024-03-01")
    assert labels(groups, batch(0, "2024-02-29T23:55", 0.1)) == {
        "block": "a 2024-02-29", "event": "a", "hour": "23 UTC", "season": "DJF", "intensity": "0.1-0.5 mm/h",
    }  # fmt: skip
    other = labels(groups, batch(1, "2024-03-01T12:00", 7.0))
    assert (other["block"], other["season"], other["intensity"]) == ("b 2024-03-01", "MAM", "from 0.5 mm/h")


@pytest.mark.parametrize(("month", "season"), [(1, "DJF"), (3, "MAM"), (6, "JJA"), (9, "SON"), (12, "DJF")])
def test_seasons(month, season):
    time = f"2024-{month:02d}-15T00:00"
    groups = Groups(Strata("day", []), [("a", times(time))])
    assert labels(groups, batch(0, time, 0))["season"] == season


def test_only_valid_cells_make_the_intensity():
    groups = Groups(Strata("archive", [1.0]), ARCHIVES)
    one = batch(0, "2024-03-01T00:05", 3.0)
    one["targets"][0, 0] = torch.nan
    mask = one["mask"].clone()
    mask[0, 0] = False
    assert int(groups.numbers(one, mask)["intensity"]) == 1
    assert int(groups.numbers(one, torch.zeros_like(mask))["intensity"]) == 0
    assert groups.labels["block"] == ("a", "b")
    assert int(groups.numbers(one, mask)["block"]) == 0


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match=r"strata\.block must be day or archive"):
        Strata("week", [])
