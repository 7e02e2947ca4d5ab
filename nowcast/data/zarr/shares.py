"""Shares of rain and of data by tile, which a store does not hold: its frames are read once, and the result is kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import TILE, Archive
from nowcast.data.archive.blocks import blocks, by_block
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.writer import summarise_tiles
from nowcast.files import made_by_one, written_whole
from nowcast.progress import Track

Rates = Callable[[slice], NDArray[np.floating]]


def tile_shares(archive: Archive, rates: Rates, track: Track) -> NDArray[np.float32]:
    """Shares of an archive, computed unless they were before.

    Args:
        archive: The archive; its fingerprint names the file, in the folder tile_shares of its caches.
        rates: Rain rate in mm h-1 of all cells of some frames, NaN = no data; called by several threads.
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
                _compute(path, shape, archive, rates, track)
    try:
        shares = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataFormatError(path, f"damaged ({error}); delete it, it will be made again") from error
    if shares.shape != shape or shares.dtype != np.float32:
        raise DataFormatError(path, f"holds {shares.shape}, expected {shape}; delete it, it will be made again")
    found: NDArray[np.float32] = shares
    return found


def _compute(path: Path, shape: tuple[int, ...], archive: Archive, rates: Rates, track: Track) -> None:
    with written_whole(path) as partial:
        shares = np.lib.format.open_memmap(partial, "w+", np.float32, shape)

        def summarise(block: slice) -> None:
            for number, frame in enumerate(rates(block), block.start):
                shares[0, number], shares[1, number] = summarise_tiles(frame)

        for _ in track(by_block(archive, summarise), f"rain of {archive.name}", len(blocks(archive))):
            pass
        shares.flush()
