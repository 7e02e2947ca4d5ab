"""Files that arrive in a folder: read when they are whole, the newest first, and let go of when they are old."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nowcast.data.archive.frame import DataFormatError
from nowcast.data.arrivals import Arrivals
from tests.data.archives import frame

DAY = np.datetime64("2024-05-01", "m")


@dataclass
class Minutes:
    """Reads files that hold the minutes of their frames as text, and keeps in mind which."""

    pattern: str = "*.txt"

    def __post_init__(self):
        self.asked = []

    def read(self, path):
        self.asked.append(path.name)
        text = path.read_text()
        if not text.endswith("."):
            raise DataFormatError(path, "half")
        return [frame(int(minute), np.zeros((2, 2))) for minute in text[:-1].split()]


def put(folder, minute, text=None, name="%Y%m%d%H%M.txt"):
    moment = (DAY + np.timedelta64(minute, "m")).item()
    path = folder / moment.strftime(name)
    path.write_text(f"{minute}." if text is None else text)
    return path


def minutes(times):
    return [int((time - DAY) / np.timedelta64(1, "m")) for time in times]


@pytest.fixture
def arrivals(tmp_path):
    return Arrivals(tmp_path, Minutes(), 3, np.timedelta64(0, "s"))


def test_a_file_is_read_when_it_has_stopped_growing(arrivals, tmp_path):
    path = put(tmp_path, 0, "0")
    assert arrivals.look() == []
    path.write_text("0 5")
    assert arrivals.look() == []
    assert arrivals.reader.asked == []
    path.write_text("0 5.")
    assert arrivals.look() == []
    assert minutes(arrivals.look()) == [0, 5]
    assert arrivals.look() == []
    assert arrivals.reader.asked == [path.name]


def test_a_file_that_cannot_be_read_is_said_and_read_again_when_it_changed(arrivals, tmp_path, caplog):
    path = put(tmp_path, 0, "0")
    put(tmp_path, 5)
    arrivals.look()
    assert minutes(arrivals.look()) == [5]
    assert caplog.messages == [f"{path}: half; it is read again when it has changed"]
    arrivals.look()
    assert len(caplog.messages) == 1
    put(tmp_path, 0)
    arrivals.look()
    assert minutes(arrivals.look()) == [0]


def test_of_many_files_at_the_start_only_the_newest_are_read(arrivals, tmp_path):
    for k in range(50):
        put(tmp_path, 5 * k)
    arrivals.look()
    assert minutes(arrivals.look()) == [235, 240, 245]
    assert len(arrivals.reader.asked) == 3
    put(tmp_path, 250)
    arrivals.look()
    assert minutes(arrivals.look()) == [250]
    assert minutes(sorted(arrivals.frames)) == [240, 245, 250]
    late = put(tmp_path, 3)
    arrivals.look()
    assert arrivals.look() == []  # older than all that is kept
    arrivals.look()
    assert arrivals.reader.asked[4:] == [late.name]


def test_as_much_time_as_is_wanted_is_kept(tmp_path):
    arrivals = Arrivals(tmp_path, Minutes(), 2, np.timedelta64(20, "m"))
    for k in range(50):
        put(tmp_path, 5 * k)
    arrivals.look()
    assert minutes(arrivals.look()) == [225, 230, 235, 240, 245]


def test_a_file_that_is_replaced_or_goes_is_noticed(arrivals, tmp_path):
    for minute in (0, 5):
        put(tmp_path, minute)
    arrivals.look()
    arrivals.look()
    other = put(tmp_path, 5, "7.", "new")
    other.replace(tmp_path / "202405010005.txt")
    arrivals.look()
    assert minutes(arrivals.look()) == [7]
    assert minutes(sorted(arrivals.frames)) == [0, 7]
    (tmp_path / "202405010000.txt").unlink()
    arrivals.look()
    assert minutes(arrivals.frames) == [7]


def test_names_without_times_and_folders_below_do(arrivals, tmp_path):
    (tmp_path / "below").mkdir()
    put(tmp_path, 5, name="a.txt")
    put(tmp_path / "below", 0, name="b.txt")
    put(tmp_path, 9, name="other.nc")
    arrivals.look()
    assert minutes(arrivals.look()) == [0, 5]
    assert set(map(Path, arrivals.frames.values())) == {tmp_path / "a.txt", tmp_path / "below" / "b.txt"}
