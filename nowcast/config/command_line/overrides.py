"""Settings as they are typed: texts that Hydra's grammar has no room for are quoted for it."""

import re
import shlex
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from nowcast.config.command_line.quoting import quoted

BARE = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./-]*")  # what a Hydra override may hold without quotes


def override_text(value: Any) -> str:  # noqa: ANN401 (whatever YAML holds)
    """A value as it stands in a Hydra override."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(override_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{override_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (
        not BARE.fullmatch(value) or value.lower() in ("true", "false", "null", "nan", "inf")
    ):
        return quoted(value)
    return str(value)


def readable(argument: str) -> str:
    """An argument as Hydra can read it: a text with signs that it has no room for, as `=`, `~` or `ü`, quoted.

    What it can read stays, and so does what begins like a list, a mapping or a quotation and is none.
    """
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals or _is_readable(argument):
        return argument
    if value.startswith("[") and value.endswith("]") and not re.search(r"""[\[\]{}'"]""", value[1:-1]):
        value = "[" + ",".join(_text(part) for part in value[1:-1].split(",")) + "]"
    elif value[:1] not in ("[", "{", "'", '"') and "," not in value:
        value = quoted(value)
    return f"{key}={value}" if _is_readable(f"{key}={value}") else argument


def _text(part: str) -> str:
    return part if _is_readable(f"x={part}") else quoted(part.strip())


def in_quotes(argument: str) -> str:
    """An argument with its whole value in quotes, as it can be typed in a shell; empty where that does not help."""
    key, equals, value = argument.partition("=")
    text = f"{key}={quoted(value)}" if '"' in value or "\\" in value else f'{key}="{value}"'
    return shlex.quote(text) if equals and _is_readable(text) else ""


def _is_readable(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
