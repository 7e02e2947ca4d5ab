"""The unpacked cache of an archive: the same values, built once, never those of another archive."""

import os
import pickle

import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.archive.unpacked import unpacked_path, use_unpacked
from tests.data.archives import frame, moving_rain, write
from tests.data.modules import module


def quiet(items, text, total):
    return items


@pytest.fixture
def path(tmp_path):
    return moving_rain(tmp_path / "a.nc", frames=70)


BLOCKS = [(slice(None), slice(None), slice(None)), (slice(3, 40, 2), slice(5, 20), slice(30, 39)), (slice(69, 70),) * 3]


@pytest.mark.parametrize("block", BLOCKS)
def test_it_reads_the_same_values(path, block):
    plain, cached = Archive(path), Archive(path)
    use_unpacked([cached], quiet)
    np.testing.assert_array_equal(cached.read(*block), plain.read(*block))


def test_no_data_stays_no_data_and_floats_keep_every_bit(tmp_path):
    values = np.array([[np.nan, 0.123456789], [1e-7, 300.0]], dtype=np.float32)
    for name, packing in (("packed", {}), ("floats", {"packing": None})):
        archive = Archive(write(tmp_path / f"{name}.nc", [frame(0, values, **packing), frame(5, values, **packing)]))
        expected = archive.read(*BLOCKS[0])
        use_unpacked([archive], quiet)
        np.testing.assert_array_equal(archive.read(*BLOCKS[0]), expected)
        assert np.isnan(expected[0, 0, 0])


def test_it_is_built_once_and_not_read_from_the_archive_again(path):
    archive = Archive(path)
    use_unpacked([archive], quiet)
    built = unpacked_path(archive).stat().st_mtime_ns
    again = Archive(path)
    use_unpacked([again], quiet)
    assert unpacked_path(again).stat().st_mtime_ns == built
    path.unlink()
    assert again.read(*BLOCKS[0]).shape == (70, 32, 40)


def test_another_archive_of_the_same_name_gets_its_own(path):
    old = Archive(path)
    use_unpacked([old], quiet)
    path.unlink()
    new = Archive(moving_rain(path, frames=70, seed=5))
    expected = new.read(*BLOCKS[0])
    use_unpacked([new], quiet)
    np.testing.assert_array_equal(new.read(*BLOCKS[0]), expected)
    assert unpacked_path(new) != unpacked_path(old)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-10], lambda whole: whole[:20], lambda whole: b""])
def test_a_damaged_cache_is_named(path, damage):
    archive = Archive(path)
    use_unpacked([archive], quiet)
    cache = unpacked_path(archive)
    cache.write_bytes(damage(cache.read_bytes()))
    with pytest.raises(DataFormatError, match=r"unpacked/a-.*delete it"):
        use_unpacked([Archive(path)], quiet)


def test_a_cache_of_another_shape_is_refused(path):
    archive = Archive(path)
    unpacked_path(archive).parent.mkdir()
    np.save(unpacked_path(archive), np.zeros((2, 2, 2), dtype=np.uint16))
    with pytest.raises(DataFormatError, match="delete it"):
        use_unpacked([archive], quiet)


def test_an_interrupted_build_leaves_nothing(path, monkeypatch):
    archive = Archive(path)

    def broken(*block):
        raise OSError("no space left")

    monkeypatch.setattr(archive, "read_unmasked", broken)
    with pytest.raises(OSError, match=r"data\.cache=none"):
        use_unpacked([archive], quiet)
    assert list(unpacked_path(archive).parent.iterdir()) == []


def test_it_travels_to_another_process(path):
    archive = Archive(path)
    use_unpacked([archive], quiet)
    archive.read(*BLOCKS[0])
    copy = pickle.loads(pickle.dumps(archive))
    assert copy._mapped is None
    np.testing.assert_array_equal(copy.read(*BLOCKS[0]), archive.read(*BLOCKS[0]))


def test_the_data_module_gives_the_same_samples_with_it(path):
    plain, cached = (module(path, split="blocks", cache=cache) for cache in ("none", "memmap"))
    for split in ("train", "test"):
        for index in range(3):
            one, other = plain.dataset(split)[index], cached.dataset(split)[index]
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
    assert cached.regions[0].archive.unpacked is not None
    assert plain.regions[0].archive.unpacked is None


def test_an_unknown_cache_is_refused(path):
    with pytest.raises(ValueError, match=r"data\.cache must be none or memmap, got 'zarr'"):
        module(path, cache="zarr")


def test_a_cache_that_lost_its_last_bytes_is_named_and_not_read_as_dry(path):
    archive = Archive(path)
    use_unpacked([archive], quiet)
    archive.read(*BLOCKS[0])
    os.truncate(archive.unpacked, archive.unpacked.stat().st_size - 2)
    with pytest.raises(DataFormatError, match="cut short"):
        archive.read(*BLOCKS[0])
