"""Preparing archives from small CF files."""

import numpy as np

from nowcast.data.archive.archive import Archive
from nowcast.data.archive.limits import Limits
from nowcast.data.prepare.engines import Local
from nowcast.data.prepare.netcdf import prepare_archive
from tests.data.formats import fakes
from tests.data.formats.readers import reader

LIMITS = Limits((0.0, 300.0), (-60.0, 80.0), below="mask", above="clip")


def prepare(tmp_path, inputs=None, source="netcdf", overrides=(), workers=0, **changes):
    options = {
        "limits": LIMITS,
        "on_error": "stop",
        "allow_overlapping_sums": False,
        "engine": Local(workers),
        "attributes": {"title": "test"},
        "track": lambda items, text, total: items,
    } | changes
    output = tmp_path / "out" / "archive.nc"
    given = inputs if isinstance(inputs, list) else str(inputs or tmp_path / "in")
    report = prepare_archive(reader(source, *overrides), given, output, **options)
    return Archive(output), report


def cf(tmp_path, name, minutes, value=1.0, **options):
    (tmp_path / "in").mkdir(exist_ok=True)
    values = np.full((1, 4, 5), value, dtype=np.float32) if np.ndim(value) == 0 else value
    return fakes.cf(tmp_path / "in" / name, values, times=(minutes,), **options)


def read(archive):
    return archive.read(slice(None), slice(None), slice(None))
