"""One way to open an archive, whatever it is kept in."""

from pathlib import Path

from nowcast.config.command_line.arguments import is_store
from nowcast.data.archive.archive import Archive
from nowcast.files import how_to_install


def archive_at(place: Path | str, cache_gb: float = 0.0) -> Archive:
    """Open an archive for reading.

    Args:
        place: A netCDF file that `nowcast prepare` made, or the folder or address of a Zarr store.
        cache_gb: GB on disk that chunks of stores at addresses may take, all together; 0 = none are kept.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not an archive, or damaged.
        ModuleNotFoundError: A store, and the extra `cloud` is not installed.
    """
    if not is_store(place):
        return Archive(place)
    try:
        from nowcast.data.zarr.archive import ZarrArchive
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{place} is a Zarr store, which needs {error.name}; {how_to_install('cloud')}"
        ) from error
    return ZarrArchive(place, cache_gb)
