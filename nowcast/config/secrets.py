"""Keys and passwords, which belong in the environment and never in a config: configs are written beside every run."""

import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from nowcast.config.command_line.arguments import refuse_secret_address
from nowcast.config.differences import flat

VARIABLE = re.compile(r"(API_KEY|TOKEN|PASSWORD|SECRET|ACCESS_KEY)$")
SETTING = re.compile(r"(^|[._])(api_?key|password|secret|access_key|identity_token)$", re.IGNORECASE)
ADDRESS = re.compile(r"(?:s3|gs|https?)://[^\s'\",\]]+")  # of stores, which may be in lists
SHORTEST = 8  # shorter values of such variables are words that may stand anywhere


def refuse_secrets(config: Mapping[str, Any]) -> None:
    """Refuse a config or a command line that holds a key or a password; the message does not show it.

    Args:
        config: Plain values.

    Raises:
        ValueError: It does.
    """
    settings = {key: str(value) for key, value in flat(dict(config)).items() if value not in (None, "")}
    named = [key for key in settings if SETTING.search(key)]
    if named:
        raise ValueError(
            f"{named[0]} is a secret, and configs are written into run directories, logs and checkpoints; leave it out "
            "and export it, such as WANDB_API_KEY, or keep it in ~/.netrc or ~/.pgpass"
        )
    for text in settings.values():
        for address in ADDRESS.findall(text):
            refuse_secret_address(address)
    places = settings | {f"argument {number}": text for number, text in enumerate(sys.argv)}
    for variable, secret in os.environ.items():
        if VARIABLE.search(variable) and len(secret) >= SHORTEST:
            for place, text in places.items():
                if secret in text:
                    raise ValueError(
                        f"{place} holds the value of {variable}, and would be written into run directories, logs and "
                        "checkpoints; leave it out, the environment is enough"
                    )
