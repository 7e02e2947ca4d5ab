"""HDF5 files, read such that every defect of theirs is reported with the file's name, and none of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, check_shape
from nowcast.data.archive.probe import probe

MAX_ATTRIBUTE = 1000  # values of an attribute that is read: every one that a reader asks for holds a single one


@contextmanager
def _library(path: Path) -> Iterator[None]:
    with damage(path, "not a readable HDF5 file", "h5py"):
        yield


@dataclass(frozen=True, eq=False)
class Hdf5File:
    """A file opened for reading.

    Args:
        path: Its name.
        file: The handle; nobody else touches it.
    """

    path: Path
    file: h5py.File

    def children(self, group: str) -> list[str]:
        """Names in a group; empty where there is no such group."""
        with _library(self.path):
            node = self.file.get(group or "/")
            # A name that is no text is one that nobody asks for
            return [name for name in node if isinstance(name, str)] if isinstance(node, h5py.Group) else []

    def has(self, group: str, name: str) -> bool:
        """Whether a group has an attribute."""
        with _library(self.path):
            node = self.file.get(group or "/")
            return node is not None and name in node.attrs

    def place(self, group: str, part: str, name: str) -> str:
        """Where an attribute stands that may stand at a group or above it: `<group>/<part>`, … or at the root.

        Args:
            group: Such as dataset1/data1.
            part: The subgroup that holds attributes, such as what.
            name: The attribute.

        Returns:
            The innermost subgroup that has it; that of the root where none has.
        """
        levels = [group.rsplit("/", up)[0] for up in range(group.count("/") + 1)]
        places = [f"{level}/{part}" for level in levels]
        return next((place for place in places if self.has(place, name)), part)

    def text(self, group: str, name: str) -> str:
        """A string attribute, however it is stored (bytes, text, array of one).

        Raises:
            DataFormatError: Missing, or several values.
        """
        if not self.has(group, name):
            raise DataFormatError(self.path, f"no attribute {group}/{name}; is source= the right format?")
        with _library(self.path):
            attributes = self.file[group or "/"].attrs
            size = int(np.prod(attributes.get_id(name).shape or (1,)))
            value: Any = attributes[name] if size <= MAX_ATTRIBUTE else None
        item = np.asarray(value).reshape(-1)
        if size != 1 or item.size != 1:
            raise DataFormatError(self.path, f"{group}/{name} holds {size} values, expected one")
        return item[0].decode("ascii", "replace") if isinstance(item[0], bytes) else str(item[0])

    def number(self, group: str, name: str) -> float:
        """A finite number, however it is stored.

        Raises:
            DataFormatError: Missing, several, or not a finite number.
        """
        value = self.number_or_nan(group, name)
        if not np.isfinite(value):
            raise DataFormatError(self.path, f"{group}/{name} is {value}, expected a finite number")
        return value

    def number_or_nan(self, group: str, name: str) -> float:
        """A number that may be NaN or infinite.

        Raises:
            DataFormatError: Missing, several, or not a number.
        """
        value = self.text(group, name)
        try:
            return float(value)
        except ValueError as error:
            raise DataFormatError(self.path, f"{group}/{name} is {value!r}, expected a number") from error

    def has_field(self, name: str) -> bool:
        """Whether there is a data set of this name."""
        with _library(self.path):
            return isinstance(self.file.get(name), h5py.Dataset)

    def field(self, name: str) -> NDArray[Any]:
        """(ny, nx) numbers of a data set as they are stored.

        Raises:
            DataFormatError: No such data set, or none of two axes and of numbers.
        """
        with _library(self.path):
            data = self.file.get(name)
            found = isinstance(data, h5py.Dataset)
            shape, kind = (data.shape, data.dtype) if found else (None, None)
        if shape is None or kind is None:
            raise DataFormatError(self.path, f"no data set {name}; is source= the right format?")
        if len(shape) != 2 or kind.kind not in "uif":
            raise DataFormatError(self.path, f"{name} has shape {shape} and type {kind}, expected a field of numbers")
        check_shape(self.path, *shape)
        with _library(self.path):
            return np.asarray(data[()])


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5File]:
    """Open a file for reading.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not HDF5, truncated, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with _library(path):
        probe(path, "h5py:File")
        file = h5py.File(path, "r")
    try:
        yield Hdf5File(path, file)
    finally:
        with _library(path):
            file.close()
