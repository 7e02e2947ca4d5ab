"""Progress bars outside training."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]  # items, what is done with them, their number


class Rate(ProgressColumn):
    """Items a second, over all that are done."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        seconds = task.finished_time if task.finished_time is not None else task.elapsed
        return Text(
            f"{task.completed / seconds:.3g}/s" if seconds and task.completed else "", style="progress.data.speed"
        )


def track(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    """A progress bar around an iterable: share, items a second, and the time that is left or that it took."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    if not total:
        yield from items
        return
    with Progress(*columns) as progress:
        yield from progress.track(items, total=total, description=text)


def silent(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    """The items, without a bar."""
    return items
