"""Telling a damaged file from a bug of ours: only what a library raises about a file is the file's fault."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nowcast.data.archive.frame import DataFormatError


@contextmanager
def damage(path: Path | str, what: str, *libraries: str) -> Iterator[None]:
    """Turn an error that comes out of a library into a DataFormatError; all others are ours, and pass.

    Libraries raise nearly every exception there is over damaged content, also those that are commonly a programmer's
    fault. They are told apart by where they were raised: in the code of the library, or in ours.

    Args:
        path: The file that is read.
        what: What is said of it, before the library's own words.
        libraries: Names of the packages whose errors are the file's, such as "h5py".

    Raises:
        DataFormatError: A library could not read the file.
    """
    try:
        yield
    except DataFormatError:
        raise
    except Exception as error:
        if not raised_by(error, *libraries):
            raise
        raise DataFormatError(path, f"{what}: {reason(error, path)}") from error


def raised_by(error: BaseException, *libraries: str) -> bool:
    """Whether an error was raised by the code of one of these packages, or by what it called of Python's own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    frame = trace.tb_frame
    if module := frame.f_globals.get("__name__"):
        return str(module).split(".")[0] in libraries
    return not set(Path(frame.f_code.co_filename).parts).isdisjoint(libraries)  # compiled modules may have no name


def reason(error: BaseException, path: Path | str) -> str:
    """What a library says is wrong with a file, without the file's name, which DataFormatError says already."""
    text = str(error) or type(error).__name__
    for name in dict.fromkeys((repr(path), repr(str(path)), str(path))):
        text = re.sub(rf"(?:[:,] *|name = *|file *|of *)?{re.escape(name)}", "", text)
    return " ".join(text.split())
