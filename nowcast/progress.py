"""Progress bars outside training."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.progress import track as bar

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]  # items, what is done with them, their number


def track(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    """A progress bar around an iterable."""
    return bar(items, description=text, total=total)


def silent(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    """The items, without a bar."""
    return items
