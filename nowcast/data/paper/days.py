"""Days of radar echoes as grey values, the material of the paper's experiment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.grid import cell_km
from nowcast.data.archive.paths import Archives, archive_paths
from nowcast.data.zarr.opening import archive_at
from nowcast.units import ZR

SECONDS_PER_DAY = 86400


@dataclass(frozen=True, eq=False)
class Day:
    """At most 24 hours of frames.

    Args:
        name: Unique; becomes the archive's name.
        times: (N,) UTC datetime64[s], rising.
        frames: Reads the N frames one by one: (H, W) float32 grey in [0, 1], NaN = no data.
        origin: File or folder that holds them, for messages.
    """

    name: str
    times: NDArray[np.datetime64]
    frames: Callable[[], Iterator[NDArray[np.float32]]]
    origin: str


class DaySource(Protocol):
    """Where days come from."""

    @property
    def cell_km(self) -> float:
        """Side of a cell."""
        ...

    @property
    def provider(self) -> str:
        """Whose data it is."""
        ...

    @property
    def licence(self) -> str:
        """The terms as far as they are known."""
        ...

    def fingerprint(self) -> str:
        """A text that changes when other days would come out."""
        ...

    def days(self) -> list[Day]:
        """The days, in order of time."""
        ...


@dataclass(frozen=True)
class ArchiveDays:
    """Archives cut into days of 24 hours from their first frame; rain rate becomes grey by the paper's relation.

    Args:
        archives: Archive files, folders or globs, or a source that makes archives.
        zr_a: Factor of Z = a·R^b.
        zr_b: Exponent.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.
    """

    archives: Archives
    zr_a: float
    zr_b: float
    min_dbz: float
    max_dbz: float

    def _open(self) -> list[Archive]:
        return [archive_at(path) for path in archive_paths(self.archives)]

    @property
    def cell_km(self) -> float:
        """Side of a cell of the first archive."""
        return cell_km(self._open()[0].grid)[0]

    @property
    def provider(self) -> str:
        """Institutions of the archives."""
        return "; ".join(sorted({archive.attributes.get("institution", "unknown") for archive in self._open()}))

    @property
    def licence(self) -> str:
        """Licences of the archives."""
        return "; ".join(sorted({archive.attributes.get("license", "unknown") for archive in self._open()}))

    def fingerprint(self) -> str:
        """Fingerprints of the archives and the constants."""
        constants = (self.zr_a, self.zr_b, self.min_dbz, self.max_dbz)
        return repr((*[(archive.name, archive.fingerprint) for archive in self._open()], constants))

    def days(self) -> list[Day]:
        """One per 24 hours of each archive."""
        result = []
        for archive in self._open():
            seconds = archive.times.astype(np.int64)
            number = (seconds - seconds[0]) // SECONDS_PER_DAY
            for day in np.unique(number):
                index = np.flatnonzero(number == day)
                name = archive.name if number[-1] == 0 else f"{archive.name}_{day:03}"
                result.append(Day(name, archive.times[index], self._reader(archive, index), str(archive.path)))
        return result

    def _reader(self, archive: Archive, index: NDArray[np.int64]) -> Callable[[], Iterator[NDArray[np.float32]]]:
        def frames() -> Iterator[NDArray[np.float32]]:
            zr = ZR(self.zr_a, self.zr_b)
            everything = slice(None)
            for k in index.tolist():
                rain_rate = archive.read(slice(k, k + 1), everything, everything)[0]
                grey = (zr.reflectivity(rain_rate) - self.min_dbz) / (self.max_dbz - self.min_dbz)
                yield np.clip(grey, 0, 1).astype(np.float32)

        return frames
