"""A store without its frames: metadata, axes and times in the layout of mlcast's source-data specification."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from nowcast.data.archive.archive import EPOCH
from nowcast.data.archive.frame import Frame, Grid
from nowcast.data.archive.writer import BUFFER_CELLS, coordinate_attributes, mapping_attributes
from nowcast.data.prepare.report import absent_times
from nowcast.data.zarr.header import PACKING
from nowcast.units import Quantity

ZSTD_LEVEL = 3
TIME_CHUNK = 65536
ROOT = "zarr.json"

# Source: mlcast source-data specification 0.3.0, section 4.4: name, standard name, unit. What radars see is
# precipitation, be it rain or snow.
FIELDS = {
    Quantity.RAIN_RATE: ("prate", "precipitation_flux", "kg m-2 h-1", "precipitation rate"),
    Quantity.RAIN_AMOUNT: ("precipitation_amount", "precipitation_amount", "kg m-2", "precipitation amount"),
    Quantity.REFLECTIVITY: (
        "equivalent_reflectivity_factor", "equivalent_reflectivity_factor", "dBZ", "equivalent reflectivity factor",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """How the field of a store is cut.

    Args:
        frames_per_shard: Frames of an object (a file); fewer where they are larger than BUFFER_CELLS.
        chunk: Frames, rows and columns that are compressed together; None = all of a shard, of the grid.

    Raises:
        ValueError: Not positive, or a shard does not hold whole chunks.
    """

    frames_per_shard: int
    chunk: tuple[int | None, int | None, int | None]

    def __post_init__(self) -> None:
        """Check sizes."""
        if self.frames_per_shard < 1 or len(self.chunk) != 3 or any(n is not None and n < 1 for n in self.chunk):
            raise ValueError(
                f"store.frames_per_shard={self.frames_per_shard} and store.chunk={list(self.chunk)}: expected a number "
                "of at least 1, and frames, rows and columns (null = all)"
            )

    def shard_frames(self, grid: Grid) -> int:
        """Frames of a shard, a multiple of those of a chunk."""
        most = max(1, min(self.frames_per_shard, BUFFER_CELLS // (grid.shape[0] * grid.shape[1])))
        return max(1, most // (self.chunk[0] or 1)) * (self.chunk[0] or 1) if self.chunk[0] else most

    def cut(self, grid: Grid) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Chunks and shards: shards hold all rows and columns, in whole chunks."""
        frames = self.shard_frames(grid)
        sides = [min(wanted or size, size) for wanted, size in zip(self.chunk[1:], grid.shape, strict=True)]
        whole = [-(-size // side) * side for size, side in zip(grid.shape, sides, strict=True)]
        return (self.chunk[0] or frames, *sides), (frames, *whole)


def field_name(frame: Frame) -> str:
    """The name of the field of a store."""
    return FIELDS[frame.quantity][0]


def template(
    first: Frame, times: Sequence[np.datetime64], layout: Layout, attributes: Mapping[str, Any]
) -> dict[str, bytes]:
    """All of a store but its frames: key → bytes. Equal arguments give equal bytes.

    Args:
        first: Any frame: quantity, grid, packing, period and Z-R.
        times: Of all frames, rising.
        layout: How the field is cut.
        attributes: Global ones.
    """
    store = MemoryStore()
    root = zarr.open_group(store, mode="w", zarr_format=3, attributes=dict(attributes))
    grid = first.grid
    for name, values in (("y", grid.y), ("x", grid.x)):
        _add(root, name, [name], values, coordinate_attributes(name, grid))
    _add(root, "crs", [], np.zeros((), np.int32), _mapping(grid))
    seconds = np.asarray(times, dtype="datetime64[s]").astype(np.int64)
    clock = {"standard_name": "time", "units": EPOCH, "calendar": "standard"}
    _add(root, "time", ["time"], seconds, clock | {"axis": "T", "long_name": "time"}, (TIME_CHUNK,))
    absent = absent_times(times).astype(np.int64)
    if len(absent):
        clock["long_name"] = "times without a frame"
        _add(root, "missing_times", ["missing_times"], absent, clock, (TIME_CHUNK,))
    attributes_of_field = _field(first)
    if places := latitudes_longitudes(grid):
        for name, degrees, said in zip(("lat", "lon"), places, (LATITUDE, LONGITUDE), strict=True):
            _add(root, name, ["y", "x"], degrees, said)
        attributes_of_field["coordinates"] = "lat lon"
    chunks, shards = layout.cut(grid)
    root.create_array(
        field_name(first), shape=(len(times), *grid.shape), dtype=np.float32, chunks=chunks, shards=shards,
        compressors=[ZstdCodec(level=ZSTD_LEVEL, checksum=True)], fill_value=np.nan,
        dimension_names=["time", "y", "x"], attributes=attributes_of_field,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store)
    return {key: _bytes(store, key) for key in sorted(sync(_keys(store)))}


LATITUDE = {"standard_name": "latitude", "units": "degrees_north", "long_name": "latitude"}
LONGITUDE = {"standard_name": "longitude", "units": "degrees_east", "long_name": "longitude"}


def latitudes_longitudes(grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """(ny, nx) each, of the centres of the cells of a projected grid in degrees (WGS 84); None of others."""
    if not grid.crs or not (crs := pyproj.CRS.from_user_input(grid.crs)).is_projected:
        return None
    x, y = np.meshgrid(grid.x, grid.y)
    longitude, latitude = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return latitude.astype(np.float32), longitude.astype(np.float32)


def _mapping(grid: Grid) -> dict[str, Any]:
    attributes = mapping_attributes(grid)
    return attributes | ({"spatial_ref": attributes["crs_wkt"]} if "crs_wkt" in attributes else {})


def _field(first: Frame) -> dict[str, Any]:
    _, standard_name, units, long_name = FIELDS[first.quantity]
    attributes: dict[str, Any] = {
        "long_name": long_name,
        "standard_name": standard_name,
        "units": units,
        "grid_mapping": "crs",
        "cell_methods": "time: sum" if first.period is not None else "time: point",
    }
    if first.packing is not None:
        attributes[PACKING] = [first.packing.scale, first.packing.offset]
    if first.period is not None:
        attributes["accumulation_period"] = first.period
    if first.no_echo is not None:
        attributes["no_echo"] = first.no_echo
    if first.zr is not None:
        attributes |= {"zr_a": first.zr.a, "zr_b": first.zr.b}
    return attributes


def _add(
    root: zarr.Group, name: str, dimensions: list[str], values: NDArray[Any], attributes: Mapping[str, Any],
    chunks: tuple[int, ...] | None = None,
) -> None:  # fmt: skip
    array = root.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks or values.shape, dimension_names=dimensions,
        attributes=dict(attributes), config={"write_empty_chunks": True},
        compressors=[ZstdCodec(level=ZSTD_LEVEL, checksum=True)],
    )  # fmt: skip
    array[...] = values


async def _keys(store: MemoryStore) -> list[str]:
    return [key async for key in store.list()]


def _bytes(store: MemoryStore, key: str) -> bytes:
    buffer = sync(store.get(key, default_buffer_prototype()))
    assert buffer is not None  # it is one of its keys
    return buffer.to_bytes()
