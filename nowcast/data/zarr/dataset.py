"""A Zarr group with the members of netCDF4 that the decoder of CF files uses, so that one decoder reads both."""

import base64
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nowcast.data.zarr.store import StoredArray, one_line


class StoreVariable:
    """An array of a group.

    Args:
        group: Whose array it is.
        name: Its name.
        array: The array.
    """

    def __init__(self, group: "StoreGroup", name: str, array: StoredArray) -> None:
        """Read its attributes as netCDF would have them."""
        self.name, self.array, self._group = name, array, group
        self.shape, self.ndim, self.dtype, self.size = array.shape, array.ndim, array.dtype, array.size
        self._attributes = _attributes(array)
        self.dimensions = _dimensions(array, self._attributes)

    def group(self) -> "StoreGroup":
        """Whose array it is."""
        return self._group

    def ncattrs(self) -> list[str]:
        """Names of its attributes."""
        return list(self._attributes)

    def getncattr(self, name: str) -> Any:  # noqa: ANN401
        """An attribute."""
        return self._attributes[name]

    def add(self, name: str, value: object) -> None:
        """Set an attribute that the store does not say."""
        self._attributes[name] = value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """An attribute."""
        if name.startswith("_") or name not in self._attributes:
            raise AttributeError(name)
        return self._attributes[name]

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Values as they are stored."""
        with one_line(self._group.place, f"cannot read {self.name}"):
            return np.asarray(self.array[index])


class StoreGroup:
    """A group without groups inside.

    Args:
        place: Of the store, for messages.
        arrays: By name.
        attributes: Of the group.
    """

    parent = None

    def __init__(self, place: Path | str, arrays: Mapping[str, StoredArray], attributes: Mapping[str, Any]) -> None:
        """Wrap its arrays."""
        self.place = place
        self.groups: dict[str, Any] = {}
        self.attributes = dict(attributes)
        self.variables = {name: StoreVariable(self, name, array) for name, array in arrays.items()}

    def set_auto_maskandscale(self, on: bool) -> None:
        """Zarr knows no scaling: values are always as they are stored."""

    def set_auto_chartostring(self, on: bool) -> None:
        """Nor has it arrays of characters."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """An attribute."""
        if name.startswith("_") or name not in self.__dict__.get("attributes", {}):
            raise AttributeError(name)
        return self.attributes[name]


def _attributes(array: StoredArray) -> dict[str, Any]:
    found: dict[str, Any] = {key: value for key, value in array.attrs.asdict().items() if value is not None}
    fill = found.get("_FillValue")
    if isinstance(fill, str) and array.dtype.kind == "f":  # as xarray writes it into Zarr 3
        found["_FillValue"] = struct.unpack("<d", base64.standard_b64decode(fill))[0]
    stored = array.metadata.fill_value
    if array.metadata.zarr_format == 2 and fill is None and stored is not None and stored != 0:
        # xarray writes the attribute _FillValue there. 0 is what Zarr takes where nobody chose.
        found["_FillValue"] = np.asarray(stored, dtype=array.dtype)[()]
    return found


def _dimensions(array: StoredArray, attributes: dict[str, Any]) -> tuple[str, ...]:
    names = getattr(array.metadata, "dimension_names", None) or attributes.pop("_ARRAY_DIMENSIONS", None) or ()
    names = tuple(str(name) for name in names)
    return names if len(names) == array.ndim else tuple(f"{array.basename}_{k}" for k in range(array.ndim))
