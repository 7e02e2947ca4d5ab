"""The first pass of `prepare`: every file is read and checked, and it is settled which frames make the archive."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Frame, Reader
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.writer import describe_difference
from nowcast.data.prepare.report import Counts, Entry, Report

EMPTY = np.empty((0, 0), dtype=np.float32)  # the values of frames of which they are not kept
NAMED = 10  # unreadable files that an error names one by one


@dataclass(frozen=True, eq=False)
class FileScan:
    """What the first pass learns of a file: its frames without values, or why it is unreadable."""

    path: Path
    frames: list[Frame]
    digests: list[bytes]
    counts: list[Counts]
    error: DataFormatError | None = None


def read_limited(reader: Reader, limits: Limits, path: Path) -> tuple[list[Frame], list[Counts]]:
    """Frames of a file within the physical range, and what was counted in each.

    Raises:
        DataFormatError: Unreadable, or without a frame.
    """
    frames, counts = list[Frame](), list[Counts]()
    for frame in reader.read(path):
        limited, below, above = limits.apply(frame)
        frames.append(limited)
        counts.append(Counts(below, above, int(np.isnan(limited.values).sum()), limited.values.size))
    if not frames:
        raise DataFormatError(path, "holds no radar field")
    return frames, counts


def digest_of(frame: Frame) -> bytes:
    """What tells the values of a frame from others."""
    return hashlib.sha256(np.ascontiguousarray(frame.values).tobytes()).digest()


def scan(reader: Reader, limits: Limits, path: Path) -> FileScan:
    """Read a file and keep what is to be known of it; that it cannot be read is a finding, too."""
    try:
        frames, counts = read_limited(reader, limits, path)
    except DataFormatError as error:
        return FileScan(path, [], [], [], error=DataFormatError(error.path, error.problem))
    digests = [digest_of(frame) for frame in frames]
    return FileScan(path, [replace(frame, values=EMPTY) for frame in frames], digests, counts)


@dataclass(eq=False)
class Kind:
    """Files whose frames fit into one archive.

    Attributes:
        first: Any frame of theirs.
        files: Their names, in order.
        entries: Seconds since 1970 → the frame of that time.
        conflict: Why they do not make an archive all the same: two different frames of one time.
        totals: Counts for the report.
    """

    first: Frame
    files: list[Path] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict)
    conflict: DataFormatError | None = None
    totals: Counter[str] = field(default_factory=Counter)
    assumptions: Counter[str] = field(default_factory=Counter)

    def add(self, found: FileScan) -> None:
        """Take a file in."""
        self.files.append(found.path)
        for index, (frame, digest, counts) in enumerate(zip(found.frames, found.digests, found.counts, strict=True)):
            self.totals.update(counts.by_name())
            self.assumptions.update(frame.assumptions)
            self._enter(Entry(frame.time, found.path, index, digest, counts))

    def _enter(self, entry: Entry) -> None:
        known = self.entries.setdefault(int(entry.time.astype("datetime64[s]").astype(np.int64)), entry)
        if known is entry:
            return
        if known.digest == entry.digest:
            self.totals["duplicates"] += 1
        elif self.conflict is None and known.path == entry.path:
            self.conflict = DataFormatError(
                entry.path,
                f"holds two different frames for {entry.time} UTC. Each needs its own time: the times are wrong or "
                "too coarse (source=netcdf: source.time_variable= names another), or one of the two must be taken out",
            )
        elif self.conflict is None:
            problem = f"second, different frame for {entry.time} UTC; the other is in {known.path}"
            self.conflict = DataFormatError(entry.path, f"{problem}; {apart(known.path, entry.path)}")


class Kinds:
    """The kinds of frames that were found, in the order of their first files."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all: list[Kind] = []
        self._like: dict[tuple[Any, ...], list[Kind]] = {}

    def of(self, frame: Frame) -> Kind | None:
        """The kind that a frame fits into."""
        for kind in self._like.get(_traits(frame), ()):
            if not describe_difference(kind.first, frame):
                return kind
        return None

    def begin(self, frame: Frame) -> Kind:
        """A new kind that begins with a frame."""
        kind = Kind(frame)
        self.all.append(kind)
        self._like.setdefault(_traits(frame), []).append(kind)
        return kind

    def largest(self) -> Kind:
        """The kind of most files; of equally many, the one whose first file comes first."""
        return max(self.all, key=lambda kind: len(kind.files))  # max keeps the first


def _traits(frame: Frame) -> tuple[Any, ...]:
    """What frames of a kind have in common to the letter, so that few are compared in full."""
    return frame.quantity, frame.grid.shape, frame.grid.crs, frame.packing, frame.period, frame.no_echo, frame.zr


def first_pass(
    scans: Iterable[FileScan], on_error: Literal["stop", "skip"], report: Report
) -> tuple[Frame, list[Entry]]:
    """Check every file, and put the frames of one archive in time order.

    Args:
        scans: The files, in order.
        on_error: "stop" at the first file that is unreadable or does not fit those before it; "skip" unreadable files
            and keep, of frames that do not fit together, the kind that most files hold.
        report: Gets the counts.

    Returns:
        Any frame of the archive, and where all of them lie.

    Raises:
        DataFormatError: on_error=stop and a file is unreadable or does not fit; or two different frames of one time.
        ValueError: No file could be read.
    """
    kinds, unreadable = Kinds(), list[DataFormatError]()
    for found in scans:
        error = found.error or _take(found, kinds)
        if error is not None:
            unreadable.append(error)
        if on_error == "stop":
            _stop(kinds, error, found.path)
    if not kinds.all:
        raise ValueError(_nothing(unreadable))
    kept = kinds.largest()
    if kept.conflict is not None:
        raise kept.conflict
    report.files = len(kept.files)
    report.assumptions = kept.assumptions
    for name in ("below", "above", "missing", "cells", "duplicates"):
        setattr(report, name, kept.totals[name])
    _leave_out(kinds, kept, unreadable, report)
    report.entries = [kept.entries[key] for key in sorted(kept.entries)]
    return kept.first, report.entries


def _take(found: FileScan, kinds: Kinds) -> DataFormatError | None:
    """Put a file to its kind, or say why it has none: its own frames do not fit together."""
    first = found.frames[0]
    for frame in found.frames[1:]:
        if difference := describe_difference(first, frame):
            return DataFormatError(found.path, f"its own frames do not fit together: {difference}")
    (kinds.of(first) or kinds.begin(first)).add(found)
    return None


def _stop(kinds: Kinds, error: DataFormatError | None, path: Path) -> None:
    """Raise what is wrong after one more file."""
    if error is not None:
        before = kinds.all[0].files[0] if kinds.all else path
        other = _words(before, path)
        if not all(other):  # nothing in the names speaks of another product
            raise error
        like = f"{before.name} before it could be read. If it is another product or radar: {apart(before, path)}"
        raise DataFormatError(error.path, f"{error.problem.removesuffix('; is source= the right format?')}; {like}")
    if len(kinds.all) > 1:
        first, other_kind = kinds.all
        difference = describe_difference(first.first, other_kind.first)
        raise DataFormatError(path, f"{difference}, such as {first.files[0].name}; {apart(first.files[0], path)}")
    if kinds.all[0].conflict is not None:
        raise kinds.all[0].conflict


def _leave_out(kinds: Kinds, kept: Kind, unreadable: list[DataFormatError], report: Report) -> None:
    """Write into the report what the archive does not hold, and by which rule."""
    others = [kind for kind in kinds.all if kind is not kept]
    problems = {error.path: str(error) for error in unreadable}
    for kind in others:
        difference = describe_difference(kept.first, kind.first)
        problems |= {path: f"{path}: {difference}, such as {kept.files[0].name}" for path in kind.files}
    report.skipped = [problems[path] for path in sorted(problems, key=lambda path: (path.name, str(path)))]
    if others:
        readable = sum(len(kind.files) for kind in kinds.all)
        tie = any(len(kind.files) == len(kept.files) for kind in others)
        rule = "as many hold another; the first by name was kept" if tie else "the kind that most hold was kept"
        report.choice = (
            f"{len(kinds.all)} kinds of frames do not fit into one archive: {len(kept.files)} of {readable} files are "
            f"like {kept.files[0].name}; {rule}"
        )


def _nothing(unreadable: list[DataFormatError]) -> str:
    """What to say when no file could be read."""
    problems = {re.sub(r"\d+", "#", error.problem) for error in unreadable}
    if len(unreadable) > 1 and len(problems) == 1:
        return (
            f"no file could be read: all {len(unreadable)} fail in the same way, so that it is hardly the files. Is "
            f"source= their format, and are its settings theirs? The first is {unreadable[0]}"
        )
    lines = [str(error) for error in unreadable[:NAMED]]
    more = [f"and {len(unreadable) - NAMED} more"] if len(unreadable) > NAMED else []
    return "no file could be read:\n  " + "\n  ".join(lines + more)


def _words(first: Path, other: Path) -> tuple[list[str], list[str]]:
    """Words in each of two names that the other has not, and that are no numbers, dates or times."""
    words = [re.split(r"[^A-Za-z0-9]+", path.stem) for path in (first, other)]
    named = [[word for word in part if re.search("[A-Za-z]", word) and not re.search(r"\d{3}", word)] for part in words]
    own = [[word for word in named[k] if word not in words[1 - k]] for k in (0, 1)]
    return own[0], own[1]


def apart(first: Path, other: Path) -> str:
    """What to type so that two files, perhaps of two radars, do not end in one archive."""
    above = [parent for parent in first.parents if parent in other.parents][:1]
    inside = [file.relative_to(*above) for file in (first, other)] if above else [first, other]
    if min(len(path.parts) for path in inside) > 1:  # different folders
        choices = [f"input={Path(*above, path.parts[0])}" for path in inside]
    else:
        choices = [f"'input={first.parent}/*{own[0]}*'" for own in _words(first, other) if own]
    advice = "an archive holds one product of one radar or composite"
    return f"{advice}: choose {' or '.join(choices)}" if len(choices) == 2 else f"{advice}: choose its files by input="
