"""Preparing stores from small files."""

from pathlib import Path

from nowcast.data.prepare.store import prepare_store
from nowcast.data.prepare.template import Layout
from nowcast.data.zarr.opening import archive_at
from nowcast.progress import silent
from tests.data.formats.readers import reader
from tests.data.prepare.preparing import LIMITS


def prepare(tmp_path, inputs=None, source="netcdf", overrides=(), shard=4, chunk=(1, None, None), **changes):
    options = {
        "limits": LIMITS,
        "on_error": "stop",
        "allow_overlapping_sums": False,
        "workers": 0,
        "attributes": {"title": "test"},
        "track": silent,
        "layout": Layout(shard, chunk),
    } | changes
    output = tmp_path / "out" / "archive.zarr"
    made = reader(source, *overrides) if isinstance(source, str) else source
    report = prepare_store(made, inputs or str(tmp_path / "in"), output, **options)
    return archive_at(output), report


def files_of(store):
    """Every file of a store: its name and its bytes."""
    store = Path(store)
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
