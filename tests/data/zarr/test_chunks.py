"""Reading by chunks: against NumPy's own indexing, and how often and how many at once chunks are fetched."""

import asyncio
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from zarr.codecs import ShardingCodec
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from nowcast.data.zarr.chunk_cache import ChunkCache
from nowcast.data.zarr.chunks import DecodedChunks

pytestmark = pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed` codec")  # of the turned shards
SHAPE = (23, 30, 41)
LAYOUTS = {
    "frames": {"chunks": (1, 30, 41)},
    "frames of version 2": {"chunks": (1, 30, 41), "zarr_format": 2},
    "several frames": {"chunks": (4, 30, 41)},
    "pieces": {"chunks": (5, 8, 9)},
    "pieces, other way round": {"chunks": (5, 8, 9), "order": "F", "zarr_format": 2},
    "shards": {"chunks": (5, 8, 9), "shards": (10, 32, 18)},
    "shards, index first": {
        "chunks": (5, 30, 9), "shards": {"shape": (10, 30, 45), "index_location": "start"},
    },
    "turned shards": {"chunks": (10, 30, 20), "filters": [zarr.codecs.TransposeCodec(order=(2, 1, 0))],
                      "serializer": ShardingCodec(chunk_shape=(10, 10, 10)), "compressors": None},
    "other bytes first": {"chunks": (3, 7, 41), "dtype": ">i2", "zarr_format": 2},
}  # fmt: skip


class Watched(WrapperStore):
    """A store that says what it is asked for, and how much of it at once."""

    def __init__(self, store):
        super().__init__(store)
        self.asked, self.under_way, self.most, self.fail = Counter(), 0, 0, False

    async def get(self, key, prototype, byte_range=None):
        self.asked[key if byte_range is None else (key, type(byte_range).__name__)] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(10):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.fail:
            raise OSError("gone")
        return await super().get(key, prototype, byte_range)


def made(layout, fill_value=-1, **more):
    """An array, its values, and the store that watches it."""
    settings = {"dtype": "i2", "fill_value": fill_value} | LAYOUTS[layout] | more
    values = np.random.default_rng(0).integers(0, 30_000, SHAPE).astype(settings["dtype"])
    memory = MemoryStore()
    array = zarr.create_array(memory, name="a", shape=SHAPE, config={"write_empty_chunks": True}, **settings)
    array[...] = values
    array = zarr.open_array(Watched(MemoryStore(memory._store_dict, read_only=True)), path="a", mode="r")
    store = array.store_path.store
    store.asked.clear()
    return array, values, store


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0, 3000, 1 << 26])
def test_what_is_read_is_what_was_written(layout, kept):
    array, values, _ = made(layout)
    chunks, draw = DecodedChunks(array, kept=kept), np.random.default_rng(1)
    for _ in range(40):
        frames = np.sort(draw.choice(SHAPE[0], draw.integers(0, SHAPE[0]), replace=False))
        if draw.random() < 0.5:
            frames = np.arange(draw.integers(0, 5), SHAPE[0], draw.integers(1, 4))
        rows, columns = (slice(*np.sort(draw.integers(0, size + 1, 2)).tolist()) for size in SHAPE[1:])
        found = chunks.read(frames, rows, columns)
        assert found.dtype == values.dtype
        assert np.array_equal(found, values[frames, rows, columns])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_not_there_is_the_fill_value(layout):
    array, _, _ = made(layout)
    memory = array.store_path.store._store
    names = [name for name in memory._store_dict if "json" not in name and ".z" not in name]
    del memory._store_dict[names[1]]
    expected = zarr.open_array(memory, path="a", mode="r")[...]
    assert (expected == -1).any()
    found = DecodedChunks(array).read(np.arange(SHAPE[0]), slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    assert np.array_equal(found, expected)


def test_a_chunk_inside_a_shard_may_not_be_there():
    settings = {"chunks": (5, 8, 9), "shards": (10, 32, 18), "dtype": "f4", "fill_value": np.nan}
    array = zarr.create_array(MemoryStore(), shape=SHAPE, **settings)
    array[:7, :9, :4] = 1
    found = DecodedChunks(array).read(np.arange(12), slice(0, 30), slice(0, 41))
    expected = np.full((12, 30, 41), np.nan)
    expected[:7, :9, :4] = 1
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("layout", ["frames", "shards"])
def test_crops_of_one_window_are_fetched_once(layout):
    array, values, store = made(layout)
    chunks, frames = DecodedChunks(array, kept=0), np.arange(3, 11)
    chunks.read(frames, slice(0, 30), slice(0, 41))
    before = store.asked.copy()
    assert len(before) >= 4
    for rows, columns in ((slice(3, 9), slice(0, 9)), (slice(20, 30), slice(11, 41))):
        assert np.array_equal(chunks.read(frames, rows, columns), values[frames, rows, columns])
    assert store.asked == before


def test_the_index_of_a_shard_is_read_once_a_reading_and_its_chunks_side_by_side():
    array, _, store = made("shards")
    DecodedChunks(array, kept=0).read(np.arange(10), slice(0, 30), slice(0, 18))
    suffixes = [count for key, count in store.asked.items() if key[1:] == ("SuffixByteRequest",)]
    assert suffixes == [1]
    assert store.asked[("a/c/0/0/0", "RangeByteRequest")] == 2 * 4 * 2
    assert store.most == 16  # of 16 that there are


def test_no_more_than_a_number_are_fetched_at_once(monkeypatch):
    monkeypatch.setattr("nowcast.data.zarr.chunks.AT_ONCE", 7)
    array, _, store = made("frames")
    DecodedChunks(array).read(np.arange(23), slice(0, 30), slice(0, 41))
    assert store.most == 7


def test_no_more_is_kept_than_allowed_and_the_last_used_longest():
    array, values, store = made("frames")
    size = 30 * 41 * 2
    chunks = DecodedChunks(array, kept=4 * size)

    def read(*frames):
        found = chunks.read(np.array(frames), slice(0, 2), slice(0, 2))
        assert np.array_equal(found, values[list(frames), :2, :2])
        assert chunks._size == sum(each.nbytes for each in chunks._kept.values()) <= max(4, len(frames)) * size

    for frame in (0, 1, 2, 3, 0, 4, 5):
        read(frame)
    assert [key[0] for key in chunks._kept] == [3, 0, 4, 5]
    read(*range(6, 16))  # of one reading all stay
    read(*range(6, 16))
    assert store.asked["a/c/6/0/0"] == 1
    read(20)
    assert len(chunks._kept) == 4


def test_threads_may_read_at_once():
    array, values, _ = made("shards")
    chunks = DecodedChunks(array, kept=5000)

    def read(seed):
        draw = np.random.default_rng(seed)
        for _ in range(10):
            first = draw.integers(0, 20)
            frames = np.arange(first, draw.integers(first + 1, 24))
            rows = slice(draw.integers(0, 10), draw.integers(11, 31))
            assert np.array_equal(chunks.read(frames, rows, slice(3, 40)), values[frames, rows, 3:40])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    assert chunks._size == sum(each.nbytes for each in chunks._kept.values())


def test_after_an_error_it_is_tried_again():
    array, values, store = made("shards")
    chunks = DecodedChunks(array)
    store.fail = True
    with pytest.raises(OSError, match="gone"):
        chunks.read(np.arange(4), slice(0, 30), slice(0, 41))
    store.fail = False
    assert np.array_equal(chunks.read(np.arange(4), slice(0, 30), slice(0, 41)), values[:4])


@pytest.mark.parametrize("cut", [1, 5000])
def test_a_shard_that_was_cut_short_is_an_error(tmp_path, cut):
    for name, location in (("end", "end"), ("start", "start")):
        settings = {"chunks": (5, 30, 9), "shards": {"shape": (10, 30, 45), "index_location": location}}
        array = zarr.create_array(LocalStore(tmp_path / name), shape=SHAPE, dtype="i2", **settings)
        array[...] = np.random.default_rng(0).integers(0, 30_000, SHAPE)
        shard = tmp_path / name / "c/0/0/0"
        shard.write_bytes(shard.read_bytes()[:-cut])
        with pytest.raises(Exception, match=r"cut short|checksum|size|buffer|decompress|shape"):
            DecodedChunks(array).read(np.arange(10), slice(0, 30), slice(0, 41))
        shutil.rmtree(tmp_path / name)


@pytest.mark.parametrize("cached", [False, True])
def test_a_shard_that_is_written_anew_may_be_read_on(tmp_path, cached):
    """As when frames are added to it: the chunks that it had lie elsewhere in the new file."""
    settings = {"chunks": (5, 30, 9), "shards": (20, 30, 45), "dtype": "i2", "fill_value": -1}
    array = zarr.create_array(LocalStore(tmp_path), shape=SHAPE, **settings)
    cache = ChunkCache(tmp_path / "cache", 10**8, "store") if cached else None
    values = np.random.default_rng(0).integers(0, 30_000, SHAPE)
    array[5:10] = values[5:10]
    chunks, everywhere = DecodedChunks(array, cache, kept=0), (slice(0, 30), slice(0, 41))
    assert np.array_equal(chunks.read(np.arange(5, 10), *everywhere), values[5:10])
    before = (tmp_path / "c/0/0/0").read_bytes()
    array[:5] = values[:5]
    assert before[:1000] != (tmp_path / "c/0/0/0").read_bytes()[:1000]
    chunks.read(np.arange(10, 12), *everywhere)  # so that the others are no longer kept
    assert np.array_equal(chunks.read(np.arange(5, 10), *everywhere), values[5:10])
