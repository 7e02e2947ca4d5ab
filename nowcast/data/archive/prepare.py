"""Provider files → one archive: every file is read and checked before the first byte is written."""

import fnmatch
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from glob import glob, has_magic
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from nowcast.data.archive.archive import describe_steps
from nowcast.data.archive.first_pass import Entry, Report, first_pass, read_limited, scan
from nowcast.data.archive.frame import Frame, Reader
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.writer import ArchiveWriter

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]  # progress bar: items, text, total
Item = TypeVar("Item")
AHEAD = 4  # files each worker may be ahead of the one in use: bounds the memory


def names_below(folder: Path, pattern: str) -> list[str]:
    """Files below a folder; the names alone are asked, since a folder may hold a hundred thousand."""
    if "/" in pattern:
        return [str(file) for file in folder.rglob(pattern) if file.is_file()]
    found = []
    for top, _, names in os.walk(folder):
        begin = str(Path(top, "_"))[:-1]
        found += [begin + name for name in fnmatch.filter(names, pattern)]
    return found


def find_files(inputs: str | Sequence[str], pattern: str) -> list[Path]:
    """Files as `find_names` finds them."""
    return [Path(name) for name in find_names(inputs, pattern)]


def find_names(inputs: str | Sequence[str], pattern: str) -> list[str]:
    """Files named by folders (searched for `pattern`, with subfolders), globs or file names, sorted by name.

    As text, since a hundred thousand paths take longer to make than to find.

    Raises:
        FileNotFoundError: Nothing there, or nothing that matches.
    """
    files: set[str] = set()
    for text in [inputs] if isinstance(inputs, str) else inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            found = names_below(path, pattern)
            if not found:
                if not any(file.is_file() for file in path.rglob("*")):
                    raise FileNotFoundError(f"input={text} is an empty folder")
                endings = sorted({file.suffix or file.name for file in path.rglob("*") if file.is_file()})
                raise FileNotFoundError(
                    f"no file in {path} matches {pattern!r} (files there end in "
                    f"{', '.join(endings[:8])}); is source= the right "
                    "format? source.pattern= changes the pattern"
                )
        elif path.is_file():  # before globs: a path may hold brackets
            found = [str(path)]
        elif has_magic(text):
            found = [str(Path(name)) for name in glob(str(path), recursive=True) if Path(name).is_file()]  # noqa: PTH207
            if not found:
                raise FileNotFoundError(f"input={text} matches no file")
        else:
            raise FileNotFoundError(f"input={text}: no such file or folder")
        files.update(found)
    return sorted(files, key=lambda name: (name[name.rfind("/") + 1 :], name))


def _in_order(
    work: Callable[[Path], Item], files: Sequence[Path], workers: int, pool: ProcessPoolExecutor | None
) -> Iterator[Item]:
    """Results in the order of the files, a bounded number of them in memory."""
    if pool is None:
        yield from map(work, files)
        return
    running: deque[Future[Item]] = deque()
    for path in files:
        running.append(pool.submit(work, path))
        if len(running) >= AHEAD * workers:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _check_sums(first: Frame, entries: Sequence[Entry], allow: bool) -> None:
    """Refuse sums over longer than a time step: their differences are not the rain of a step."""
    if first.period is None or len(entries) < 2 or allow:
        return
    step = float(np.diff([entry.time for entry in entries]).astype("timedelta64[s]").min().astype(float))
    if first.period > step:
        raise ValueError(
            f"{entries[0].path}: amounts over {first.period / 60:g} min come every {step / 60:g} min; such "
            "overlapping sums are not a rain rate. Choose another product, or allow_overlapping_sums=true to "
            "store them as the mean rate over their period"
        )


def prepare_archive(
    reader: Reader,
    inputs: str | Sequence[str],
    output: Path,
    *,
    limits: Limits,
    on_error: Literal["stop", "skip"],
    allow_overlapping_sums: bool,
    workers: int,
    attributes: Mapping[str, str],
    track: Track,
) -> Report:
    """Read provider files and write one archive.

    Args:
        reader: The format.
        inputs: Folder, glob, file, or several of them.
        output: Archive to make; must not exist.
        limits: Physical range and what to do outside it.
        on_error: "stop" at the first unreadable or unfitting file, or "skip" it and say so in the history.
        allow_overlapping_sums: Accept amounts whose period is longer than the time step.
        workers: Processes that read; 0 reads in this one.
        attributes: Global attributes of the archive.
        track: Wraps an iterable in a progress bar.

    Raises:
        FileNotFoundError: No input.
        FileExistsError: `output` exists.
        DataFormatError: An unreadable file or a different grid, quantity or duplicate, naming the file.
        ValueError: Nothing readable, or overlapping sums.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    files = find_files(inputs, reader.pattern)
    report = Report(output)
    with _processes(workers) as pool:
        scans = _in_order(partial(scan, reader, limits), files, workers, pool)
        first, entries = first_pass(track(scans, "checking", len(files)), on_error, report)
        _check_sums(first, entries, allow_overlapping_sums)
        report.frames = len(entries)
        report.steps = describe_steps([entry.time for entry in entries])
        paths = list(dict.fromkeys(entry.path for entry in entries))
        contents = _in_order(partial(read_limited, reader, limits), paths, workers, pool)
        with ArchiveWriter(output, first, attributes) as writer:
            held = _Held(zip(paths, (frames for frames, _, _ in contents), strict=True), entries)
            for entry in track(entries, "writing", len(entries)):
                writer.append(held.take(entry))
            writer.finish(_history(report, limits))
    return report


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool that drops what is not begun when the block ends; None without workers."""
    if not workers:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Held:
    """The frames of the files that are in use: a file is read once and let go of after its last frame.

    Args:
        contents: Files and their frames, in the order in which entries name a file first.
        entries: What will be taken.
    """

    def __init__(self, contents: Iterator[tuple[Path, list[Frame]]], entries: Iterable[Entry]) -> None:
        self.contents, self.uses = contents, Counter(entry.path for entry in entries)
        self.frames: dict[Path, list[Frame]] = {}

    def take(self, entry: Entry) -> Frame:
        while entry.path not in self.frames:
            path, frames = next(self.contents)
            self.frames[path] = frames
        frame = self.frames[entry.path][entry.index]
        self.uses[entry.path] -= 1
        if self.uses[entry.path] == 0:
            del self.frames[entry.path]
        return frame


def _history(report: Report, limits: Limits) -> str:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "\n".join(f"{stamp} nowcast prepare: {line}" for line in report.lines(limits))
