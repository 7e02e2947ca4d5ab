"""Reading attributes of HDF5 files such that every defect is reported with the file's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nowcast.data.frame import DAMAGE, DataFormatError
from nowcast.data.probe import probe


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; what HDF5 finds damaged inside becomes a DataFormatError.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not HDF5, truncated, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        probe(path, h5py.File)
        with h5py.File(path, "r") as file:
            yield file
    except DataFormatError:
        raise
    except DAMAGE as error:
        raise DataFormatError(path, f"not a readable HDF5 file: {error}") from error


def attribute(path: Path, file: h5py.File, group: str, name: str) -> Any:  # noqa: ANN401 (whatever is stored)
    """An attribute of a group.

    Raises:
        DataFormatError: Group or attribute is missing.
    """
    node = file.get(group)
    if node is None or name not in node.attrs:
        raise DataFormatError(path, f"no attribute {group}/{name}; is source= the right format?")
    return node.attrs[name]


def text(path: Path, file: h5py.File, group: str, name: str) -> str:
    """A string attribute, however it is stored (bytes, text, array of one)."""
    value = np.asarray(attribute(path, file, group, name))
    if value.size != 1:
        raise DataFormatError(path, f"{group}/{name} holds {value.size} values, expected one")
    item = value.reshape(-1)[0]
    return item.decode("ascii", "replace") if isinstance(item, bytes) else str(item)


def number(path: Path, file: h5py.File, group: str, name: str) -> float:
    """A finite number, however it is stored.

    Raises:
        DataFormatError: Missing, several, or not a finite number.
    """
    value = text(path, file, group, name)
    try:
        result = float(value)
    except ValueError as error:
        raise DataFormatError(path, f"{group}/{name} is {value!r}, expected a number") from error
    if not np.isfinite(result):
        raise DataFormatError(path, f"{group}/{name} is {value}, expected a finite number")
    return result
