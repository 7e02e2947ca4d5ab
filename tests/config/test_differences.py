"""What differs between two configs."""

from nowcast.config.differences import differences, flat


def test_nested_values_become_one_level():
    assert flat({"a": {"b": 1, "c": [2]}, "d": {}, "e": None}) == {"a.b": 1, "a.c": [2], "d": {}, "e": None}
    assert flat({}) == {}


def test_every_difference_is_named_in_order():
    before = {"a": {"b": 1, "c": 2}, "z": None}
    now = {"a": {"b": 1.5, "d": 2}, "z": None}
    assert differences(before, now) == ["a.b: 1 → 1.5", "a.c: 2 → 'absent'", "a.d: 'absent' → 2"]
    assert differences(before, now, ["a.b", "a.c"]) == ["a.d: 'absent' → 2"]
    assert differences(before, before) == []
