"""Files that hold MNIST or sequences made from it: idx, the Toronto .npy, the authors' .npz."""

import gzip
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray

from nowcast.data.archive.damage import damage, raised_by, reason
from nowcast.data.archive.frame import DataFormatError, check_size

IMAGES = "train-images-idx3-ubyte"
IMAGES_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
IMAGES_MD5 = "f68b3c2dcbeaaa9fbdd348bbdeb94873"
IDX3_UBYTE = b"\x00\x00\x08\x03"
NUMBERS = "buif"  # NumPy's kinds of bool, integers and fractions
LAYOUTS = (
    "mnist_test_seq.npy (frames, sequences, height, width), or .npz with input_raw_data (frames of all sequences, 1, "
    "height, width) and clips (2, sequences, 2)"
)
MAX_BYTES = 500_000_000  # of an idx file, unpacked: ten times MNIST; a header must not fill the memory
MAX_MEMBER = 4_000_000_000  # of an array in .npz: 10,000 sequences of 20 frames in float32 have 3.3e9
NUMPY_FILES = ("numpy", "zipfile", "ast", "tokenize")  # what reads .npy and .npz


def training_images(folder: Path) -> NDArray[np.uint8]:
    """The MNIST training images, downloaded into `folder` if they are not there.

    Returns:
        (N, 28, 28) uint8.

    Raises:
        OSError: Not there, and the download failed.
        DataFormatError: Not an idx file of images.
    """
    for name in (f"{IMAGES}.gz", IMAGES):
        if (folder / name).is_file():
            return read_idx(folder / name)
    return read_idx(_download(folder))


def _download(folder: Path) -> Path:
    name = f"{IMAGES}.gz"
    try:
        return Path(pooch.retrieve(IMAGES_URL + name, f"md5:{IMAGES_MD5}", fname=name, path=folder, progressbar=False))
    except Exception as error:  # requests, urllib3 and pooch have no exception in common
        raise OSError(
            f"no MNIST in {folder}, and downloading it failed ({str(error).splitlines()[0]}). Put {name} "
            f"(md5 {IMAGES_MD5}) into that folder, or name another with data.mnist=<folder>"
        ) from error


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Images of an idx file, plain or .gz.

    Returns:
        (N, 28, 28) uint8.

    Raises:
        DataFormatError: Not an idx file of 28×28 images, or damaged.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"cannot be read: {reason(error, path)}") from error
    if len(content) > MAX_BYTES:
        raise DataFormatError(path, f"unpacks to more than {MAX_BYTES:,} bytes")
    sizes = np.frombuffer(content[4:16], dtype=">u4").tolist() if len(content) >= 16 else []
    if content[:4] != IDX3_UBYTE or sizes[1:] != [28, 28] or len(content) != 16 + 784 * sizes[0]:
        raise DataFormatError(path, "not an idx file of 28x28 images (MNIST's train-images-idx3-ubyte)")
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(-1, 28, 28)


def read_sequences(path: Path, frames: int) -> NDArray[Any]:
    """Sequences of frames from a file.

    Args:
        path: `mnist_test_seq.npy` of Srivastava et al. (20, N, 64, 64), or the authors' `moving-mnist-*.npz` with
            `input_raw_data` (N·20, 1, 64, 64) and `clips` (2, N, 2).
        frames: Length that each sequence must have.

    Returns:
        (N, frames, H, W): uint8 0 to 255, or float32 0 to 1 where the file's values are no 255ths.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Another layout, length, type or range of values, or nothing at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no sequences at {path}")
    try:
        sequences = _from_npz(path) if path.suffix == ".npz" else _mapped(path).swapaxes(0, 1)
    except DataFormatError:
        raise
    except Exception as error:
        if not raised_by(error, *NUMPY_FILES):
            raise
        # What NumPy says of other files is for programmers, and tells to trust them.
        detail = f" ({reason(error, path)})" if isinstance(error, OSError | KeyError) else ""
        raise DataFormatError(
            path, f"not sequences: no arrays of numbers can be read{detail}; expected {LAYOUTS}"
        ) from error
    _check_numbers(path, sequences.dtype)
    if sequences.ndim != 4 or sequences.shape[1] != frames:
        raise DataFormatError(
            path,
            f"holds {sequences.shape} as (sequences, frames, height, width), but data.input_steps + "
            f"data.forecast_steps is {frames}",
        )
    if sequences.size == 0:
        raise DataFormatError(path, f"is empty: {sequences.shape} as (sequences, frames, height, width)")
    return _as_bytes(path, sequences)


def _check_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in NUMBERS:
        raise DataFormatError(path, f"not sequences: holds {dtype}, no numbers from black to white; expected {LAYOUTS}")


def kept_sequences(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Sequences that were generated before, not yet in memory.

    Raises:
        DataFormatError: The file has been damaged since.
    """
    with damage(path, "is damaged; delete it, and it is made again", *NUMPY_FILES):
        stored = _mapped(path)
    if stored.shape != shape or stored.dtype != np.uint8:
        raise DataFormatError(path, f"holds {stored.shape} of {stored.dtype}; delete it, and it is made again")
    return stored


def _mapped(path: Path) -> NDArray[Any]:
    """The array of a .npy file, not yet in memory."""
    mapped: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # refuses what is pickled
    return mapped


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """An array of a .npz file: its header and the archive agree on its size, which is not too large."""
    info = archive.getinfo(f"{name}.npy")
    check_size(path, name, info.file_size, MAX_MEMBER)
    with archive.open(info) as file:
        major, _ = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        _check_numbers(path, dtype)
        check_size(path, name, math.prod(shape) * dtype.itemsize, info.file_size)
    with archive.open(info) as file:
        values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return values


def _from_npz(path: Path) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        frames, clips = _member(path, archive, "input_raw_data"), _member(path, archive, "clips")
    if frames.ndim != 4 or frames.shape[1] != 1 or clips.ndim != 3 or clips.shape[0] != 2 or clips.shape[2] != 2:
        raise DataFormatError(
            path, f"input_raw_data {frames.shape} and clips {clips.shape} are not the authors' layout"
        )
    if clips.dtype.kind not in "iu" or clips.size == 0:
        raise DataFormatError(
            path, f"clips are {clips.shape} of {clips.dtype}; expected whole numbers of some sequences"
        )
    clips = clips.astype(np.int64)
    lengths = clips[..., 1]
    first, total = clips[0, :, 0], lengths.sum(axis=0)
    joined = lengths.min() > 0 and np.array_equal(clips[1, :, 0], first + lengths[0])
    if not joined or len(set(total.tolist())) != 1 or first.min() < 0 or (first + total).max() > len(frames):
        raise DataFormatError(path, "clips are not inputs followed by targets of one length inside the data")
    index = first[:, None] + np.arange(total[0])
    sequences: NDArray[Any] = frames[index, 0]
    return sequences


def _as_bytes(path: Path, sequences: NDArray[Any]) -> NDArray[Any]:
    if sequences.dtype == np.uint8:
        return sequences
    low, high = float(sequences.min()), float(sequences.max())
    if not (low >= 0 and high <= 1):
        raise DataFormatError(path, f"values are {low:g} to {high:g}; expected uint8, or fractions from 0 to 1")
    scaled = sequences.astype(np.float32) * 255
    rounded = np.rint(scaled)
    if np.abs(scaled - rounded).max() < 0.01:
        return rounded.astype(np.uint8)
    return sequences.astype(np.float32)
