"""The newest files of a folder, or those up to a time, found by the times in their names: few of many are read."""

import logging
import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Reader

log = logging.getLogger(__name__)
DAY, CLOCK = r"(0[1-9]|1[0-2])%s([0-2]\d|3[01])", r"([01]\d|2[0-3])%s([0-5]\d)"
KINDS = tuple(  # how providers write a time into a name, largest unit first
    re.compile(rf"(?<!\d){pattern}(?!\d)")
    for pattern in (
        rf"((?:19|20)\d\d)[-_.]?{DAY % '[-_.]?'}[-_.T]{{0,2}}{CLOCK % '[-_.:h]?'}(?:[-_.:]?([0-5]\d))?",
        rf"(\d\d){DAY % ''}{CLOCK % ''}",  # RADOLAN: 2405010005
        rf"(\d\d)([0-3]\d\d){CLOCK % ''}",  # MeteoSwiss: year and day of the year, 241220005
    )
)


def recent_files(
    files: Sequence[str], reader: Reader, count: int, span: np.timedelta64, init_time: np.datetime64 | None
) -> list[Path]:
    """The files that hold the last frames up to a time; all of them where their names do not tell their order.

    What a name says is only taken for the order of the files; the times of frames are those inside.

    Args:
        files: What to choose from.
        reader: Their format.
        count: Frames that are wanted at least.
        span: Time before the last frame that is wanted at least.
        init_time: Time of the last frame; None = the newest.

    Raises:
        DataFormatError: One of the files that are wanted is unreadable.
    """
    ordered = in_order_of_names(files)
    if ordered is None:
        log.info("the names of %d files do not tell their times: all are read", len(files))
        return [Path(name) for name in files]
    end = len(ordered) if init_time is None else bisect_right(
        range(len(ordered)), init_time, key=lambda index: _begin(reader, ordered, index)
    )  # fmt: skip
    chosen: list[Path] = []
    times: list[np.datetime64] = []
    for path in map(Path, reversed(ordered[:end])):
        found = sorted(frame.time for frame in reader.read(path))
        if times and found and found[-1] > times[0]:
            log.info("%s is newer than its name says beside the other files': all %d are read", path, len(files))
            return [Path(name) for name in files]
        chosen.append(path)
        times = [time for time in found if init_time is None or time <= init_time] + times
        if len(times) >= count and times[-1] - times[0] >= span:
            break
    if init_time is not None and init_time not in times:
        return [Path(name) for name in files]  # to say for certain that there is none
    return chosen[::-1]


def _begin(reader: Reader, files: Sequence[str], index: int) -> np.datetime64:
    """Time of the first frame of a file, or of one before it if that is unreadable: it need not be among the wanted."""
    for path in map(Path, reversed(files[: index + 1])):
        try:
            return min(frame.time for frame in reader.read(path))
        except DataFormatError:
            continue
    return np.datetime64(0, "s")


def in_order_of_names(files: Sequence[str]) -> list[str] | None:
    """The files by the times in their names; None unless each name holds one, and all are written in one way."""
    for kind in KINDS:
        times = [time_in_name(name[name.rfind("/") + 1 :], kind) for name in files]
        if None not in times:
            return [name for _, name in sorted(zip(times, files, strict=True))]
    return None


def time_in_name(name: str, kind: re.Pattern[str]) -> tuple[str, ...] | None:
    """Year, month, …, of the first time of a kind in a name, to be compared with other names."""
    match = kind.search(name)
    if match is None:
        return None
    year, *rest = match.groups("00")
    return (year if len(year) == 4 else f"{'19' if year >= '90' else '20'}{year}", *rest)
