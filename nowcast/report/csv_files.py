"""CSV files: rows under one header, whole or not there, and read back as text."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nowcast.files import written_whole

ALL_DIGITS = ""  # as `repr` writes a float, so that reading it gives the same number


def write_rows(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    number_format: str = ALL_DIGITS,
    line_end: str = "\n",
) -> None:
    """Write a file in UTF-8; None is an empty cell, NaN is nan.

    Args:
        path: Where to; its folder is made.
        columns: The header.
        rows: Cells in the order of the columns.
        number_format: Of every float, such as ".7g".
        line_end: Behind each line.
    """
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=line_end)
        writer.writerow(columns)
        writer.writerows([_cell(value, number_format) for value in row] for row in rows)


def _cell(value: object, number_format: str) -> object:
    return format(value, number_format) if number_format and isinstance(value, float) else value


def write_records(
    path: Path, columns: Sequence[str], records: Iterable[Mapping[str, object]], *, line_end: str = "\n"
) -> None:
    """Write a file of what records hold in these columns; what one lacks is an empty cell."""
    write_rows(path, columns, _in_columns(columns, records), line_end=line_end)


def append_records(
    path: Path, columns: Sequence[str], records: Iterable[Mapping[str, object]], *, line_end: str = "\n"
) -> None:
    """Add lines to a file that has these columns.

    Raises:
        OSError: They cannot be written; the file is as it was before.
    """
    size = path.stat().st_size
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator=line_end).writerows(_in_columns(columns, records))
    except OSError:
        os.truncate(path, size)
        raise


def _in_columns(columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> Iterator[list[object]]:
    return ([record.get(name) for name in columns] for record in records)


def read_rows(path: Path) -> list[list[str]]:
    """Every line as cells, the header first.

    Raises:
        FileNotFoundError: No such file.
        csv.Error: It is no CSV.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def read_records(path: Path) -> list[dict[str, str]]:
    """Every line as column → text.

    Raises:
        FileNotFoundError: No such file.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_complete_records(path: Path) -> list[dict[str, str]]:
    """The same of a file that is being written, or was when its writer was killed: without a line that has no end.

    Raises:
        FileNotFoundError: No such file.
    """
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
