"""Cells of an archive that are not to be seen: clutter, places that no radar covers."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mask:
    """Which cells are no data, in all frames.

    Args:
        hidden: (H, W) of the archive; row 0 north.
    """

    hidden: NDArray[np.bool_]

    @property
    def digest(self) -> str:
        """SHA-256 of shape and cells, in whatever file they were written."""
        rows, columns = self.hidden.shape
        return hashlib.sha256(f"{rows} {columns} ".encode() + np.packbits(self.hidden).tobytes()).hexdigest()

    @property
    def share(self) -> float:
        """Of the cells."""
        return float(self.hidden.mean())

    def hide(self, values: NDArray[Any], rows: slice, columns: slice, no_data: float) -> NDArray[Any]:
        """A copy of (T, rows, columns) of the archive with no data where a cell is hidden; itself where none is."""
        hidden = self.hidden[rows, columns]
        if not hidden.any():
            return values
        found = np.array(values)
        found[:, hidden] = no_data
        return found
