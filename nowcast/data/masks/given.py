"""The masks that a setting names, put on the archives that they are of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nowcast.config.mistakes import UsageError
from nowcast.data.archive.archive import Archive
from nowcast.data.archive.frame import Grid
from nowcast.data.archive.mask import Mask
from nowcast.data.archive.summaries import tile_summaries
from nowcast.data.masks.file import read_mask

Read = tuple[Path, Grid, NDArray[np.bool_]]


def use_masks(archives: Sequence[Archive], given: str | Sequence[str] | None, key: str = "data.mask") -> None:
    """Let archives be read with no data where a mask of their grid says so, or any of several of that grid.

    Args:
        archives: The archives.
        given: Files or globs; None = no masks.
        key: Setting that names them, for messages.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: A file is no mask.
        UsageError: No mask is of an archive's grid, no archive of a mask's, or nothing is left of an archive.
    """
    if given is None:
        return
    masks = [(path, *read_mask(path)) for path in _files(given, key)]
    for archive in archives:
        mine = [cells for _, grid, cells in masks if grid.same_as(archive.grid)]
        if not mine:
            raise UsageError(_no_mask(archive, masks, key))
        hidden = np.logical_or.reduce(mine)
        if hidden.all():
            raise UsageError(f"{key} leaves out all cells of {archive.name}: in a mask, cells that are to count are 0")
        archive.mask, archive.summarise = Mask(hidden), tile_summaries
    for path, grid, _ in masks:
        if not any(grid.same_as(archive.grid) for archive in archives):
            raise UsageError(f"{key}: {path} ({_size(grid)}) is of no archive's grid; leave it out of {key}")


def _files(given: str | Sequence[str], key: str) -> list[Path]:
    found: list[Path] = []
    for one in [given] if isinstance(given, str) else given:
        path = Path(one).expanduser()
        fits = sorted(path.parent.glob(path.name)) if any(sign in path.name for sign in "*?[") else [path]
        if not fits:
            raise FileNotFoundError(f"{key}: no file is called {one}")
        found += fits
    if not found:
        raise UsageError(f"{key}=[] names no file: {key}=null is without a mask")
    return found


def _no_mask(archive: Archive, masks: Sequence[Read], key: str) -> str:
    found = ", ".join(f"{path} {_size(grid)}" for path, grid, _ in masks)
    same = any(grid.shape == archive.grid.shape for _, grid, _ in masks)
    where = "; one has as many cells, and lies elsewhere" if same else ""
    return (
        f"{key} is of another grid than {archive.path} ({_size(archive.grid)}): {found}{where}. "
        "`nowcast check data=radar data.archives=[…] statistics=<folder>` makes one of each archive, and several grids "
        f"need {key}=[<one>,<another>]"
    )


def _size(grid: Grid) -> str:
    return f"{grid.shape[0]} x {grid.shape[1]}"
