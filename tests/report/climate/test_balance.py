"""The table of what training draws: all of it in the CSV file, what is defined in reports, little on the terminal."""

import io
import json
import math

import pytest
from rich.console import Console

from nowcast.data.balance import Balance
from nowcast.report.climate.balance import FIELDS, balance_cells, balance_table, plain_balance, write_balance
from nowcast.report.csv_files import read_records
from nowcast.report.tables import UNDEFINED

TABLE = [
    Balance("all", "all", 1200, 1.0, 1.0, 0.05, 0.2),
    Balance("archive", "knmi", 900, 0.75, 0.5, 0.04, 0.0),
    Balance("archive", "none", 0, 0.0, 0.0, math.nan, math.nan),
    Balance("month", "07", 300, 0.25, 0.0, 0.0, math.nan),
]


def test_the_file_holds_every_row(tmp_path):
    write_balance(tmp_path / "sampling.csv", TABLE)
    found = read_records(tmp_path / "sampling.csv")
    assert [(row["group"], row["name"]) for row in found] == [(row.group, row.name) for row in TABLE]
    for row, told in zip(TABLE, found, strict=True):
        assert int(told["windows"]) == row.windows
        numbers = [float(told[name]) for name in FIELDS[3:]]
        expected = [row.share, row.drawn, row.ratio, row.rain, row.rain_drawn, row.rain_ratio]
        assert numbers == pytest.approx(expected, nan_ok=True)


def test_plain_rows_are_json_and_those_that_are_there():
    found = plain_balance(TABLE)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["name"] for row in found] == ["all", "knmi", "07"]
    assert found[0]["rain_ratio"] == pytest.approx(4)
    assert found[2]["ratio"] == 0
    assert found[2]["rain_drawn"] is found[2]["rain_ratio"] is None


def test_a_row_as_text():
    first, _, last = map(balance_cells, plain_balance(TABLE))
    assert first == ["all", "1,200", "100 %", "100 %", "1", "5 %", "20 %", "4"]
    assert last == ["month 07", "300", "25 %", "0 %", "0", "0 %", UNDEFINED, UNDEFINED]


def test_the_terminal_shows_archives_as_long_as_they_are_few():
    few, many = TABLE, TABLE + [Balance("archive", f"radar_{n}", 1, 0.1, 0.1, 0.1, 0.1) for n in range(8)]
    assert "knmi" in shown(few)
    assert "knmi" not in shown(many)
    assert "radar_1" not in shown(many)
    assert "month 07" in shown(many)


def shown(table):
    console = Console(file=io.StringIO(), width=80)
    console.print(balance_table(table))
    return console.file.getvalue()
