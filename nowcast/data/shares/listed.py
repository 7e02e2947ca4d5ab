"""Windows and tiles with their rain and gaps, as a sampling index lists them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive


@dataclass(frozen=True)
class Windows:
    """Which windows and tiles an index lists.

    Args:
        length: Frames of a window.
        every: Archive frames per time step of a window.
        height: Rows of a tile, in cells of the archive.
        width: Columns of it.
    """

    length: int
    every: int
    height: int
    width: int

    @property
    def cells(self) -> int:
        """Of a window."""
        return self.length * self.height * self.width

    def path(self, folder: Path, archive: Archive) -> Path:
        """The file of an archive."""
        apart = f"_every{self.every}" if self.every > 1 else ""
        apart += "" if archive.mask is None else f"_mask{archive.mask.digest[:8]}"
        return folder / f"{archive.name}_{self.length}x{self.height}x{self.width}{apart}.parquet"


@dataclass(frozen=True)
class Listed:
    """Windows × tiles that an index holds, in order of time, then row, then column.

    Args:
        start: (N,) first frame; -1 = one that the archive leaves out.
        y: (N,) first row, in cells of the archive.
        x: (N,) first column.
        valid: (N,) cells with a value.
        wet: (N,) cells with at least RAIN_THRESHOLD mm h-1.
    """

    start: NDArray[Any]
    y: NDArray[Any]
    x: NDArray[Any]
    valid: NDArray[Any]
    wet: NDArray[Any]

    def of(self, starts: NDArray[np.int64], frames: int) -> "Listed":
        """Those of windows that begin at these frames of so many."""
        wanted = np.zeros(frames + 1, dtype=bool)  # the last one is that of start -1
        wanted[starts] = True
        here = wanted[self.start]
        return Listed(*(getattr(self, part.name)[here] for part in fields(self)))


class SamplingIndex(Protocol):
    """Where windows are listed."""

    @property
    def complete(self) -> bool:
        """Whether all windows are, each with the tiles that cover a grid."""
        ...

    def listed(self, archive: Archive, windows: Windows, starts: NDArray[np.int64]) -> Listed:
        """Those that begin at these frames."""
        ...
