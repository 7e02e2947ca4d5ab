"""Archives of the paper's radar experiment: days of echoes through the paper's pipeline, made once and kept."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.frame import Frame, Packing, regular_grid
from nowcast.data.archive.writer import ArchiveWriter
from nowcast.data.paper.days import Day, DaySource
from nowcast.data.paper.filter import PaperFilter, clutter_mask
from nowcast.files import made_by_one, written_whole
from nowcast.progress import track
from nowcast.units import ZR, Quantity

PIPELINE_VERSION = 2  # raise when the same settings would give other values: old files are then not used
STEPS = 60_000  # grey values are kept in steps of 1/60000
NO_DATA = 65535


@dataclass(frozen=True)
class PaperArchives:
    """One archive per day of a source, as reflectivity on the paper's grid.

    Args:
        source: The days.
        folder: Where results are kept, in a subfolder per setting.
        crop: See PaperFilter.
        disk_radius: See PaperFilter.
        size: See PaperFilter.
        clutter: "kmeans" removes the cells of clutter_mask (no data in every frame), "none" removes none.
        clutter_clusters: See clutter_mask.
        clutter_largest_share: See clutter_mask.
        zr_a: Factor of Z = a·R^b, by which rain rates are read back.
        zr_b: Exponent.
        min_dbz: dBZ of grey 0, which is no rain.
        max_dbz: dBZ of grey 1.

    Raises:
        ValueError: A setting is out of its range.
    """

    source: DaySource
    folder: str
    crop: int
    disk_radius: float
    size: int
    clutter: Literal["kmeans", "none"]
    clutter_clusters: int
    clutter_largest_share: float
    zr_a: float
    zr_b: float
    min_dbz: float
    max_dbz: float

    def __post_init__(self) -> None:
        """Check the settings."""
        PaperFilter(self.crop, self.disk_radius, self.size)
        if self.clutter not in ("kmeans", "none"):
            raise ValueError(f"data.archives.clutter must be kmeans or none, got {self.clutter!r}")
        if self.clutter_clusters < 2 or not 0 <= self.clutter_largest_share <= 1:
            raise ValueError(
                "data.archives needs clutter_clusters >= 2 and clutter_largest_share in [0, 1], got "
                f"{self.clutter_clusters} and {self.clutter_largest_share}"
            )

    def paths(self) -> list[Path]:
        """The archives; if they are not there they are made, with progress bars.

        Raises:
            FileNotFoundError: The source is not there.
            ValueError: The source does not hold what is asked for, or a frame is smaller than the crop.
        """
        settings = [getattr(self, name) for name in self.__dataclass_fields__ if name not in ("source", "folder")]
        key = hashlib.sha256(repr((PIPELINE_VERSION, settings, self.source.fingerprint())).encode()).hexdigest()[:12]
        folder = Path(self.folder).expanduser() / key
        listing = folder / "archives.txt"  # written last: its archives are complete
        if not listing.exists():
            with made_by_one(folder):  # ranks of a training, or two trainings, begin at the same time
                if not listing.exists():
                    names = self._make(folder)
                    with written_whole(listing) as partial:
                        partial.write_text("".join(f"{name}\n" for name in names))
        return [folder / f"{name}.nc" for name in listing.read_text().splitlines()]

    def _make(self, folder: Path) -> list[str]:
        days = self.source.days()
        # Clutter is known only when all days are filtered; until then a day is a plain array beside the archives.
        filtered = {day.name: self._filtered(day, folder) for day in track(days, "filtering frames", len(days))}
        clutter = self._clutter(days, filtered)
        for day in track(days, "writing archives", len(days)):
            if not (folder / f"{day.name}.nc").exists():
                self._write(folder / f"{day.name}.nc", day, np.load(filtered[day.name], allow_pickle=False), clutter)
        for path in filtered.values():
            path.unlink()
        return [day.name for day in days]

    def _filtered(self, day: Day, folder: Path) -> Path:
        path = folder / f"{day.name}.npy"
        if not path.exists():
            step = PaperFilter(self.crop, self.disk_radius, self.size)
            stored = np.stack([_to_steps(_filtered_frame(step, frame, day)) for frame in day.frames()])  # (N, H, W)
            with written_whole(path) as partial, partial.open("wb") as file:
                np.save(file, stored)
        return path

    def _clutter(self, days: list[Day], filtered: dict[str, Path]) -> NDArray[np.bool_]:
        if self.clutter == "none":
            return np.zeros((self.size, self.size), dtype=np.bool_)
        months: dict[str, list[NDArray[Any]]] = defaultdict(list)
        for day in days:
            grey = _from_steps(np.load(filtered[day.name], allow_pickle=False))
            known = np.isfinite(grey)
            total, count = np.where(known, grey, 0).sum(axis=0), known.sum(axis=0)
            months[str(day.times[0].astype("datetime64[M]"))].append(np.stack([total, count]))
        sums = np.stack([np.sum(parts, axis=0) for parts in months.values()])  # (months, 2, H, W)
        means = np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1), np.nan)
        return clutter_mask(means, self.clutter_clusters, self.clutter_largest_share)

    def _write(self, path: Path, day: Day, stored: NDArray[np.uint16], clutter: NDArray[np.bool_]) -> None:
        grey = _from_steps(stored)
        grey[:, clutter] = np.nan
        span = self.max_dbz - self.min_dbz
        cell = self.source.cell_km * 1000 * self.crop / self.size
        grid = regular_grid(0.0, 0.0, (cell, cell), (self.size, self.size), "")
        packing = Packing(span / STEPS, self.min_dbz)
        frames = [
            Frame(
                time, Quantity.REFLECTIVITY, (field * span + self.min_dbz).astype(np.float32), grid, packing,
                no_echo=self.min_dbz, zr=ZR(self.zr_a, self.zr_b),
            )
            for time, field in zip(day.times, grey, strict=True)
        ]  # fmt: skip
        attributes = {
            "title": "Radar echoes through the pipeline of Shi et al. 2015",
            "institution": self.source.provider,
            "license": self.source.licence,
            "source": f"crop {self.crop}, disk filter of radius {self.disk_radius:g}, size {self.size}",
        }
        with ArchiveWriter(path, frames[0], attributes) as writer:
            for frame in frames:
                writer.append(frame)
            writer.finish(f"{int(clutter.sum())} of {clutter.size} cells removed as clutter ({self.clutter})")


def _filtered_frame(step: PaperFilter, frame: NDArray[np.float32], day: Day) -> NDArray[Any]:
    try:
        return step(frame)
    except ValueError as error:
        raise ValueError(f"{day.origin}: {error}") from error


def _to_steps(grey: NDArray[Any]) -> NDArray[np.uint16]:
    steps = np.rint(np.nan_to_num(grey) * STEPS)
    return np.where(np.isfinite(grey), steps, NO_DATA).astype(np.uint16)


def _from_steps(stored: NDArray[np.uint16]) -> NDArray[np.float64]:
    return np.where(stored == NO_DATA, np.nan, stored / STEPS)
