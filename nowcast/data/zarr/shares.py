"""Shares of rain and of data by tile, which a store does not hold: its frames are read once, and the result is kept."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import TILE, Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.writer import summarise_tiles
from nowcast.files import made_by_one, written_whole
from nowcast.progress import Track

THREADS = 8  # they wait for the disk or the server most of the time
CELLS_AT_ONCE = 20_000_000  # of a thread: a block of frames in memory

Rates = Callable[[slice], NDArray[np.floating]]


def tile_shares(archive: Archive, rates: Rates, frames_at_once: int, track: Track) -> NDArray[np.float32]:
    """Shares of an archive, computed unless they were before.

    Args:
        archive: The archive; its fingerprint names the file, in the folder tile_shares of its caches.
        rates: Rain rate in mm h-1 of all cells of some frames, NaN = no data; called by several threads.
        frames_at_once: Frames that lie in one chunk of the store, which are best read together.
        track: Progress bar.

    Returns:
        (2, N, tiles_y, tiles_x): rainy among valid cells, and valid cells; mapped, not in memory.

    Raises:
        DataFormatError: The store cannot be read, or the file is damaged.
    """
    folder = archive.cache_folder / "tile_shares"
    path = folder / f"{archive.name}-{archive.fingerprint[:16]}.npy"
    rows, columns = archive.grid.shape
    shape = (2, len(archive.times), -(-rows // TILE), -(-columns // TILE))
    if not path.exists():
        with made_by_one(folder):
            if not path.exists():
                _compute(path, shape, rates, _step(frames_at_once, rows * columns), f"rain of {archive.name}", track)
    try:
        shares = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataFormatError(path, f"damaged ({error}); delete it, it will be made again") from error
    if shares.shape != shape or shares.dtype != np.float32:
        raise DataFormatError(path, f"holds {shares.shape}, expected {shape}; delete it, it will be made again")
    found: NDArray[np.float32] = shares
    return found


def _step(frames_at_once: int, cells: int) -> int:
    """Frames of a block: whole chunks, as many as fit."""
    return frames_at_once * max(1, CELLS_AT_ONCE // (cells * frames_at_once))


def _compute(path: Path, shape: tuple[int, ...], rates: Rates, step: int, text: str, track: Track) -> None:
    blocks = range(0, shape[1], step)
    with written_whole(path) as partial:
        shares = np.lib.format.open_memmap(partial, "w+", np.float32, shape)

        def summarise(start: int) -> None:
            block = slice(start, min(start + step, shape[1]))
            for number, frame in enumerate(rates(block), start):
                shares[0, number], shares[1, number] = summarise_tiles(frame)

        pool = ThreadPoolExecutor(THREADS)
        try:
            for _ in track(pool.map(summarise, blocks), text, len(blocks)):
                pass
        finally:
            pool.shutdown(cancel_futures=True)  # after an error the rest need not be read
        shares.flush()
