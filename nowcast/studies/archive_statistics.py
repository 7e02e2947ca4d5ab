"""The statistics of archives, counted in one pass over all their frames."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from nowcast.data.datamodule import RadarDataModule
from nowcast.data.interface import DataModule
from nowcast.data.shares.cells import count_cells
from nowcast.files import written_whole
from nowcast.progress import track
from nowcast.report.climate.archive import remarks, statistics_of
from nowcast.report.climate.picture import plot_statistics


def archive_statistics(data: DataModule, folder: Path, console: Console) -> list[dict[str, Any]]:
    """Count each archive, write <name>.png and <name>.json, print what asks to be looked at; return the plain values.

    Args:
        data: Of radar archives.
        folder: Where to.
        console: Where remarks go.

    Raises:
        ValueError: The data is no radar.
        DataFormatError: An archive cannot be read.
    """
    if not isinstance(data, RadarDataModule):
        raise ValueError("statistics=<folder> is of radar archives: leave it out, or choose data=radar")
    told = []
    for region in data.regions:
        counts = count_cells(region.archive, track)
        found = statistics_of(counts)
        written = folder / f"{counts.name}.json"
        with written_whole(written) as partial:
            partial.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        for line in remarks(found):
            console.print(line, highlight=False, soft_wrap=True)
        for path in (written, plot_statistics(counts, found, folder / f"{counts.name}.png")):
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)
        told.append(found)
    return told
