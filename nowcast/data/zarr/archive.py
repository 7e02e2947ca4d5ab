"""A Zarr store as an archive: the same times, windows, shares and scores as those of a netCDF archive of its frames."""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import netCDF4
import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec
from zarr.storage import StorePath

from nowcast.config.command_line.arguments import archive_name, is_address
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.summaries import tile_summaries
from nowcast.data.cf.file import NOTHING_TOLD, CFFile, numbers_of
from nowcast.data.zarr.chunk_cache import ChunkCache
from nowcast.data.zarr.chunks import DecodedChunks
from nowcast.data.zarr.dataset import StoreGroup, StoreVariable
from nowcast.data.zarr.header import Header, read_header, tell
from nowcast.data.zarr.store import Opened, StoredArray, WholeBlosc, one_line, open_store
from nowcast.data.zarr.values import translator

METADATA = ("zarr.json", ".zmetadata", ".zattrs")  # of the group; consolidated, it holds that of all arrays
SAMPLES = 4  # chunks whose bytes are part of the fingerprint
SAMPLE_BYTES = 65536  # of a shard, at its end, where its index lies
READERS = 8  # threads: they wait for the disk or the server most of the time
OF_ARRAY = ("zarr.json", ".zarray", ".zattrs")


@dataclass(eq=False)
class ZarrArchive(Archive):
    """A store of radar frames in the layout of the mlcast specification, opened for reading.

    Picklable: every process opens the store itself, when it first reads.

    Args:
        path: A folder or an address.
        cache_gb: GB on disk that chunks of all stores at addresses may take together; 0 = none are kept.

    Attributes:
        attributes: Those of the group, and `fingerprint`.

    Raises:
        DataFormatError: No such store, not readable, or not one of radar frames.
    """

    cache_gb: float = 0.0
    header: Header = field(init=False, repr=False)
    _open: tuple[int, CFFile, StoreVariable] | None = field(default=None, init=False, repr=False)
    _reading: tuple[DecodedChunks, Callable[[NDArray[Any]], NDArray[Any]]] | None = field(
        default=None, init=False, repr=False
    )

    def __post_init__(self) -> None:
        """Read all but the field."""
        self.path = str(self.path) if is_address(self.path) else Path(self.path)
        group, opened = self._group()
        self.snapshot = opened.snapshot
        file = self._file(group)
        self.header = header = read_header(file)
        tell(file, file.assumptions)
        self.times, self.grid, self.to_rain_rate = header.times, header.grid, header.to_rain_rate
        self._packed = header.packing is not None
        self._scale, self._offset = (1.0, 0.0) if header.packing is None else dataclasses.astuple(header.packing)
        self.attributes = {name: str(value) for name, value in group.attributes.items()}
        self.attributes["fingerprint"] = _fingerprint(opened, group, header)
        self.summarise = tile_summaries

    def _group(self) -> tuple[StoreGroup, Opened]:
        opened = open_store(self.path, self.snapshot)
        with one_line(self.path, "is no Zarr store that can be opened"):
            group = zarr.open_group(opened.store, mode="r")
        if str(self.path).startswith("http") and group.metadata.consolidated_metadata is None:
            raise DataFormatError(
                self.path,
                "its metadata are not consolidated, and servers of https list nothing: have it consolidated "
                "(zarr.consolidate_metadata), or read it as s3:// or from a copy",
            )
        with one_line(self.path, "its arrays cannot be listed"):
            return StoreGroup(self.path, dict(group.arrays()), group.attrs.asdict()), opened

    def _file(self, group: StoreGroup) -> CFFile:
        """What the decoder of CF files takes for a file: the group has of netCDF4 what it uses."""
        return CFFile(cast(Path, self.path), cast(netCDF4.Dataset, group), NOTHING_TOLD, by_config=False)

    @property
    def name(self) -> str:
        """Last part of folder or address, without its ending."""
        return archive_name(self.path)

    @property
    def cache_folder(self) -> Path:
        """Beside the store; of addresses, in $XDG_CACHE_HOME/nowcast (~/.cache/nowcast)."""
        if not is_address(self.path):
            return Path(self.path).parent
        return _caches() / hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    @property
    def readers(self) -> int:
        """Threads that may read at once: they wait for the disk or the server most of the time."""
        return READERS

    @property
    def field_name(self) -> str:
        """Of the array."""
        return self.header.field

    @property
    def frames_at_once(self) -> int:
        """Frames in one chunk or shard."""
        array = self._field()[1].array
        return int((array.shards or array.chunks)[0])

    @property
    def stored_frames(self) -> NDArray[np.int64]:
        """(N,) number of each frame in the store."""
        return self.header.kept

    @property
    def flips(self) -> tuple[bool, bool]:
        """Whether rows and columns lie in the store the other way round."""
        return self.header.flips

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what belongs to one process."""
        return super().__getstate__() | {"_open": None, "_reading": None}

    def close(self) -> None:
        """Forget the store; reading opens it again."""
        self._open = self._reading = None

    def _field(self) -> tuple[CFFile, StoreVariable]:
        """The field, opened by this very process: the threads of Zarr do not survive a fork.

        Raises:
            DataFormatError: It is no longer what it was when the archive was opened, by this process or another.
        """
        if self._open is None or self._open[0] != os.getpid():
            group, opened = self._group()
            if _fingerprint(opened, group, self.header) != self.fingerprint:
                raise DataFormatError(
                    self.path,
                    "the store changed after it was opened: its metadata or its values are others. Begin again with "
                    "what it is now, or with a copy that stays as it is",
                )
            file = self._file(group)
            variable = group.variables[self.header.field]
            variable.array = _absent_is_no_data(file, variable)
            self._open = (os.getpid(), file, variable)
            chunks = DecodedChunks(variable.array, self._chunk_cache())
            self._reading = chunks, translator(file, variable, self.header)
        return self._open[1:]

    def _chunk_cache(self) -> ChunkCache | None:
        if not self.cache_gb or not is_address(self.path):
            return None
        return ChunkCache(_caches() / "chunks", int(self.cache_gb * 1e9), f"{self.path} {self.fingerprint}")

    def _block(self, frames: slice, rows: slice, columns: slice) -> NDArray[Any]:
        self._field()
        assert self._reading is not None
        chunks, translate = self._reading
        header = self.header
        across = [
            _stored(part, size, flip)
            for part, size, flip in zip((rows, columns), self.grid.shape, header.flips, strict=True)
        ]
        first, stop, _ = frames.indices(len(self.times))
        with one_line(self.path, f"cannot read {header.field}, frames {first} to {stop}"):
            stored = chunks.read(header.kept[frames], *across)
        turn = tuple(slice(None, None, -1 if flip else 1) for flip in header.flips)
        return np.ascontiguousarray(translate(stored)[:, *turn])


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nowcast"


def _stored(part: slice, size: int, flip: bool) -> slice:
    """The same cells in the order of the store."""
    start, stop, _ = part.indices(size)
    return slice(size - stop, size - start) if flip else slice(start, stop)


def _absent_is_no_data(file: CFFile, variable: StoreVariable) -> StoredArray:
    """The array with a fill value that means no data: Zarr gives it for chunks that are not there.

    Raises:
        DataFormatError: No value of an integer field means no data.
    """
    array = variable.array
    fill: Any = array.dtype.type(np.nan) if array.dtype.kind == "f" else None
    if fill is None:
        named = [*numbers_of(file, variable, "_FillValue"), *numbers_of(file, variable, "missing_value")]
        limits = np.iinfo(array.dtype)
        fits = [value for value in named if float(value).is_integer() and limits.min <= value <= limits.max]
        if not fits:
            raise file.refuse(
                f"{variable.name} holds integers of which none means no data: a chunk that is not there would read as "
                "rain or as none",
                f"_FillValue={limits.max}",
                "if it holds no such value",
            )
        fill = array.dtype.type(int(fits[0]))
    metadata = dataclasses.replace(array.metadata, fill_value=fill)
    path = array.store_path
    if not array.shards and array.compressors and isinstance(array.compressors[-1], BloscCodec | Blosc):
        path = StorePath(WholeBlosc(path.store), path.path)
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=path))


def _fingerprint(opened: Opened, group: StoreGroup, header: Header) -> str:
    """SHA-256 over the metadata of the group and the field as it is stored, times, axes, and samples (or snapshot)."""
    digest = hashlib.sha256()
    for key in (*METADATA, *(f"{header.field}/{name}" for name in OF_ARRAY)):
        digest.update(opened.raw(key, None) or b"")
    digest.update(header.digest.encode())
    if opened.snapshot is not None:  # it says of all values what they are
        digest.update(opened.snapshot.encode())
        return digest.hexdigest()
    array = group.variables[header.field].array
    for key in _sampled(array):
        content = opened.raw(f"{array.path}/{key}", SAMPLE_BYTES if array.shards else None)
        digest.update(b"absent" if content is None else hashlib.sha256(content).digest())
    return digest.hexdigest()


def _sampled(array: StoredArray) -> list[str]:
    """Keys of chunks, or shards, in the middle of the grid at equal steps of time, the first and the last among them.

    An archive that was written anew under the same metadata is noticed by them, a frame that was corrected is not.
    """
    shape = array.shards or array.chunks
    counts = [-(-size // chunk) for size, chunk in zip(array.shape, shape, strict=True)]
    times = dict.fromkeys(np.linspace(0, counts[0] - 1, SAMPLES).round().astype(int).tolist())
    return [array.metadata.encode_chunk_key((time, counts[1] // 2, counts[2] // 2)) for time in times]
