"""Days of pictures that the tests of this folder share."""

import pytest

from tests.data.paper.hko_tree import write_day


@pytest.fixture
def days(tmp_path):
    """Three complete days, the second the driest, an incomplete one and one of another year."""
    for date, rain in (("2011-05-03", 0.6), ("2012-06-01", 0.1), ("2013-12-31", 0.5), ("2014-01-01", 0.9)):
        write_day(tmp_path, date, rain)
    write_day(tmp_path, "2012-07-01", 0.9, count=239)
    return tmp_path
