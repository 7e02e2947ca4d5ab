"""Rain, data and suspects of an archive as plain values: by month, by hour, by month of the record, by cell."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.shares.cells import CellCounts, Suspects
from nowcast.data.shares.climate import months_of

STEP = 0.05  # of the grid: cells that get data, or lose it, from one month to the next
MOST_SUSPECTS = 1000  # that are listed
ENOUGH_DAYS = 90  # of frames: in less, rain that stays is wet for as large a share of the time as clutter


def statistics_of(counts: CellCounts, suspects: Suspects) -> dict[str, Any]:
    """Plain values, None = undefined.

    Args:
        counts: Of the archive.
        suspects: Which cells are suspected of clutter.

    Returns:
        months and hours are those of the calendar (hours UTC), record has each month from the first to the last that
        has frames; rain is the share of wet among cells with a value, no_data that of cells without. Rows and columns
        count from 0 at the upper left cell.
    """
    months = counts.times.astype("datetime64[M]")
    record, place = np.unique(months, return_inverse=True)
    hours = counts.times.astype("datetime64[h]").astype(np.int64) % 24
    by_record = _by(counts, "month", place, [str(month) for month in record])
    clutter = suspects.clutter(counts)
    rows, columns = np.nonzero(clutter)
    shares = counts.wet_share[rows, columns]
    order = np.argsort(-shares, kind="stable")[:MOST_SUSPECTS]
    return {
        "name": counts.name,
        "first": str(counts.times[0]),
        "last": str(counts.times[-1]),
        "frames": len(counts.times),
        "days": days_of(counts),
        "rain": _share(counts.wet.sum(), counts.valid.sum()),
        "no_data": 1 - float(counts.valid.sum()) / (counts.valid.size * len(counts.times)),
        "months": _by(counts, "month", months_of(counts.times).astype(np.int64) - 1, list(range(1, 13))),
        "hours": _by(counts, "hour", hours, list(range(24))),
        "record": by_record,
        "steps": _steps(by_record),
        "cells": counts.valid.size,
        "cells_without_data": int((counts.valid == 0).sum()),
        "cells_without_coverage": int(suspects.uncovered(counts).sum()),
        "clutter": {
            "wet_above": suspects.wet_above,
            "cells": int(clutter.sum()),
            "most_suspect": [
                {"row": int(rows[k]), "column": int(columns[k]), "wet": float(shares[k])} for k in order.tolist()
            ],
        },
    }


def days_of(counts: CellCounts) -> int:
    """Days (UTC) with frames."""
    return len(np.unique(counts.times.astype("datetime64[D]")))


def _by(counts: CellCounts, key: str, groups: NDArray[np.int64], names: list[Any]) -> list[dict[str, Any]]:
    """Frames, rain and no data of groups of frames."""
    frames = np.bincount(groups, minlength=len(names))
    valid, wet = (
        np.bincount(groups, of_frame, minlength=len(names)) for of_frame in (counts.frame_valid, counts.frame_wet)
    )
    return [
        {
            key: name,
            "frames": int(frames[k]),
            "rain": _share(wet[k], valid[k]),
            "no_data": None if not frames[k] else 1 - float(valid[k]) / (int(frames[k]) * counts.valid.size),
        }
        for k, name in enumerate(names)
    ]


def _steps(record: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Months in which the share of cells with data is another than in the month with frames before."""
    found = []
    for before, after in pairwise(record):
        change = before["no_data"] - after["no_data"]
        if abs(change) >= STEP:
            found.append({"month": after["month"], "more_cells_with_data": change})
    return found


def _share(part: float, whole: float) -> float | None:
    share = float(part) / float(whole) if whole else math.nan
    return None if math.isnan(share) else share


def remarks(found: dict[str, Any]) -> list[str]:
    """What of an archive's statistics asks to be looked at, in lines."""
    said = []
    if found["clutter"]["cells"]:
        text = (
            f"{found['clutter']['cells']:,} of {found['cells']:,} cells are wet in more than "
            f"{found['clutter']['wet_above']:.0%} of the time"
        )
        short = f"; of {found['days']} days that may be rain" if found["days"] < ENOUGH_DAYS else ": clutter?"
        said.append(f"{found['name']}: {text}{short}")
    if found["cells_without_data"]:
        said.append(f"{found['name']}: {found['cells_without_data']:,} of {found['cells']:,} cells never have data")
    for step in found["steps"]:
        change = step["more_cells_with_data"]
        more = "get data that had none" if change > 0 else "have no data that had some"
        said.append(f"{found['name']}: in {step['month']} {abs(change):.0%} of the cells {more}")
    return said
