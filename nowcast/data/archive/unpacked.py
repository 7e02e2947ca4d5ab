"""The unpacked cache: the stored values of an archive as one plain array on disk, mapped instead of decompressed.

It lies beside the archive as unpacked/<name>-<fingerprint>.npy. The fingerprint is that of the archive's content, so
that an archive that was made anew gets a cache of its own; files of old ones can be deleted at any time.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.files import written_whole

FRAMES_AT_ONCE = 64


def unpacked_path(archive: Archive) -> Path:
    """Where the cache of an archive is or would be."""
    return archive.cache_folder / "unpacked" / f"{archive.name}-{archive.fingerprint[:16]}.npy"


def use_unpacked(archives: list[Archive], track: Callable[[Iterable[Archive], str, int], Iterable[Archive]]) -> None:
    """Let archives read from their unpacked caches, which are built now where they are missing.

    Args:
        archives: The archives.
        track: Progress bar.

    Raises:
        DataFormatError: A cache is damaged.
        OSError: A cache cannot be written.
    """
    missing = [archive for archive in archives if not unpacked_path(archive).exists()]
    for archive in track(missing, "unpacking archives", len(missing)) if missing else ():
        _build(archive)
    for archive in archives:
        path = unpacked_path(archive)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataFormatError(path, f"damaged ({error}); delete it, it will be built again") from error
        found, expected = (mapped.dtype, mapped.shape), (archive.stored_type, _shape(archive))
        if found != expected:
            raise DataFormatError(path, f"holds {found}, the archive {expected}; delete it, it will be built again")
        archive.unpacked = path


def _shape(archive: Archive) -> tuple[int, ...]:
    return len(archive.times), *archive.grid.shape


def _build(archive: Archive) -> None:
    path, everything = unpacked_path(archive), slice(None)
    try:
        with written_whole(path) as partial:
            values = np.lib.format.open_memmap(partial, "w+", archive.stored_type, _shape(archive))
            for start in range(0, len(values), FRAMES_AT_ONCE):
                frames = slice(start, start + FRAMES_AT_ONCE)
                values[frames] = archive.read_unmasked(frames, everything, everything)
            values.flush()
    except OSError as error:
        raise OSError(f"{path}: cannot write the unpacked archive ({error}); set data.cache=none") from error
