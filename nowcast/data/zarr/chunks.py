"""The field of a store, read by its chunks: missing ones are fetched and decoded side by side, the last are kept.

Zarr cuts what was asked for out of every chunk and throws the chunk away, which of public stores is a whole frame: the
next crop of the same window uses another part of it. And it fetches the chunks inside a shard one after the other.
"""

import asyncio
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import CodecPipeline
from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.codecs import ShardingCodec
from zarr.codecs.sharding import ShardingCodecIndexLocation
from zarr.core.array_spec import ArraySpec, parse_array_config
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.dtype import UInt64

from nowcast.data.zarr.chunk_cache import ChunkCache
from nowcast.data.zarr.store import StoredArray

KEPT_BYTES = 64 << 20  # of a process and store; those of the last times that were read are kept whatever their size
AT_ONCE = 32  # chunks of a process and store that are fetched and decoded side by side
NOT_THERE = 2**64 - 1  # offset of a chunk in the index of its shard
Key = tuple[int, ...]  # number of a chunk along each axis


class Chunks:
    """How the chunks of an array are fetched and decoded, by the codecs of Zarr.

    Args:
        array: Of shards the chunks inside are meant, where nothing was done to the shard as a whole.
        cache: Where what is fetched is kept on disk; None = nowhere.

    Attributes:
        shape: Of a chunk; those at the end of an axis are as large.
    """

    def __init__(self, array: StoredArray, cache: ChunkCache | None = None) -> None:
        """Nothing is read yet."""
        self._cache, self._turns = cache, asyncio.Semaphore(AT_ONCE)
        self._metadata, self._path = array.metadata, array.store_path
        config = parse_array_config({"order": array.metadata.order} if array.metadata.zarr_format == 2 else None)
        self._spec = array.metadata.get_chunk_spec((0,) * array.ndim, config, default_buffer_prototype())
        self._pipeline: CodecPipeline = array.async_array.codec_pipeline
        self._shards: _Shards | None = None
        codecs: tuple[Any, ...] = getattr(array.metadata, "codecs", ())
        if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
            self._shards = _Shards(codecs[0], self._spec, type(self._pipeline), self._read)
            self._spec, self._pipeline = self._shards.spec, self._shards.pipeline
        self.shape = self._spec.shape
        self._absent = np.broadcast_to(np.asarray(array.metadata.fill_value, dtype=array.dtype), self.shape)

    def decode(self, keys: list[Key]) -> list[NDArray[Any]]:
        """Chunks as they are stored; those that are not there hold the fill value of the array."""
        found: list[NDArray[Any]] = sync(self._all(keys))
        return found

    async def _all(self, keys: list[Key]) -> list[NDArray[Any]]:
        if self._shards is not None:
            self._shards.forget()
        tasks = [asyncio.ensure_future(self._one(key)) for key in keys]
        try:
            return await asyncio.gather(*tasks)
        finally:  # after an error the rest need not be read
            for task in tasks:
                task.cancel()

    async def _one(self, key: Key) -> NDArray[Any]:
        place = _Place(key, None, "") if self._shards is None else await self._shards.place(key)
        if place is None:
            return self._absent
        async with self._turns:
            decoded = await self._read(place, self._pipeline, self._spec)
        return self._absent if decoded is None else decoded

    async def _read(self, place: "_Place", pipeline: CodecPipeline, spec: ArraySpec) -> NDArray[Any] | None:
        """What bytes of a chunk or shard become by some codecs, from the cache or the store; None = it is not there."""
        path, part = self._path / self._metadata.encode_chunk_key(place.key), place.part
        cache, name = self._cache if place.version is not None else None, f"{path.path} {part} {place.version}"
        kept = None if cache is None else await asyncio.to_thread(cache.get, name)
        prototype = default_buffer_prototype()
        stored = await path.get(prototype, part) if kept is None else prototype.buffer.from_bytes(kept)
        if stored is None:
            return None
        if isinstance(part, RangeByteRequest) and len(stored) != part.end - part.start:
            raise ValueError(f"{path.path} was cut short")
        (decoded,) = await pipeline.decode([(stored, spec)])
        if cache is not None and kept is None:  # which is therefore sound
            await asyncio.to_thread(cache.put, name, stored.to_bytes())
        return None if decoded is None else decoded.as_numpy_array()


class _Place(NamedTuple):
    """Where bytes lie.

    Attributes:
        key: Of the chunk or shard.
        part: Which bytes of it; None = all.
        version: Of the shard, which may be written anew when frames are added; None = what is not to be kept on disk.
    """

    key: Key
    part: ByteRequest | None
    version: str | None


Read = Callable[[_Place, CodecPipeline, ArraySpec], Awaitable[NDArray[Any] | None]]
Index = tuple[NDArray[np.uint64], str]  # (…, 2) offset and size of the chunks of a shard, and a digest of them


class _Shards:
    """Where the chunks of shards lie, by the indices of these.

    They are read for each reading anew: a shard to which frames are added is another one, at whose old places other
    chunks may lie that can be decoded as well.

    Attributes:
        spec: Of the chunks inside.
        pipeline: Their codecs.
    """

    def __init__(self, codec: ShardingCodec, whole: ArraySpec, make: type[CodecPipeline], read: Read) -> None:
        self.spec = replace(whole, shape=codec.chunk_shape)
        self.pipeline = make.from_codecs([each.evolve_from_array_spec(self.spec) for each in codec.codecs])
        self._counts = tuple(shard // chunk for shard, chunk in zip(whole.shape, codec.chunk_shape, strict=True))
        self._read = read
        self._index_spec = replace(
            whole, shape=(*self._counts, 2), dtype=UInt64(endianness="little"), fill_value=NOT_THERE
        )
        self._index_pipeline = make.from_codecs(codec.index_codecs)
        size = self._index_pipeline.compute_encoded_size(16 * math.prod(self._counts), self._index_spec)
        at_start = codec.index_location is ShardingCodecIndexLocation.start
        self._index_range: ByteRequest = RangeByteRequest(0, size) if at_start else SuffixByteRequest(size)
        self._indices: dict[Key, asyncio.Future[Index | None]] = {}

    async def place(self, key: Key) -> _Place | None:
        """Where a chunk lies; None = it is not there."""
        shard = tuple(number // count for number, count in zip(key, self._counts, strict=True))
        found = await self._index(shard)
        if found is None:
            return None
        index, version = found
        first, size = index[tuple(number % count for number, count in zip(key, self._counts, strict=True))].tolist()
        return None if first == NOT_THERE else _Place(shard, RangeByteRequest(first, first + size), version)

    def forget(self) -> None:
        """Read the indices again."""
        self._indices.clear()

    async def _index(self, shard: Key) -> Index | None:
        if shard not in self._indices:  # those who ask meanwhile wait for the same
            self._indices[shard] = asyncio.ensure_future(self._read_index(shard))
        return await asyncio.shield(self._indices[shard])

    async def _read_index(self, shard: Key) -> Index | None:
        index = await self._read(_Place(shard, self._index_range, None), self._index_pipeline, self._index_spec)
        return None if index is None else (index, hashlib.sha256(index.tobytes()).hexdigest())


class DecodedChunks:
    """An array of three axes of which the last decoded chunks are kept; several threads may read.

    Args:
        array: The field as it is stored: time, rows, columns.
        cache: Where what is fetched is kept on disk; None = nowhere.
        kept: Bytes of decoded chunks that are kept beyond those of the times that were read last.
    """

    def __init__(self, array: StoredArray, cache: ChunkCache | None = None, kept: int = KEPT_BYTES) -> None:
        """Nothing is read yet."""
        self._dtype, self._source, self._most = array.dtype, Chunks(array, cache), kept
        self._lock, self._size = threading.Lock(), 0
        self._kept: OrderedDict[Key, NDArray[Any]] = OrderedDict()  # the last used at the end

    def read(self, frames: NDArray[np.int64], rows: slice, columns: slice) -> NDArray[Any]:
        """Some cells of some frames, as they are stored.

        Args:
            frames: (T,) their numbers, rising.
            rows: Without a step, inside the array.
            columns: The same.
        """
        found = np.empty((len(frames), rows.stop - rows.start, columns.stop - columns.start), dtype=self._dtype)
        if not found.size:
            return found
        length, height, width = self._source.shape
        times = list(dict.fromkeys((frames // length).tolist()))
        across = list(product(_covering(rows, height), _covering(columns, width)))
        chunks = self._get([(time, *place) for time in times for place in across])
        for time in times:
            first, last = np.searchsorted(frames, [time * length, (time + 1) * length])
            inside = _span(frames[first:last] - time * length)
            for row, column in across:
                (to_row, of_row), (to_column, of_column) = _part(rows, row, height), _part(columns, column, width)
                found[first:last, to_row, to_column] = chunks[time, row, column][inside, of_row, of_column]
        return found

    def _get(self, wanted: list[Key]) -> dict[Key, NDArray[Any]]:
        with self._lock:
            found = {key: self._kept[key] for key in wanted if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
            missing = [key for key in wanted if key not in found]
            self._make_room(len(missing) * math.prod(self._source.shape) * self._dtype.itemsize, wanted)
        decoded = dict(zip(missing, self._source.decode(missing), strict=True)) if missing else {}
        with self._lock:
            for key, chunk in decoded.items():
                if key not in self._kept:  # by another thread meanwhile
                    self._kept[key] = chunk
                    self._size += chunk.nbytes
        return found | decoded

    def _make_room(self, coming: int, wanted: list[Key]) -> None:
        """For so many bytes, which may be more than are kept in all; what is of the same times stays."""
        times = {key[0] for key in wanted}
        for key in [key for key in self._kept if key[0] not in times]:
            if self._size + coming <= self._most:
                break
            self._size -= self._kept.pop(key).nbytes


def _covering(part: slice, size: int) -> range:
    """Numbers of the chunks that hold a part of an axis."""
    return range(part.start // size, (part.stop - 1) // size + 1)


def _part(part: slice, number: int, size: int) -> tuple[slice, slice]:
    """Where a chunk's cells lie in a part of an axis, and which of the chunk they are."""
    first, last = max(part.start, number * size), min(part.stop, (number + 1) * size)
    return slice(first - part.start, last - part.start), slice(first - number * size, last - number * size)


def _span(numbers: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """The same as a slice where they are consecutive, which spares a copy."""
    first, last = int(numbers[0]), int(numbers[-1])
    return slice(first, last + 1) if last - first == len(numbers) - 1 else numbers
