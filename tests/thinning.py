"""Of a product of cases a few stay among the fast tests: `make test-thorough` runs the others."""

import pytest


def thinned(cases, fast):
    """All cases as pytest's parameters; those whose numbers are not in `fast` are marked thorough."""
    cases = list(cases)
    assert set(fast) <= set(range(len(cases)))
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if k in fast else pytest.mark.thorough)
        for k, case in enumerate(cases)
    ]
