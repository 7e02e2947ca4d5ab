"""Preparing stores from small files."""

from pathlib import Path

import numpy as np

from nowcast.data.prepare.engines import Local
from nowcast.data.prepare.store import prepare_store
from nowcast.data.prepare.template import Layout
from nowcast.data.zarr.opening import archive_at
from nowcast.progress import silent
from tests.data.formats.readers import reader
from tests.data.prepare.preparing import LIMITS

EVERYTHING = (slice(None), slice(None), slice(None))


def prepare(tmp_path, inputs=None, source="netcdf", overrides=(), shard=4, chunk=(1, None, None), workers=0, **changes):
    options = {
        "limits": LIMITS,
        "on_error": "stop",
        "allow_overlapping_sums": False,
        "engine": Local(workers),
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


def same(one, other):
    """Whether two archives hold the same."""
    assert np.array_equal(one.times, other.times)
    assert np.array_equal(one.grid.x, other.grid.x)
    assert np.array_equal(one.grid.y, other.grid.y)
    assert (one.grid.crs, one.meaning, one.stored_type) == (other.grid.crs, other.meaning, other.stored_type)
    stored = [archive.read_stored(*EVERYTHING) for archive in (one, other)]
    assert np.array_equal(*stored, equal_nan=stored[0].dtype.kind == "f")
    assert np.array_equal(one.read(*EVERYTHING), other.read(*EVERYTHING), equal_nan=True)
    assert np.array_equal(one.rain_fraction, other.rain_fraction)
    assert np.array_equal(one.valid_fraction, other.valid_fraction)
