"""Unpacking compressed files with a bound on their size."""

import bz2
import gzip
import zlib
from pathlib import Path

from nowcast.data.archive.damage import reason
from nowcast.data.archive.frame import DataFormatError


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip files do."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unpack_gzip(path: Path, limit: int) -> bytes:
    """Content of a gzip file.

    Raises:
        DataFormatError: Damaged, or larger than `limit` bytes.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFormatError(path, f"damaged gzip file: {error}") from error
    return _bounded(path, content, limit)


def unpack_bzip2(path: Path, limit: int) -> bytes:
    """Content of a bzip2 file.

    Raises:
        DataFormatError: Damaged, or larger than `limit` bytes.
    """
    try:
        with bz2.open(path) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError) as error:  # bz2 has no exception of its own
        raise DataFormatError(path, f"damaged bzip2 file: {reason(error, path)}") from error
    return _bounded(path, content, limit)


def read_unpacked(path: Path, limit: int) -> bytes:
    """Content of a plain, gzip or bzip2 file.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Damaged, or larger than `limit` bytes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with path.open("rb") as file:
        start = file.read(3)
    if start[:2] == b"\x1f\x8b":
        return unpack_gzip(path, limit)
    if start == b"BZh":
        return unpack_bzip2(path, limit)
    with path.open("rb") as file:
        return _bounded(path, file.read(limit + 1), limit)


def _bounded(path: Path, content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise DataFormatError(path, f"unpacks to more than {limit:,} bytes")
    return content
