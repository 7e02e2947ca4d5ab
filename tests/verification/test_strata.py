"""Groups of windows by the time of their last input and their observed rain."""

import numpy as np
import pytest
import torch

from nowcast.verification.strata import Groups, Strata


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
    assert groups.labels["block"] == ("2024-02-29", "2024-03-01")
    assert labels(groups, batch(0, "2024-02-29T23:55", 0.1)) == {
        "block": "2024-02-29", "event": "a", "hour": "23 UTC", "season": "DJF", "intensity": "0.1-0.5 mm/h",
    }  # fmt: skip
    other = labels(groups, batch(1, "2024-03-01T12:00", 7.0))
    assert (other["block"], other["season"], other["intensity"]) == ("2024-03-01", "MAM", "from 0.5 mm/h")


def test_archives_of_one_day_share_its_block():
    groups = Groups(Strata("day", []), ARCHIVES)
    one, other = (labels(groups, batch(k, time, 1)) for k, time in ((0, "2024-03-01T00:05"), (1, "2024-03-01T12:00")))
    assert one["block"] == other["block"] == "2024-03-01"
    assert (one["event"], other["event"]) == ("a", "b")


def test_archives_that_share_a_day_are_one_event():
    days = {"a": ["01", "02"], "b": ["05"], "c": ["02", "03"], "d": ["07"], "e": ["03", "05"], "f": ["06"]}
    archives = [(name, times(*(f"2024-03-{day}T00:00" for day in of))) for name, of in days.items()]
    groups = Groups(Strata("archive", []), archives)
    assert groups.labels["block"] == ("a + b + c + e", "d", "f")
    blocks = [labels(groups, batch(k, of[0], 1))["block"] for k, (_, of) in enumerate(archives)]
    assert blocks == ["a + b + c + e"] * 3 + ["d", "a + b + c + e", "f"]
    assert groups.labels["event"] == tuple("abcdef")


def test_events_of_other_days_are_blocks_of_their_own_whatever_lies_between():
    archives = [("a", times("2024-03-01T00:00", "2024-03-09T00:00")), ("b", times("2024-03-05T00:00"))]
    assert Groups(Strata("archive", []), archives).labels["block"] == ("a", "b")


@pytest.mark.parametrize(("month", "season"), [(1, "DJF"), (3, "MAM"), (6, "JJA"), (9, "SON"), (12, "DJF")])
def test_seasons(month, season):
    time = f"2024-{month:02d}-15T00:00"
    groups = Groups(Strata("day", []), [("a", times(time))])
    assert labels(groups, batch(0, time, 0))["season"] == season


def test_only_valid_cells_make_the_intensity():
    groups = Groups(Strata("archive", [1.0]), [ARCHIVES[0], ("b", times("2024-03-02T12:00"))])
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
