"""Provider files → one archive: every file is read and checked before the first byte is written."""

import hashlib
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from glob import glob, has_magic
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from nowcast.data.archive_writer import ArchiveWriter, describe_difference
from nowcast.data.frame import DataFormatError, Frame, Reader
from nowcast.units import Quantity

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]  # progress bar: items, text, total
Item = TypeVar("Item")
AHEAD = 4  # files each worker may be ahead of the one in use: bounds the memory


@dataclass(frozen=True)
class Limits:
    """Physical range of values, and what to do with those outside.

    Args:
        rain_rate: (lowest, highest) mm h-1; applied to amounts through their period.
        reflectivity: (lowest, highest) dBZ.
        below: "clip" to the limit or "mask" to no data, for values below the range.
        above: The same for values above it.

    Raises:
        ValueError: A range is empty or an action unknown.
    """

    rain_rate: tuple[float, float]
    reflectivity: tuple[float, float]
    below: Literal["clip", "mask"]
    above: Literal["clip", "mask"]

    def __post_init__(self) -> None:
        """Check ranges and actions."""
        for name in ("rain_rate", "reflectivity"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"limits.{name} must be [lowest, highest], got [{low}, {high}]")
        for name in ("below", "above"):
            if getattr(self, name) not in ("clip", "mask"):
                raise ValueError(f"limits.{name} must be clip or mask, got {getattr(self, name)!r}")

    def apply(self, frame: Frame) -> tuple[Frame, int, int]:
        """The frame within the range, and how many values lay below and above it."""
        low, high = self.reflectivity if frame.quantity is Quantity.REFLECTIVITY else self.rain_rate
        if frame.period is not None:
            low, high = low * frame.period / 3600, high * frame.period / 3600
        below, above = frame.values < low, frame.values > high  # False where NaN
        if not (below.any() or above.any()):
            return frame, 0, 0
        values = frame.values.copy()
        values[below] = low if self.below == "clip" else np.nan
        values[above] = high if self.above == "clip" else np.nan
        return replace(frame, values=values), int(below.sum()), int(above.sum())


@dataclass(frozen=True, eq=False)
class FileScan:
    """What the first pass learns of a file: its frames without values, or why it is unreadable."""

    path: Path
    frames: list[Frame]
    digests: list[bytes]
    error: DataFormatError | None = None
    below: int = 0
    above: int = 0
    missing: int = 0
    cells: int = 0


@dataclass
class Report:
    """What was prepared, for the terminal and the archive's history."""

    output: Path
    files: int = 0
    frames: int = 0
    duplicates: int = 0
    below: int = 0
    above: int = 0
    missing: int = 0
    cells: int = 0
    skipped: list[str] = field(default_factory=list)

    def lines(self, limits: Limits) -> list[str]:
        """The report as text, one fact a line."""
        action = {"clip": "clipped", "mask": "set to no data"}
        lines = [
            f"{self.frames} frames from {self.files} files; {self.missing / max(self.cells, 1):.2%} no data",
            f"{self.above} values above the physical range {action[limits.above]}, "
            f"{self.below} below {action[limits.below]}",
        ]
        if self.duplicates:
            lines.append(f"{self.duplicates} identical duplicates of a time left out")
        return lines + [f"skipped {problem}" for problem in self.skipped]


@dataclass(frozen=True)
class _Entry:
    """Where the frame of one time lies."""

    time: np.datetime64
    path: Path
    index: int
    digest: bytes


def find_files(inputs: str | Sequence[str], pattern: str) -> list[Path]:
    """Files named by folders (searched for `pattern`, with subfolders), globs or file names, sorted.

    Raises:
        FileNotFoundError: Nothing there, or nothing that matches.
    """
    files: set[Path] = set()
    for text in [inputs] if isinstance(inputs, str) else inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            found = [file for file in path.rglob(pattern) if file.is_file()]
            if not found:
                endings = sorted({file.suffix or file.name for file in path.rglob("*") if file.is_file()})
                raise FileNotFoundError(
                    f"no file in {path} matches {pattern!r} (files there end in "
                    f"{', '.join(endings[:8]) or 'nothing: the folder is empty'}); is source= the right "
                    "format? source.pattern= changes the pattern"
                )
        elif has_magic(text):
            found = [Path(name) for name in glob(text, recursive=True) if Path(name).is_file()]  # noqa: PTH207
            if not found:
                raise FileNotFoundError(f"input={text} matches no file")
        elif path.is_file():
            found = [path]
        else:
            raise FileNotFoundError(f"input={text}: no such file or folder")
        files.update(found)
    return sorted(files, key=lambda path: (path.name, str(path)))


def _read(reader: Reader, limits: Limits, path: Path) -> tuple[list[Frame], int, int]:
    below = above = 0
    frames = []
    for frame in reader.read(path):
        limited, low, high = limits.apply(frame)
        frames.append(limited)
        below, above = below + low, above + high
    if not frames:
        raise DataFormatError(path, "holds no radar field")
    return frames, below, above


def _scan(reader: Reader, limits: Limits, path: Path) -> FileScan:
    try:
        frames, below, above = _read(reader, limits, path)
    except DataFormatError as error:
        return FileScan(path, [], [], error=DataFormatError(error.path, error.problem))
    empty = np.empty((0, 0), dtype=np.float32)
    return FileScan(
        path,
        [replace(frame, values=empty) for frame in frames],
        [hashlib.sha256(np.ascontiguousarray(frame.values).tobytes()).digest() for frame in frames],
        below=below,
        above=above,
        missing=int(sum(np.isnan(frame.values).sum() for frame in frames)),
        cells=sum(frame.values.size for frame in frames),
    )


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


def _first_pass(scans: Iterable[FileScan], on_error: str, report: Report) -> tuple[Frame, list[_Entry]]:
    """Check every file against the first, and put the frames in time order."""
    first: Frame | None = None
    origin = Path()  # of the first frame
    entries: dict[int, _Entry] = {}
    for scan in scans:
        problem = scan.error
        for frame in scan.frames:
            if first is None:
                first, origin = frame, scan.path
            difference = describe_difference(first, frame)
            if difference and problem is None:
                problem = DataFormatError(scan.path, difference)
        if problem is not None:
            if on_error == "stop" and scan.error is None:
                raise DataFormatError(
                    scan.path, f"{problem.problem}, such as {origin.name}; {_apart(origin, scan.path)}"
                )
            if on_error == "stop":
                raise problem
            report.skipped.append(str(problem))
            continue
        report.files += 1
        report.below, report.above = report.below + scan.below, report.above + scan.above
        report.missing, report.cells = report.missing + scan.missing, report.cells + scan.cells
        for index, (frame, digest) in enumerate(zip(scan.frames, scan.digests, strict=True)):
            _enter(entries, _Entry(frame.time, scan.path, index, digest), report)
    if first is None or not entries:
        raise ValueError("no file could be read:\n  " + "\n  ".join(report.skipped))
    return first, [entries[key] for key in sorted(entries)]


def _enter(entries: dict[int, _Entry], entry: _Entry, report: Report) -> None:
    known = entries.setdefault(int(entry.time.astype("datetime64[s]").astype(np.int64)), entry)
    if known is entry:
        return
    if known.digest != entry.digest:
        problem = f"second, different frame for {entry.time} UTC; the other is in {known.path}"
        raise DataFormatError(entry.path, f"{problem}; {_apart(known.path, entry.path)}")
    report.duplicates += 1


def _apart(first: Path, other: Path) -> str:
    """What to type so that two files, perhaps of two radars, do not end in one archive."""
    above = [parent for parent in first.parents if parent in other.parents][:1]
    inside = [file.relative_to(*above) for file in (first, other)] if above else [first, other]
    if min(len(path.parts) for path in inside) > 1:  # different folders
        choices = [f"input={Path(*above, path.parts[0])}" for path in inside]
    else:
        words = [re.split(r"[^A-Za-z0-9]+", path.stem) for path in inside]
        own = [[word for word in words[k] if word.isalpha() and word not in words[1 - k]] for k in (0, 1)]
        choices = [f"'input={first.parent}/*{one[0]}*'" for one in own if one]
    advice = "an archive holds one product of one radar or composite"
    return f"{advice}: choose {' or '.join(choices)}" if len(choices) == 2 else f"{advice}: choose its files by input="


def _check_sums(first: Frame, entries: Sequence[_Entry], allow: bool) -> None:
    """Refuse sums over longer than a time step: their differences are not the rain of a step."""
    if first.period is None or len(entries) < 2 or allow:
        return
    step = float(np.median(np.diff([entry.time for entry in entries]).astype(float)))
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
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers else None
    try:
        scans = _in_order(partial(_scan, reader, limits), files, workers, pool)
        first, entries = _first_pass(track(scans, "checking", len(files)), on_error, report)
        _check_sums(first, entries, allow_overlapping_sums)
        report.frames = len(entries)
        uses = Counter(entry.path for entry in entries)
        contents = zip(uses, _in_order(partial(_read, reader, limits), list(uses), workers, pool), strict=True)
        with ArchiveWriter(output, first, attributes) as writer:
            held: dict[Path, list[Frame]] = {}
            for entry in track(entries, "writing", len(entries)):
                while entry.path not in held:
                    path, (frames, _, _) = next(contents)
                    held[path] = frames
                writer.append(held[entry.path][entry.index])
                uses[entry.path] -= 1
                if uses[entry.path] == 0:
                    del held[entry.path]
            writer.finish(_history(report, limits))
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return report


def _history(report: Report, limits: Limits) -> str:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "\n".join(f"{stamp} nowcast prepare: {line}" for line in report.lines(limits))
