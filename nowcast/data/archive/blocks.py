"""All frames of an archive, a block at a time, by as many threads as may read it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nowcast.data.archive.archive import Archive

CELLS_AT_ONCE = 20_000_000  # of a thread: a block of frames in memory
Found = TypeVar("Found")


def blocks(archive: Archive) -> list[slice]:
    """Frames that are read at once: whole chunks, as many as fit."""
    count, (rows, columns) = len(archive.times), archive.grid.shape
    together = archive.frames_at_once
    step = together * max(1, CELLS_AT_ONCE // (rows * columns * together))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def by_block(archive: Archive, work: Callable[[slice], Found], some: Sequence[slice] | None = None) -> Iterator[Found]:
    """What is found in each of the `blocks`, in order; called by several threads where the archive allows it.

    Args:
        archive: The archive.
        work: What is done with the frames of a block.
        some: Blocks; None = all.
    """
    todo = blocks(archive) if some is None else some
    if archive.readers == 1:
        # In the caller's thread, where files that are let go are closed, too: netCDF's library bears no second one.
        yield from map(work, todo)
        return
    pool = ThreadPoolExecutor(archive.readers)
    try:
        yield from pool.map(work, todo)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest need not be read
