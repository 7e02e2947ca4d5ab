"""Texts in quotes, for Hydra and for shells."""

import re
import shlex
from typing import Any


def quoted(text: str) -> str:
    r"""A text that is a text to Hydra whatever it holds.

    >>> print(quoted("it's {one}"))
    'it\'s {one}'
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + end[2].replace("'", "\\'"), text) + "'"


def typed(key: str, value: Any) -> str:  # noqa: ANN401 (whatever a setting may be)
    """A setting as the user can type it in a shell, for messages; `nowcast` quotes it for Hydra."""
    return shlex.quote(f"{key}={value}")
