"""Examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import nowcast

EXAMPLES = {
    module.name
    for module in pkgutil.walk_packages(nowcast.__path__, "nowcast.")
    if ">>> " in (module.module_finder.find_spec(module.name).loader.get_source(module.name) or "")
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_there_are_some():
    assert {"nowcast.units", "nowcast.forecasting.forecast", "nowcast.data.windows.index"} <= EXAMPLES
