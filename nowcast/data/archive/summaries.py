"""Shares of rain and of data by tile, which a store or a masked archive does not hold: its frames are read once."""

from pathlib import Path

import numpy as np

from nowcast.data.archive.archive import TILE, Archive, Shares
from nowcast.data.archive.blocks import blocks, by_block
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.writer import summarise_tiles, unpack_values
from nowcast.files import made_by_one, written_whole
from nowcast.progress import track


def tile_summaries(archive: Archive) -> Shares:
    """Shares of an archive, computed unless they were before, with a progress bar.

    Args:
        archive: The archive; what is seen of it names the file, in the folder tile_shares of its caches.

    Returns:
        Two (N, tiles_y, tiles_x): rainy among valid cells, and valid cells; mapped, not in memory.

    Raises:
        DataFormatError: The archive cannot be read, or the file is damaged.
    """
    folder = archive.cache_folder / "tile_shares"
    path = folder / f"{archive.name}-{archive.seen[:16]}.npy"
    rows, columns = archive.grid.shape
    shape = (2, len(archive.times), -(-rows // TILE), -(-columns // TILE))
    if not path.exists():
        with made_by_one(folder):
            if not path.exists():
                _compute(path, shape, archive)
    try:
        shares = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataFormatError(path, f"damaged ({error}); delete it, it will be made again") from error
    if shares.shape != shape or shares.dtype != np.float32:
        raise DataFormatError(path, f"holds {shares.shape}, expected {shape}; delete it, it will be made again")
    return shares[0], shares[1]


def _compute(path: Path, shape: tuple[int, ...], archive: Archive) -> None:
    everything = slice(None)
    with written_whole(path) as partial:
        shares = np.lib.format.open_memmap(partial, "w+", np.float32, shape)

        def summarise(block: slice) -> None:
            stored = archive.read_stored(block, everything, everything)
            rates = archive.to_rain_rate(unpack_values(stored, archive.packing))  # as the writer of archives counts
            for number, frame in enumerate(rates, block.start):
                shares[0, number], shares[1, number] = summarise_tiles(frame)

        for _ in track(by_block(archive, summarise), f"rain of {archive.name}", len(blocks(archive))):
            pass
        shares.flush()
