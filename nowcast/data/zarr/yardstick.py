"""What the loading of stores is measured by: stores of an archive's frames, xarray with dask, what is decoded."""

import importlib.util
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import xarray
import zarr
from numpy.typing import NDArray
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline

from nowcast.data.archive.archive import EPOCH, FILL, Archive
from nowcast.data.archive.writer import SPACE_CHUNK, TIME_CHUNK
from nowcast.data.zarr.store import open_store

FIELD = "rr"
LAYOUTS = ("1xHxW", "shards")
SHARD_FRAMES = 12 * TIME_CHUNK
CRS = "EPSG:3035"


def write_store(archive: Archive, path: Path, layout: str) -> Path:
    """Write the frames of a packed archive of rain rates as a store of Zarr 3.

    Args:
        archive: Whose frames.
        path: A folder that is not there yet.
        layout: 1xHxW = as public stores are: rain rates of 32 bits in chunks of one whole frame; shards = 16-bit
            integers in chunks of the size of those of netCDF archives, 240 frames of all of them in one file.
    """
    frames, (rows, columns) = len(archive.times), archive.grid.shape
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    attributes: dict[str, Any] = {"standard_name": "rainfall_flux", "units": "mm h-1", "grid_mapping": "crs"}
    sharded = layout == "shards"
    if sharded:
        attributes |= {"scale_factor": archive.meaning[1], "add_offset": archive.meaning[2], "_FillValue": FILL}
    inner = (TIME_CHUNK, SPACE_CHUNK, SPACE_CHUNK)
    whole = (SHARD_FRAMES, *(-(-side // SPACE_CHUNK) * SPACE_CHUNK for side in (rows, columns)))
    field = group.create_array(
        FIELD,
        shape=(frames, rows, columns),
        dtype="u2" if sharded else "f4",
        chunks=inner if sharded else (1, rows, columns),
        shards=whole if sharded else None,
        fill_value=FILL if sharded else np.nan,
        dimension_names=["time", "y", "x"],
        attributes=attributes,
    )
    read = archive.read_stored if sharded else archive.read
    for start in range(0, frames, SHARD_FRAMES):
        block = slice(start, min(start + SHARD_FRAMES, frames))
        field[block] = read(block, slice(None), slice(None))
    _add(group, "time", archive.times.astype(np.int64), {"standard_name": "time", "units": EPOCH})
    for axis, centres in (("y", archive.grid.y), ("x", archive.grid.x)):
        _add(group, axis, centres, {"standard_name": f"projection_{axis}_coordinate", "units": "m"})
    crs = group.create_array("crs", shape=(), dtype="i4")
    crs.attrs["crs_wkt"] = pyproj.CRS(CRS).to_wkt()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(group.store)
    return path


def _add(group: zarr.Group, name: str, values: NDArray[Any], attributes: dict[str, Any]) -> None:
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, dimension_names=[name], attributes=attributes
    )
    array[:] = values


def dask_is_there() -> bool:
    """Whether xarray can read with dask."""
    return importlib.util.find_spec("dask") is not None


class XarrayReader:
    """A store as somebody reads it who knows xarray and nothing of this project: lazily by dask, a chunk a task.

    Args:
        place: A folder or an address.
    """

    def __init__(self, place: Path | str) -> None:
        """Open it; what dask imports is none of the reading."""
        importlib.import_module("dask.array")
        self.field = xarray.open_zarr(open_store(place)[0], chunks={})[FIELD]

    def read(self, frames: slice, rows: slice, columns: slice) -> NDArray[np.floating]:
        """(T, rows, columns) in mm h-1, NaN = no data."""
        return np.asarray(self.field[frames, rows, columns].values)


class Counted(BatchedCodecPipeline):
    """Zarr's own decoding, which says how much it decoded in this process."""

    total = 0

    async def decode_batch(self, chunk_bytes_and_specs: Iterable[Any]) -> Iterable[Any]:
        """Decode chunks."""
        decoded = list(await super().decode_batch(chunk_bytes_and_specs))
        Counted.total += sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in decoded if each is not None)
        return decoded


@contextmanager
def decoding_counted() -> Iterator[type[Counted]]:
    """Count what is decoded of arrays that are opened in the block: `total` rises, in bytes."""
    register_pipeline(Counted)
    with zarr.config.set({"codec_pipeline.path": f"{Counted.__module__}.{Counted.__qualname__}"}):
        yield Counted
