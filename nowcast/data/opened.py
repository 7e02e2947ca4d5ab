"""The archives that a data module reads, opened as its settings say."""

from collections.abc import Sequence
from typing import Literal

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.paths import Archives, archive_paths
from nowcast.data.archive.unpacked import use_unpacked
from nowcast.data.masks.given import use_masks
from nowcast.data.zarr.opening import archive_at
from nowcast.progress import track


def open_archives(
    source: Archives, cache: Literal["none", "memmap"], remote_cache_gb: float, mask: str | Sequence[str] | None
) -> list[Archive]:
    """Open them.

    Args:
        source: `data.archives`.
        cache: memmap = read from unpacked copies, which are made where they are not there.
        remote_cache_gb: GB on disk for chunks of stores at addresses, all together.
        mask: Files of cells that are read as no data; None = all are read.

    Raises:
        FileNotFoundError: No such archive or mask.
        ValueError: One is damaged, or a mask is of another grid.
    """
    archives = [archive_at(path, remote_cache_gb) for path in archive_paths(source)]
    if cache == "memmap":
        use_unpacked(archives, track)
    use_masks(archives, mask)
    return archives
