"""CSV files: the bytes that are written, and what is read back."""

import math

import numpy as np
import pytest

from nowcast.report.csv_files import (
    append_records,
    read_complete_records,
    read_records,
    read_rows,
    write_records,
    write_rows,
)

ROW = ["a, b", 'say "x"', None, "", math.nan, 1 / 3, np.float64(1e-300), np.float64(2), 7, True]


def test_bytes_with_all_digits(tmp_path):
    write_rows(tmp_path / "new" / "a.csv", ["ü", "b"], [ROW])
    line = '"a, b","say ""x""",,,nan,0.3333333333333333,1e-300,2.0,7,True\n'
    assert (tmp_path / "new" / "a.csv").read_bytes() == f"ü,b\n{line}".encode()


def test_bytes_with_one_format_for_every_float(tmp_path):
    write_rows(tmp_path / "a.csv", ["x"], [ROW], number_format=".7g")
    assert (tmp_path / "a.csv").read_bytes() == b'x\n"a, b","say ""x""",,,nan,0.3333333,1e-300,2,7,True\n'


def test_records_fill_their_columns_and_leave_the_others_empty(tmp_path):
    path = tmp_path / "a.csv"
    write_records(path, ["x", "y"], [{"y": 2}, {"x": 0.1, "y": "n"}], line_end="\r\n")
    append_records(path, ["x", "y"], [{"x": 3}], line_end="\r\n")
    assert path.read_bytes() == b"x,y\r\n,2\r\n0.1,n\r\n3,\r\n"
    assert read_records(path) == [{"x": "", "y": "2"}, {"x": "0.1", "y": "n"}, {"x": "3", "y": ""}]
    assert read_rows(path)[0] == ["x", "y"]


def test_a_line_without_its_end_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,y\r\n1,2\r\n3,")
    assert read_complete_records(path) == [{"x": "1", "y": "2"}]
    path.write_bytes(b"x,")
    assert read_complete_records(path) == []


def test_a_failure_keeps_the_earlier_file(tmp_path):
    (tmp_path / "a.csv").write_text("earlier")
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "a.csv", ["x"], ([1 / k] for k in (1, 0)))
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.csv": "earlier"}
