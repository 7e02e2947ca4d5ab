"""Small files that declare much: refused before anything is allocated for it."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import netCDF4
import numpy as np
import pytest

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.mnist.files import read_idx, read_sequences
from nowcast.data.paper.hko import _read_grey, _read_mask
from tests.data.archives import frame, write
from tests.data.formats import fakes
from tests.data.formats.readers import reader

MEGABYTES = 60 * 2**20  # an unpacked start of a stream may be held while it is counted


def refuses(read, path, words):
    """Whether a reader refuses a file, with little memory."""
    assert path.stat().st_size < 3_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DataFormatError, match=words):
            read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def zeros(count):
    """A gzip stream of many zeros, made without holding them."""
    packer, pieces = zlib.compressobj(9, zlib.DEFLATED, 31), []
    for _ in range(count // 10**6):
        pieces.append(packer.compress(bytes(10**6)))
    return b"".join([*pieces, packer.flush()])


def test_hdf5_that_declares_a_huge_field(tmp_path):
    for name, make, inner in (
        ("knmi", lambda path: fakes.knmi(path, np.zeros((4, 5))), "image1/image_data"),
        ("odim", lambda path: fakes.odim(path, np.ones((4, 5))), "dataset1/data1/data"),
    ):
        path = make(tmp_path / f"{name}.h5")
        with h5py.File(path, "a") as file:
            del file[inner]
            file.create_dataset(inner, (400_000, 400_000), "u2", chunks=(100, 100), compression="gzip")
        assert refuses(reader(name).read, path, "declares 400000 x 400000 cells") < MEGABYTES


def netcdf(path, times=1, rows=4, columns=5):
    with netCDF4.Dataset(path, "w") as dataset:
        for name, size in (("time", times), ("y", rows), ("x", columns)):
            dataset.createDimension(name, size)
            variable = dataset.createVariable(name, "f8", (name,), chunksizes=(min(size, 1000),))
            variable.units = "seconds since 2000-01-01" if name == "time" else "m"
            variable[:4] = np.arange(min(4, size))
        chunks = (1, min(rows, 100), min(columns, 100))
        dataset.createVariable("rain", "f4", ("time", "y", "x"), chunksizes=chunks).units = "mm h-1"
    return path


@pytest.mark.parametrize(
    ("sizes", "words"),
    [({"rows": 10**6, "columns": 10**6}, "cells; a field has"),
     ({"times": 10**8}, "rain declares 2,000,000,000 values"),
     ({"times": 4 * 10**7}, "time declares 40,000,000 values")],
)  # fmt: skip
def test_netcdf_that_declares_too_much(tmp_path, sizes, words):
    assert refuses(reader("netcdf").read, netcdf(tmp_path / "a.nc", **sizes), words) < MEGABYTES


def test_an_archive_that_declares_too_many_times(tmp_path):
    path = write(tmp_path / "a.nc", [frame(0), frame(5)])
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["time"][5_000_000] = 10**9
    assert refuses(Archive, path, "time declares 5,000,001 values") < MEGABYTES


@pytest.mark.parametrize("name", ["mch_gif", "eccc_gif"])
def test_gif_that_declares_a_huge_picture(tmp_path, name):
    file = {"mch_gif": "AQC151351545F_00005.801.gif", "eccc_gif": "20240710T2106Z_MSC_Radar-DPQPE_CASCM_Rain.gif"}
    path = fakes.gif(tmp_path / file[name], np.zeros((4, 5)))
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 65535, 65535)
    path.write_bytes(bytes(content))
    assert refuses(reader(name).read, path, "65535 x 65535 cells|not a readable GIF") < MEGABYTES


def test_png_that_declares_a_huge_picture(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))))
    assert refuses(_read_grey, path, r"cells; a field|cannot be read as a PNG picture") < MEGABYTES


@pytest.mark.thorough
def test_masks_and_streams_that_unpack_to_more_than_they_may(tmp_path, monkeypatch):
    path = tmp_path / "a.mask"
    path.write_bytes(zlib.compress(bytes(10**8), 9))
    assert refuses(lambda path: _read_mask(path, (480, 480)), path, "holds no mask") < MEGABYTES
    path = tmp_path / "a.pgm"
    path.write_bytes(zeros(200 * 10**6))
    assert refuses(reader("fmi_pgm").read, path, "unpacks to more than 100,000,000 bytes") < 4 * MEGABYTES
    path = tmp_path / "a-bin"
    path.write_bytes(zeros(100 * 10**6))
    assert refuses(reader("radolan").read, path, "unpacks to more than 50,000,000 bytes") < 4 * MEGABYTES
    path = tmp_path / "images.gz"
    path.write_bytes(zeros(100 * 10**6))
    monkeypatch.setattr("nowcast.data.mnist.files.MAX_BYTES", 10**7)
    assert refuses(read_idx, path, "unpacks to more than 10,000,000 bytes") < MEGABYTES


def npz(path, shape, size):
    """An .npz whose frames declare a shape and hold `size` bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input_raw_data.npy", header.getvalue() + bytes(size))
        clips = io.BytesIO()
        np.save(clips, np.zeros((2, 1, 2), dtype=int))
        archive.writestr("clips.npy", clips.getvalue())
    return path


@pytest.mark.parametrize("shape", [(10**6, 1, 1000, 1000), (20, 1, 65536, 65536)])
def test_npz_whose_header_declares_more_than_it_holds(tmp_path, shape):
    path = npz(tmp_path / "a.npz", shape, 100)
    assert refuses(lambda path: read_sequences(path, 20), path, "input_raw_data declares") < MEGABYTES


def test_npz_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("nowcast.data.mnist.files.MAX_MEMBER", 10**6)
    path = npz(tmp_path / "a.npz", (20, 1, 1000, 1000), 20 * 10**6)
    assert refuses(lambda path: read_sequences(path, 20), path, "at most 1,000,000") < MEGABYTES


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_pickled_arrays_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    objects = np.array([{"a": 1}], dtype=object)
    if ending == "npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, input_raw_data=objects, clips=objects)
    with pytest.raises(DataFormatError, match="not sequences"):
        read_sequences(path, 20)


def test_paths_inside_an_archive_stay_inside(tmp_path):
    """Members are read by name and never written: what climbs out of the folder is not even looked at."""
    inside = tmp_path / "inside"
    inside.mkdir()
    path = npz(inside / "a.npz", (8, 1, 4, 4), 128)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escaped.npy", b"x")
        archive.writestr("/tmp/escaped.npy", b"x")
    with pytest.raises(DataFormatError):
        read_sequences(path, 20)
    assert [one.name for one in tmp_path.iterdir()] == ["inside"]
    assert [one.name for one in inside.iterdir()] == ["a.npz"]
