"""The statistics of archives, counted in one pass over all their frames."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from nowcast.data.archive.archive import Archive
from nowcast.data.datamodule import RadarDataModule
from nowcast.data.interface import DataModule
from nowcast.data.masks.file import CLUTTER, COUNTED, NO_COVERAGE, write_mask
from nowcast.data.shares.cells import CellCounts, Suspects, count_cells
from nowcast.files import written_whole
from nowcast.progress import track
from nowcast.report.climate.archive import remarks, statistics_of
from nowcast.report.climate.picture import plot_statistics


def archive_statistics(data: DataModule, folder: Path, suspects: Suspects, console: Console) -> list[dict[str, Any]]:
    """Count each archive, write <name>.png, <name>.json and a mask; print what asks to be looked at.

    Args:
        data: Of radar archives.
        folder: Where to.
        suspects: Which cells the mask leaves out.
        console: Where remarks go.

    Returns:
        The plain values of each.

    Raises:
        ValueError: The data is no radar.
        DataFormatError: An archive cannot be read.
    """
    if not isinstance(data, RadarDataModule):
        raise ValueError("statistics=<folder> is of radar archives: leave it out, or choose data=radar")
    told = []
    for region in data.regions:
        counts = count_cells(region.archive, track)
        found = statistics_of(counts, suspects)
        written = folder / f"{counts.name}.json"
        with written_whole(written) as partial:
            partial.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        for line in remarks(found):
            console.print(line, highlight=False, soft_wrap=True)
        picture = plot_statistics(counts, found, suspects, folder / f"{counts.name}.png")
        mask = folder / f"{counts.name}_mask.nc"
        flags = flags_of(counts, suspects)
        write_mask(mask, region.archive.grid, flags, _origin(region.archive, counts, suspects))
        for path in (written, picture, mask):
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
        left_out = int((flags != COUNTED).sum())
        said = f"{counts.name}: data.mask={mask} leaves out {left_out:,} of {flags.size:,} cells, if you give it"
        console.print(said, highlight=False, soft_wrap=True)
        told.append(found)
    return told


def flags_of(counts: CellCounts, suspects: Suspects) -> NDArray[np.uint8]:
    """(H, W) what a mask says of each cell."""
    clutter, uncovered = suspects.clutter(counts), suspects.uncovered(counts)
    return np.select([clutter, uncovered], [CLUTTER, NO_COVERAGE], COUNTED).astype(np.uint8)


def _origin(archive: Archive, counts: CellCounts, suspects: Suspects) -> dict[str, Any]:
    """What a mask says of itself."""
    return {
        "archive": archive.name,
        "archive_fingerprint": archive.seen,
        "first": str(counts.times[0]),
        "last": str(counts.times[-1]),
        "frames": len(counts.times),
        "wet_above": suspects.wet_above,
        "seen_in": suspects.seen_in,
        "history": "by nowcast check, from how often cells have data and rain (at least 0.1 mm/h)",
    }
