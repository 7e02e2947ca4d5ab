"""Opening GeoTIFF and GRIB files through rasterio, an optional dependency."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyproj  # noqa: F401 (two PROJ libraries: before rasterio it does not crash)
from numpy.typing import NDArray

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, check_shape
from nowcast.files import how_to_install


@contextmanager
def open_raster(path: Path, content: bytes | None = None) -> Iterator[Any]:
    """Open a raster file, or its unpacked content, with one band of a possible size.

    Raises:
        ModuleNotFoundError: rasterio is not installed.
        FileNotFoundError: No such file.
        DataFormatError: GDAL cannot read it.
    """
    try:
        import rasterio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this format needs rasterio; {how_to_install('raster')}") from error
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    # GDAL would turn kg m-2 s-1 into other units and degrees into radians.
    settings = {"GRIB_NORMALIZE_UNITS": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "CPL_LOG": os.devnull}
    try:
        with rasterio.Env(**settings), warnings.catch_warnings():
            # Without a position the grid is not north up, which is said below.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            if content is None:
                with rasterio.open(path) as dataset:
                    yield _checked(path, dataset)
            else:
                with rasterio.io.MemoryFile(content) as memory, memory.open() as dataset:
                    yield _checked(path, dataset)
    except rasterio.errors.RasterioError as error:
        raise DataFormatError(path, f"not readable: {error}") from error


def _checked(path: Path, dataset: Any) -> Any:  # noqa: ANN401
    check_shape(path, dataset.height, dataset.width)
    transform = dataset.transform
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise DataFormatError(path, f"grid {tuple(transform)[:6]} is not north up")
    return dataset


def read_band(path: Path, dataset: Any) -> NDArray[Any]:  # noqa: ANN401
    """The first band as stored.

    Raises:
        DataFormatError: Truncated or damaged.
    """
    with damage(path, "truncated or damaged", "rasterio"):
        band: NDArray[Any] = dataset.read(1)
    if band.dtype == np.complex64:
        raise DataFormatError(path, "complex numbers are no radar field")
    return band
