"""Provider files → a Zarr store, written shard by shard; begun again, it goes on, and with further files it grows."""

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from nowcast.config.command_line.arguments import LEDGER
from nowcast.data.archive.archive import describe_steps
from nowcast.data.archive.frame import DataFormatError, Frame, Reader
from nowcast.data.archive.limits import Limits, as_plain
from nowcast.data.archive.writer import describe_difference
from nowcast.data.prepare.engines import Engine, Pool
from nowcast.data.prepare.files import find_files
from nowcast.data.prepare.first_pass import FileScan, first_pass, scan
from nowcast.data.prepare.ledger import Ledger, Shard, seconds_of
from nowcast.data.prepare.netcdf import history_of, refuse_overlapping_sums, stamp
from nowcast.data.prepare.report import Entry, Report
from nowcast.data.prepare.shards import ShardWork, ShardWriter
from nowcast.data.prepare.specification import VALIDATOR, attributes_of_store, lacking, regular_from
from nowcast.data.prepare.template import ROOT, Layout, field_name, template
from nowcast.files import written_by_one, written_whole
from nowcast.progress import Track

SCANS_AT_ONCE = 16  # files of which the findings are kept in one transaction


@dataclass
class _Store:
    """What all steps of a preparation share."""

    output: Path
    ledger: Ledger
    reader: Reader
    limits: Limits
    layout: Layout
    pool: Callable[[], Pool]  # begins with the first call
    track: Track


def laid_out(plain: Mapping[str, Any]) -> Layout:
    """How the field is cut, from plain values, as configs have them."""
    return Layout(plain["frames_per_shard"], tuple(plain["chunk"]))


def prepare_store(
    reader: Reader,
    inputs: str | Sequence[str],
    output: Path,
    *,
    limits: Limits,
    on_error: Literal["stop", "skip"],
    allow_overlapping_sums: bool,
    engine: Engine,
    attributes: Mapping[str, str],
    layout: Layout,
    track: Track,
) -> Report:
    """Read provider files and write one store, go on with one that was begun, or add later frames to it.

    The store becomes readable with the last thing that is written, the metadata of its group. Until then, and while
    frames are added, it is what it was before.

    Args:
        reader: The format.
        inputs: Folder, glob, file, or several of them.
        output: The store; its ledger lies beside it, in `<output>.ledger`.
        limits: Physical range and what to do outside it.
        on_error: See `prepare_archive`.
        allow_overlapping_sums: See `prepare_archive`.
        engine: Who reads and writes.
        attributes: Global attributes.
        layout: How the field is cut.
        track: Wraps an iterable in a progress bar.

    Raises:
        FileNotFoundError: No input.
        FileExistsError: `output` exists and has no ledger, or another process is writing it.
        DataFormatError: An unreadable file or a different grid, quantity or duplicate, naming the file.
        ValueError: Nothing readable, overlapping sums, other settings than before, or frames that are not later.
    """
    files = find_files(inputs, reader.pattern)
    folder = output.with_name(f"{output.name}{LEDGER}")
    if output.exists() and not (folder / "ledger.sqlite").is_file():
        raise FileExistsError(
            f"{output} exists, and its ledger {folder} does not, so that it cannot be gone on with; remove it or "
            "choose another output="
        )
    with written_by_one(folder), Ledger(folder) as ledger, ExitStack() as stack:
        pool = cache(lambda: stack.enter_context(engine.pool()))
        store = _Store(output, ledger, reader, limits, layout, pool, track)
        _settle(store)
        report = Report(output)
        with closing(_scans(store, files)) as scans:
            first, entries = first_pass(scans, on_error, report)
        refuse_overlapping_sums(first, entries, allow_overlapping_sums)
        report.frames, report.steps = len(entries), describe_steps([entry.time for entry in entries])
        before, added = ledger.frames(), entries
        if (begun := ledger.first()) is not None:
            added = _later(begun, before, first, entries)
            first = begun
        _write(store, first, [*before, *added], len(before))
        _publish(store, first, added, attributes, report)
    return report


def _settle(store: _Store) -> None:
    """Note the settings that a store is made with, and refuse others later on."""
    reader = {"format": type(store.reader).__name__, **_plain(store.reader)}
    for name in ("pattern", "provider", "licence"):
        reader.pop(name, None)
    settings = {"source": reader, "limits": as_plain(store.limits), "store": asdict(store.layout)}
    settings = json.loads(json.dumps(settings, default=str))
    known = store.ledger.fact("settings")
    if known is None:
        store.ledger.note(settings=settings, begun=stamp())
    elif known != settings:
        other = [
            f"{name}.{key}: {known[name].get(key)!r} before, now {settings[name].get(key)!r}"
            for name in settings
            for key in {**known[name], **settings[name]}
            if known[name].get(key) != settings[name].get(key)
        ]
        raise ValueError(
            f"{store.output} was begun with other settings: {'; '.join(other)}. Give those it was begun with, or "
            "choose another output="
        )


def _plain(reader: Reader) -> dict[str, Any]:
    return asdict(reader)  # type: ignore[call-overload, no-any-return]  # readers are dataclasses


def _scans(store: _Store, files: Sequence[Path]) -> Generator[FileScan]:
    """What is in the files, in their order; those that the ledger knows are not read again."""
    ledger = store.ledger
    unknown = [path for path in files if not ledger.knows(path)]
    again, fresh = set(unknown), list[FileScan]()
    read = store.pool().in_order(partial(scan, store.reader, store.limits), unknown) if unknown else iter(())
    found = iter(store.track(read, "checking files", len(unknown)))
    try:
        for path in files:
            if path not in again:
                yield ledger.scan(path)
                continue
            fresh.append(next(found))
            yield fresh[-1]
            if len(fresh) == SCANS_AT_ONCE:
                ledger.add_scans(fresh)
                fresh.clear()
        next(found, None)  # the bar ends
    finally:
        ledger.add_scans(fresh)


def _later(begun: Frame, before: Sequence[Entry], first: Frame, entries: Sequence[Entry]) -> list[Entry]:
    """Frames that come after those of a store, which has the others already.

    Raises:
        DataFormatError: They do not fit, or differ from the store's.
        ValueError: They lie before its end.
    """
    if difference := describe_difference(begun, first):
        raise DataFormatError(entries[0].path, f"{difference} in the store; choose another output=")
    known, last = {entry.time: entry for entry in before}, before[-1].time
    for entry in entries:
        same = known.get(entry.time)
        if same is not None and same.digest != entry.digest:
            raise DataFormatError(
                entry.path,
                f"holds another frame for {entry.time} UTC than {same.path}, which is in the store; choose another "
                "output= for a store of these files",
            )
        if same is None and entry.time < last:
            raise ValueError(
                f"{entry.path}: its frame of {entry.time} UTC lies before the last of the store, {last}, and stores "
                "only grow at their end; choose another output= for one of all files"
            )
    return [entry for entry in entries if entry.time > last]


def _write(store: _Store, first: Frame, entries: Sequence[Entry], kept: int) -> None:
    """Write the shards that are not there as they are to be."""
    size, shards = store.layout.shard_frames(first.grid), store.ledger.shards()
    document = template(first, [entry.time for entry in entries], store.layout, {})
    field = field_name(first)
    writer = ShardWriter(store.output, field, document[f"{field}/{ROOT}"], store.reader, store.limits)
    _remove_leftovers(store.output / field, -(-len(entries) // size))
    works = []
    for number, start in enumerate(range(0, len(entries), size)):
        part, known = entries[start : start + size], shards.get(number)
        digest = hashlib.sha256(b"".join(_identity(entry) for entry in part)).digest()
        there = known is not None and _size(writer.shard_path(number)) == known.size
        if known is None or known.digest != digest or not there:
            held = max(0, min(len(part), kept - start)) if there else 0
            stored = known.stored if known is not None else b""
            works.append(ShardWork(number, start, part, min(held, len(stored) // 32), stored, digest))
    frames = sum(len(work.entries) for work in works)
    for _ in store.track(_written(store, writer, works), "writing frames", frames):
        pass


def _written(store: _Store, writer: ShardWriter, works: Sequence[ShardWork]) -> Iterator[int]:
    """One item for each frame that is written."""
    shards = store.pool().in_order(writer, works) if works else iter(())
    for work, shard in zip(works, shards, strict=True):
        store.ledger.add_shard(shard)
        yield from range(len(work.entries))


def _identity(entry: Entry) -> bytes:
    return seconds_of(entry).to_bytes(8, "little", signed=True) + entry.digest


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _remove_leftovers(field: Path, shards: int) -> None:
    """Remove what killed processes were writing, and shards that the store no longer has."""
    for path in field.parent.rglob("*.partial"):
        path.unlink(missing_ok=True)
    for folder in (field / "c").glob("*"):
        if folder.name.isdigit() and int(folder.name) >= shards:
            for path in folder.rglob("*"):
                if path.is_file():
                    path.unlink()


def _publish(
    store: _Store, first: Frame, added: Sequence[Entry], attributes: Mapping[str, str], report: Report
) -> None:
    """Count what was written, note it, and write axes, times and metadata, those of the group last."""
    ledger = store.ledger
    entries = [*ledger.frames(), *added]
    _count(store, first, len(entries))
    if added:
        history = [*filter(None, [ledger.fact("history")]), history_of(report.lines(store.limits), stamp())]
        content = hashlib.sha256(b"".join(_identity(entry) for entry in entries)).hexdigest()
        facts = {"history": "\n".join(history), "content": content}
        ledger.add_frames(first, added, len(entries) - len(added), **facts)
    more = {name: ledger.fact(name) for name in ("history", "content")}
    said = attributes_of_store(store.reader, attributes, ledger.fact("begun"), **more)
    times = [one.time for one in entries]
    said |= regular_from(times, said)
    without = lacking(first, times, said, store.layout.cut(first.grid)[0])
    if any(name.startswith("mlcast_") for name in attributes):  # it is meant for their catalogue
        report.further = [f"of mlcast's specification it lacks: {line}" for line in without]
    said |= {} if without else {"mlcast_dataset_validator_version": VALIDATOR}
    documents = template(first, times, store.layout, said)
    for key in sorted(documents, key=lambda key: (key == ROOT, key.endswith(ROOT), key)):
        path = store.output / key
        if not path.is_file() or path.read_bytes() != documents[key]:
            with written_whole(path) as partial, partial.open("wb") as file:
                file.write(documents[key])
                file.flush()
                os.fsync(file.fileno())


def _count(store: _Store, first: Frame, frames: int) -> None:
    """Compare what lies there with what is to lie there.

    Raises:
        DataFormatError: A shard is not there, or is not as it was written.
    """
    shards, size = store.ledger.shards(), store.layout.shard_frames(first.grid)
    field = store.output / field_name(first)
    for number, start in enumerate(range(0, frames, size)):
        path, shard = field / "c" / str(number) / "0" / "0", shards.get(number, Shard(number, b"", b"", -1))
        if _size(path) != shard.size or len(shard.stored) != 32 * min(size, frames - start):
            raise DataFormatError(path, "is not there, or not as it was written; give the same command again")
