"""What training draws against what there is, as a table, a CSV file and plain values."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from nowcast.data.balance import Balance
from nowcast.report.csv_files import write_rows
from nowcast.report.tables import UNDEFINED

FIELDS = ("group", "name", "windows", "share", "drawn", "ratio", "rain", "rain_drawn", "rain_ratio")
MOST_ARCHIVES = 100  # in reports; the CSV file holds all
SHOWN_ARCHIVES = 8  # on the terminal
HEADINGS = ("windows of", "number", "share", "drawn", "times", "rain", "rain drawn", "times")
NOTE = (
    "Share: of all training windows with data, before any is left out for its rain or gaps. Drawn: expected share of "
    "what training draws. Rain: share of cells with at least 0.1 mm/h, of the same windows. A network that is shown "
    "more rain than there is may forecast too much of it: its bias on the test windows, which are as they come, says "
    "whether it does."
)
BALANCE = "drawn_in_training"  # key of the table among the facts of scores
KINDS = {"all": "", "archive": "", "month": "month ", "rain": "rain "}


def write_balance(path: Path, table: Iterable[Balance]) -> None:
    """Write a row for all windows, each archive, each month and each class of rain, as CSV; nan = undefined."""
    write_rows(path, FIELDS, ([getattr(row, name) for name in FIELDS] for row in table), number_format=".6g")


def plain_balance(table: Sequence[Balance]) -> list[dict[str, Any]]:
    """The rows that have windows as plain values, None = undefined; of more than MOST_ARCHIVES archives none."""
    return [
        {name: _defined(getattr(row, name)) for name in FIELDS} for row in _there(table, MOST_ARCHIVES) if row.windows
    ]


def _defined(value: Any) -> Any:  # noqa: ANN401 (text or a number)
    return None if isinstance(value, float) and math.isnan(value) else value


def _there(table: Sequence[Balance], archives: int) -> list[Balance]:
    many = sum(row.group == "archive" for row in table) > archives
    return [row for row in table if row.windows and not (many and row.group == "archive")]


def balance_cells(row: dict[str, Any]) -> list[str]:
    """One row of `plain_balance` as text, in the order of HEADINGS."""
    shares = [_text(row[key], form) for key, form in zip(FIELDS[3:], ("%", "%", "x") * 2, strict=True)]
    return [f"{KINDS[row['group']]}{row['name']}", f"{row['windows']:,}", *shares]


def _text(value: float | None, form: str) -> str:
    if value is None:
        return UNDEFINED
    return f"{value:.3g}" if form == "x" else f"{100 * value:.3g} %"


def balance_table(table: Sequence[Balance]) -> Table:
    """For the terminal: all windows, classes of rain, months and, of a few, archives."""
    shown = Table(title="what training draws, against what there is", title_justify="left")
    for number, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    rows = plain_balance(_there(table, SHOWN_ARCHIVES))
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        shown.add_row(*balance_cells(row), end_section=following is None or following["group"] != row["group"])
    return shown
