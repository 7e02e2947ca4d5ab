"""Progress bars outside training."""

from collections.abc import Iterable
from typing import Any

from rich.progress import track as bar


def track(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    """A progress bar around an iterable."""
    return bar(items, description=text, total=total)
