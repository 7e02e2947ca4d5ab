"""A sampling index as Parquet: the columns and parameters of mlcast's (schema version 1), and two columns more.

t, y and x are the first frame, row and column as they are stored; nan_count, sum, mean and frac_wet are of all cells of
the window, those beyond the grid among them, which have no value. `wet_count` and `max` are ours.
Source: github.com/mlcast-community/mlcast, sampling_index_spec.py at b53093c.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nowcast.data.archive.archive import RAIN_THRESHOLD, Archive
from nowcast.data.archive.frame import DataFormatError
from nowcast.data.shares.listed import Listed, Windows
from nowcast.data.shares.statistics import TileStatistics
from nowcast.files import how_to_install, written_whole

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"a sampling index (data.index) needs pyarrow; {how_to_install('cloud')}") from error

log = logging.getLogger(__name__)

THEIRS, OURS = b"mlcast.stats", b"nowcast.index"  # keys of the file's metadata
SCHEMA = pa.schema(
    [(name, pa.int32()) for name in ("t", "x", "y", "nan_count")]
    + [(name, pa.float32()) for name in ("sum", "mean", "frac_wet", "max")]
    + [("wet_count", pa.int32())]
)
READ = ["t", "x", "y", "nan_count"]
JUST_BELOW = float(np.nextafter(np.float32(RAIN_THRESHOLD), np.float32(0)))  # theirs is "more than", ours "at least"


@dataclass(frozen=True)
class Part:
    """Some windows with all tiles, to be written.

    Args:
        starts: (N,) first frames.
        corners: K first (row, column) of the tiles.
        statistics: (N, K).
    """

    starts: NDArray[np.int64]
    corners: list[tuple[int, int]]
    statistics: TileStatistics


def write_table(path: Path, archive: Archive, windows: Windows, stride: int, step: int, parts: Iterator[Part]) -> None:
    """Write an index.

    Args:
        path: Where to; there is nothing until all of it is written.
        archive: The archive.
        windows: What is listed.
        stride: Archive frames between the starts of two windows.
        step: Seconds between two frames of a window.
        parts: In order of time.
    """
    schema = SCHEMA.with_metadata(_metadata(archive, windows, stride, step))
    with written_whole(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for part in parts:
            columns = _columns(archive, windows, part)
            writer.write_batch(pa.record_batch([pa.array(columns[name]) for name in SCHEMA.names], schema=schema))


def _metadata(archive: Archive, windows: Windows, stride: int, step: int) -> dict[bytes, bytes]:
    theirs = {
        "zarr_path": str(archive.path),
        "data_var": archive.field_name,
        "time_var": "time",
        "start_date": str(archive.times[0]),
        "end_date": str(archive.times[-1]),
        "time_step_minutes": max(1, round(step / 60)),
        "time_depth": windows.length,
        "width": windows.width,
        "height": windows.height,
        "step_t": stride,
        "step_x": windows.width,
        "step_y": windows.height,
        "max_nan": windows.cells,
        "wet_threshold": JUST_BELOW,
        "data_kind": "rainrate",
        "units": "mm h-1",
        "schema_version": 1,
    }
    ours = asdict(windows) | {"archive": archive.name, "fingerprint": archive.seen}
    return {key: json.dumps(facts, sort_keys=True).encode() for key, facts in ((THEIRS, theirs), (OURS, ours))}


def _columns(archive: Archive, windows: Windows, part: Part) -> dict[str, NDArray[Any]]:
    one, tiles = part.statistics, len(part.corners)
    corners = np.tile(np.array(part.corners, dtype=np.int64).reshape(tiles, 2), (len(part.starts), 1))
    y, x = _other_end(archive, windows, *corners.T)
    valid = one.valid.reshape(-1)
    total, wet = one.total.reshape(-1), one.wet.reshape(-1)
    found = {
        "t": archive.stored_frames[part.starts].repeat(tiles),
        "x": x,
        "y": y,
        "nan_count": windows.cells - valid,
        "sum": total,
        "mean": np.divide(total, valid, where=valid > 0, out=np.full(valid.shape, np.nan)),
        "frac_wet": wet / windows.cells,
        "max": one.most.reshape(-1),
        "wet_count": wet,
    }
    return {name: values.astype(SCHEMA.field(name).type.to_pandas_dtype()) for name, values in found.items()}


def _other_end(
    archive: Archive, windows: Windows, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First rows and columns of tiles as they are stored → as they are read, and the other way round."""
    sides = zip((rows, columns), archive.grid.shape, (windows.height, windows.width), archive.flips, strict=True)
    found = [size - side - first if flip else first for first, size, side, flip in sides]
    return found[0], found[1]


def read_table(path: Path, archive: Archive, windows: Windows) -> Listed:
    """Read an index that was made of this archive for such windows, by us or by mlcast.

    Raises:
        DataFormatError: Damaged, no such index, or one of another archive or of other windows.
    """
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            _check(path, metadata, archive, windows)
            counted = "wet_count" if OURS in metadata else "frac_wet"
            table = file.read([*READ, counted])
    except (pa.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataFormatError(
            path, f"no sampling index that can be read ({_line(error)}); delete it, and it is made again"
        ) from error
    columns = {name: table.column(name).to_numpy() for name in READ}
    wet = table.column(counted).to_numpy()
    if counted == "frac_wet":
        wet = np.rint(wet.astype(np.float64) * windows.cells)
    y, x = _other_end(archive, windows, columns["y"], columns["x"])
    for first, size, side in zip((y, x), archive.grid.shape, (windows.height, windows.width), strict=True):
        if len(first) and (first.min() < 0 or first.max() > max(size - side, 0)):
            raise DataFormatError(path, f"lists tiles beyond the grid of {archive.path}: it is of another archive")
    return Listed(_frames(archive, columns["t"]), y, x, windows.cells - columns["nan_count"], wet.astype(np.int32))


def _frames(archive: Archive, stored: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames of the archive by their number in the file; -1 of those that the archive leaves out."""
    known = archive.stored_frames
    near = np.searchsorted(known, stored).clip(max=len(known) - 1)
    return np.where(known[near] == stored, near, -1)


def _check(path: Path, metadata: dict[bytes, bytes], archive: Archive, windows: Windows) -> None:
    """Refuse what was made of something else."""
    if THEIRS not in metadata:
        raise DataFormatError(path, "no sampling index: the file holds no parameters of one (mlcast.stats)")
    theirs = json.loads(metadata[THEIRS])
    ours = json.loads(metadata.get(OURS, b"{}"))
    if ours and ours.get("fingerprint") != archive.seen:
        raise DataFormatError(
            path,
            f"made of {ours.get('archive')} in another state than {archive.path} is in; delete it, and it is made "
            "again",
        )
    if not ours and (theirs.get("data_kind"), theirs.get("wet_threshold")) != ("rainrate", RAIN_THRESHOLD):
        text = "%s counts as rain %s above %s (mm/h or dBZ), where tile summaries count at least %s mm/h"
        log.warning(text, path, theirs.get("data_kind"), theirs.get("wet_threshold"), RAIN_THRESHOLD)
    asked = {"time_depth": windows.length, "height": windows.height, "width": windows.width, "every": windows.every}
    said = {"every": 1} | theirs | ours  # mlcast's windows are of frames that follow each other
    for key, wanted in asked.items():
        if said.get(key) != wanted:
            raise DataFormatError(
                path,
                f"lists windows with {key} {said.get(key)}, these settings ask for {wanted}: change data.input_steps, "
                "data.forecast_steps, data.crop or data.windows, or choose another data.index",
            )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
