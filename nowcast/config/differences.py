"""What differs between two configs of plain values."""

from collections.abc import Collection
from typing import Any

_ABSENT = object()


def flat(values: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Nested dicts as one, with keys such as "model.patch"; an empty dict is a value."""
    if not isinstance(values, dict) or not values:
        return {prefix.rstrip("."): values} if prefix else {}
    return {key: leaf for name, value in values.items() for key, leaf in flat(value, f"{prefix}{name}.").items()}


def differences(before: dict[str, Any], now: dict[str, Any], without: Collection[str] = ()) -> list[str]:
    """Texts such as "model.patch: 4 → 2" for every value that differs, in order of the keys; `without` is left out."""
    old, new = flat(before), flat(now)
    return [
        f"{key}: {old.get(key, 'absent')!r} → {new.get(key, 'absent')!r}"
        for key in sorted((old.keys() | new.keys()) - set(without))
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]
