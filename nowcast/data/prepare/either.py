"""One way to prepare an archive, whatever it is kept in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nowcast.data.archive.frame import Reader
from nowcast.data.prepare.netcdf import prepare_archive
from nowcast.data.prepare.report import Report


def prepare(
    reader: Reader,
    inputs: str | Sequence[str],
    output: Path,
    store: Mapping[str, Any],
    **settings: Any,  # noqa: ANN401
) -> Report:
    """Read provider files and write one archive: a Zarr store where its name ends with .zarr, else a netCDF file.

    Args:
        reader: The format.
        inputs: Folder, glob, file, or several of them.
        output: Archive to make.
        store: How a store is cut: the arguments of `Layout`.
        settings: Further ones, see `prepare_archive`.

    Raises:
        ModuleNotFoundError: A store, and the extra `cloud` is not installed.
    """
    if output.suffix != ".zarr":
        return prepare_archive(reader, inputs, output, **settings)
    try:
        from nowcast.data.prepare.store import prepare_store
        from nowcast.data.prepare.template import Layout
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{output} is a Zarr store, which needs {error.name}; in the checkout: "
            "pip install -c constraints.txt -e '.[cloud]'"
        ) from error
    layout = Layout(store["frames_per_shard"], tuple(store["chunk"]))
    return prepare_store(reader, inputs, output, layout=layout, **settings)
