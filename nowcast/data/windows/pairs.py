"""Settings that are two numbers."""

from typing import Any


def check_pair(key: str, value: Any, meaning: str) -> None:  # noqa: ANN401 (whatever a config holds)
    """Refuse what is not a list of two numbers.

    Args:
        key: The config key.
        value: Its value.
        meaning: What the two are, such as "[first, last]".

    Raises:
        ValueError: Not two numbers; the message shows the key and how to write it.
    """
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(x, int | float) for x in value):
        raise ValueError(f"{key} must be a pair of numbers, {meaning}, got {value!r}; write '{key}={meaning}'")
