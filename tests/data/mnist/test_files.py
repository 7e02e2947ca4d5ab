"""Files of digits and of sequences."""

import gzip
import hashlib
import pickle
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.mnist import files as mnist_files
from nowcast.data.mnist.files import read_idx, read_sequences, training_images
from tests.data.digits import write_images


@pytest.mark.parametrize("compress", [True, False])
def test_images_are_read_plain_and_compressed(tmp_path, compress):
    images = write_images(tmp_path, compress=compress)
    np.testing.assert_array_equal(training_images(tmp_path), images)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x00\x08\x03", b"\x00\x00\x08\x01" + bytes(12), b"\x00\x00\x08\x03" + b"\xff" * 12 + bytes(784)],
)
def test_other_files_are_no_images(tmp_path, content):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match="not an idx file"):
        read_idx(path)


def test_a_truncated_download_is_named(tmp_path):
    write_images(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataFormatError, match=r"train-images-idx3-ubyte\.gz"):
        read_idx(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataFormatError, match="cannot be read"):
        read_idx(path)
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x03"))
    with pytest.raises(DataFormatError, match="not an idx file"):
        read_idx(path)


def test_missing_images_without_network_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_files, "IMAGES_URL", "http://127.0.0.1:9/")
    with pytest.raises(OSError, match=r"md5 f68b3c2dcbeaaa9fbdd348bbdeb94873.*data.mnist="):
        training_images(tmp_path / "none")


@pytest.fixture
def server(tmp_path):
    """(folder, URL) of files on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_missing_images_are_downloaded_once_and_checked(tmp_path, monkeypatch, server):
    folder, url = server
    images = write_images(folder)
    content = (folder / "train-images-idx3-ubyte.gz").read_bytes()
    monkeypatch.setattr(mnist_files, "IMAGES_URL", url)
    with pytest.raises(OSError, match=r"downloading it failed[\s\S]*data\.mnist="):
        training_images(tmp_path / "mnist")  # these are not the images whose checksum is known
    assert not (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").exists()
    monkeypatch.setattr(mnist_files, "IMAGES_MD5", hashlib.md5(content).hexdigest())
    np.testing.assert_array_equal(training_images(tmp_path / "mnist"), images)
    monkeypatch.setattr(mnist_files, "IMAGES_URL", "http://127.0.0.1:9/")
    np.testing.assert_array_equal(training_images(tmp_path / "mnist"), images)


@pytest.mark.real_data
def test_mnist_itself(real_data):
    images = training_images(Path(real_data) / "mnist")
    assert images.shape == (60000, 28, 28)
    assert images[0].sum() == 27525  # the well-known first image, a five
    content = (Path(real_data) / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    assert hashlib.md5(content).hexdigest() == mnist_files.IMAGES_MD5


def sequences(count=3, frames=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, 64, 64)).astype(np.uint8)


def test_the_toronto_layout(tmp_path):
    stored = sequences()
    np.save(tmp_path / "mnist_test_seq.npy", stored.swapaxes(0, 1))
    np.testing.assert_array_equal(read_sequences(tmp_path / "mnist_test_seq.npy", 20), stored)


def write_npz(path, stored, **changes):
    """The authors' layout, with the clips in another order than their frames."""
    count, frames = stored.shape[:2]
    order = np.roll(np.arange(count), 1)
    start = order * frames
    clips = np.stack([np.stack([start, np.full(count, 10)], 1), np.stack([start + 10, np.full(count, 10)], 1)])
    content = {
        "dims": np.array([[1, 64, 64]]),
        "input_raw_data": (stored[np.argsort(order)].reshape(-1, 1, 64, 64) / 255).astype(np.float32),
        "clips": clips.astype(np.int32),
    }
    np.savez(path, **(content | changes))


def test_the_authors_layout(tmp_path):
    stored = sequences()
    write_npz(tmp_path / "moving-mnist-test.npz", stored)
    ours = read_sequences(tmp_path / "moving-mnist-test.npz", 20)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, stored)


def test_values_between_the_255ths_are_kept(tmp_path):
    values = np.random.default_rng(0).random((2, 20, 64, 64)).astype(np.float32)
    np.save(tmp_path / "soft.npy", values.swapaxes(0, 1))
    np.testing.assert_array_equal(read_sequences(tmp_path / "soft.npy", 20), values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": np.zeros((2, 3, 2), dtype=np.int32)}, "inputs followed by targets"),
        ({"clips": np.array([[[0, 30]], [[30, -10]]])}, "inputs followed by targets"),
        ({"clips": np.array([[[0.0, 10.0]], [[10.0, 10.0]]])}, r"clips are \(2, 1, 2\) of float64; expected whole"),
        ({"clips": np.zeros((2, 0, 2), dtype=np.int32)}, r"clips are \(2, 0, 2\)"),
        ({"input_raw_data": np.full((60, 1, 64, 64), "a")}, r"holds <U1.*mnist_test_seq\.npy"),
        ({"input_raw_data": np.full((60, 1, 64, 64), None)}, r"holds object, no numbers.*mnist_test_seq\.npy"),
        ({"clips": np.array([[[0, 10]], [[15, 10]]])}, "inputs followed by targets"),
        ({"clips": np.array([[[50, 10]], [[60, 10]]])}, "inside the data"),
        ({"clips": np.zeros((3, 2))}, "layout"),
        ({"input_raw_data": np.full((60, 1, 64, 64), 200.0)}, "values are 200 to 200"),
    ],
)
def test_other_contents_are_refused(tmp_path, changes, message):
    write_npz(tmp_path / "a.npz", sequences(), **changes)
    with pytest.raises(DataFormatError, match=message):
        read_sequences(tmp_path / "a.npz", 20)


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        read_sequences(tmp_path / "none.npy", 20)
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(DataFormatError, match=name):
            read_sequences(tmp_path / name, 20)
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    with pytest.raises(DataFormatError, match="input_raw_data"):
        read_sequences(tmp_path / "b.npz", 20)


@pytest.mark.parametrize(
    "dtype", ["U1", "S1", "M8[s]", "m8[s]", "c8", np.dtype([("grey", "u1")]), "V1"], ids=lambda dtype: str(dtype)
)
def test_what_is_no_number_is_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((20, 1, 8, 8), dtype=dtype))
    with pytest.raises(
        DataFormatError, match=r"a\.npy: not sequences: holds .*no numbers.*expected mnist_test_seq\.npy \(frames, seq"
    ):
        read_sequences(tmp_path / "a.npy", 20)


@pytest.mark.parametrize("dtype", ["?", "i2", "f2", "f4", "f8"])
def test_black_and_white_are_the_same_in_every_type(tmp_path, dtype):
    black_and_white = sequences(2) // 128
    np.save(tmp_path / "a.npy", black_and_white.swapaxes(0, 1).astype(dtype))
    np.testing.assert_array_equal(read_sequences(tmp_path / "a.npy", 20), black_and_white * 255)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("shape", [(20, 0, 64, 64), (20, 3, 0, 64)])
def test_empty_files_are_named(tmp_path, dtype, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype=dtype))
    with pytest.raises(DataFormatError, match=r"a\.npy: is empty"):
        read_sequences(tmp_path / "a.npy", 20)


def test_nobody_is_told_to_trust_a_file(tmp_path):
    np.save(tmp_path / "object.npy", np.full((20, 1, 4, 4), None))
    np.savez(tmp_path / "object.npz", input_raw_data=np.full((20, 1, 4, 4), None), clips=np.full((2, 1, 2), None))
    (tmp_path / "text.npy").write_text("0 1 2 3\n")
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps([1, 2, 3]))
    (tmp_path / "long.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"{" + b" " * 65535)
    for name in ("object.npy", "object.npz", "text.npy", "pickled.npy", "long.npy"):
        with pytest.raises(DataFormatError, match=r"numbers.*; expected mnist_test_seq\.npy") as caught:
            read_sequences(tmp_path / name, 20)
        assert not any(word in caught.value.problem for word in ("pickle", "trust", "unsafe"))


def test_the_length_must_be_that_of_the_config(tmp_path):
    np.save(tmp_path / "a.npy", sequences(frames=12).swapaxes(0, 1))
    with pytest.raises(DataFormatError, match=r"\(3, 12, 64, 64\).*is 20"):
        read_sequences(tmp_path / "a.npy", 20)
