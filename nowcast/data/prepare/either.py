"""One way to prepare an archive, whatever it is kept in."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nowcast.data.archive.frame import Reader
from nowcast.data.archive.limits import as_plain, limits_of
from nowcast.data.prepare.netcdf import prepare_archive
from nowcast.data.prepare.report import Report
from nowcast.files import how_to_install
from nowcast.progress import Track
from nowcast.progress import track as bar


def prepare(
    reader: Reader,
    inputs: str | Sequence[str],
    output: Path,
    store: Mapping[str, Any],
    limits: Mapping[str, Any],
    attributes: Mapping[str, str],
    track: Track = bar,
    **settings: Any,  # noqa: ANN401
) -> tuple[Report, list[str]]:
    """Read provider files and write one archive: a Zarr store where its name ends with .zarr, else a netCDF file.

    Args:
        reader: The format.
        inputs: Folder, glob, file, or several of them.
        output: Archive to make.
        store: How a store is cut: the arguments of `Layout`.
        limits: The physical range, as the archive's attribute `limits` will name it.
        attributes: Of the archive.
        track: Progress bar.
        settings: Further ones, see `prepare_archive`.

    Returns:
        What was done, and what there is to say about it.

    Raises:
        ModuleNotFoundError: A store, and the extra `cloud` is not installed.
    """
    allowed = limits_of(limits)
    said = {**attributes, "limits": json.dumps(as_plain(allowed))}
    settings = settings | {"limits": allowed, "attributes": said, "track": track}
    write = prepare_archive if output.suffix != ".zarr" else _into_store(output, store)
    report = write(reader, inputs, output, **settings)
    return report, [*report.lines(allowed), *report.by_month(), *report.further]


def _into_store(output: Path, store: Mapping[str, Any]) -> Callable[..., Report]:
    try:
        from nowcast.data.prepare.store import laid_out, prepare_store
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{output} is a Zarr store, which needs {error.name}; {how_to_install('cloud')}"
        ) from error
    return partial(prepare_store, layout=laid_out(store))
