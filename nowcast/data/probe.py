"""Opening a file in a process that may hang or crash: HDF5 and netCDF do with some damaged files."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4

from nowcast.data.frame import DataFormatError

SECONDS = 20  # sound files open in milliseconds, from a slow network drive in seconds


def probe(path: Path, opened: Callable[[Path], Any]) -> None:
    """Open and close a file in a copy of this process, which the system ends when it takes too long.

    Args:
        path: The file.
        opened: Opens it; the result has `close`. What it raises is left to the real opening.

    Raises:
        DataFormatError: The library hung or crashed.
    """
    if not hasattr(os, "fork"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads do not survive, and the copy needs none
        child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a handler of Python's would wait for the library
            signal.alarm(SECONDS)
            opened(path).close()
        finally:
            os._exit(0)  # also from an exception: nothing of this copy may run on
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        how = f"does not open within {SECONDS} s" if number == signal.SIGALRM else f"crashes its library ({number})"
        raise DataFormatError(path, f"damaged: it {how}")


def open_netcdf(path: Path) -> netCDF4.Dataset:
    """Open a netCDF file of unknown origin for reading.

    Raises:
        DataFormatError: The library hangs or crashes over it.
        OSError: It is not netCDF.
    """
    probe(path, netCDF4.Dataset)
    return netCDF4.Dataset(path)
