"""Models by name: each of several gets its own, and none takes the place of another."""

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

RESERVED = {"observed": "the observation", "input": "the frames that a forecast is made from"}


def model_name(config: Mapping[str, Any]) -> str:
    """What a network is called in tables and files: the name of its class in small letters."""
    return str(config["model"]["_target_"]).rsplit(".", 1)[1].lower()


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """The name, or with the smallest number from 2 that makes it (also with "_calibrated") another than those taken."""
    number, chosen = 1, name
    while chosen in taken or chosen in RESERVED or f"{chosen}_calibrated" in taken:
        number += 1
        chosen = f"{name}_{number}"
    return chosen


def joined(
    models: "Mapping[str, nn.Module]", others: "Mapping[str, nn.Module]", what: str, way_out: str
) -> dict[str, Any]:
    """Both, if no name stands in both.

    Args:
        models: Name → model.
        others: Further ones.
        what: What the others are, for messages.
        way_out: What to type to call one otherwise.

    Raises:
        ValueError: A name stands in both, or is one that pictures have for something else.
    """
    if taken := [name for name in others if name in RESERVED]:
        raise ValueError(
            f"{what} cannot be called {taken[0]!r}, which is what pictures call {RESERVED[taken[0]]}. {way_out}"
        )
    if twice := [name for name in others if name in models]:
        raise ValueError(
            f"two models are called {twice[0]!r}, the second is {what}: one would take the place of the other. "
            f"{way_out}"
        )
    return {**models, **others}


def as_typed(key: str, values: Mapping[str, Any]) -> str:
    """A mapping as a setting that a shell and Hydra read back, such as 'forecasts={steps: ["a.nc"]}'."""
    inside = ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items())
    return shlex.quote(f"{key}={{{inside}}}")


def renamed(values: Mapping[str, Any], name: str, taken: Mapping[str, object]) -> dict[str, Any]:
    """The mapping with one key changed to a free one."""
    return {free_name(name, {**values, **taken}) if key == name else key: value for key, value in values.items()}
