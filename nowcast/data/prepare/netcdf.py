"""Provider files → one archive: every file is read and checked before the first byte is written."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nowcast.data.archive.archive import describe_steps
from nowcast.data.archive.frame import Frame, Reader
from nowcast.data.archive.limits import Limits
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.data.prepare.engines import Engine
from nowcast.data.prepare.files import find_files
from nowcast.data.prepare.first_pass import first_pass, read_limited, scan
from nowcast.data.prepare.report import Entry, Report
from nowcast.progress import Track


def refuse_overlapping_sums(first: Frame, entries: Sequence[Entry], allow: bool) -> None:
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
    engine: Engine,
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
        engine: Who reads.
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
    with engine.pool() as pool:
        scans = pool.in_order(partial(scan, reader, limits), files)
        first, entries = first_pass(track(scans, "checking files", len(files)), on_error, report)
        refuse_overlapping_sums(first, entries, allow_overlapping_sums)
        report.frames = len(entries)
        report.steps = describe_steps([entry.time for entry in entries])
        paths = list(dict.fromkeys(entry.path for entry in entries))
        contents = pool.in_order(partial(read_limited, reader, limits), paths)
        with ArchiveWriter(output, first, attributes) as writer:
            held = _Held(zip(paths, (frames for frames, _ in contents), strict=True), entries)
            for entry in track(entries, "writing frames", len(entries)):
                writer.append(held.take(entry))
            writer.finish(history_of(report.lines(limits), stamp()))
    return report


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


def stamp() -> str:
    """Now, or the moment that SOURCE_DATE_EPOCH names, where what is made twice is to be the same.

    Raises:
        ValueError: It names none.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not epoch.isdecimal():
        raise ValueError(
            f"SOURCE_DATE_EPOCH={epoch} in the environment: expected whole seconds since 1970, or unset it"
        )
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def history_of(lines: Sequence[str], stamp: str) -> str:
    """Lines of a history, as CF has them."""
    return "\n".join(f"{stamp} nowcast prepare: {line}" for line in lines)
