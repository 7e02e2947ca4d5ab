"""Configs that come with a file: nothing is built from them but the classes that this project knows.

A checkpoint names the class of its network. Read as a config, it could name any function of any installed package, and
with it run a stranger's program.
"""

import importlib
import os
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nowcast.config.moved import as_now

PACKAGES = (
    "nowcast.models",
    "nowcast.scaling",
    "nowcast.forecasting.heads",
    "nowcast.forecasting.calibration.method",
    "nowcast.data",
    "nowcast.verification.scores",
    "nowcast.verification.per_frame",
)
VARIABLE = "NOWCAST_TRUSTED_PACKAGES"


def trusted(values: Any, origin: str) -> DictConfig:  # noqa: ANN401 (whatever a file holds)
    """Plain values of a file as a config that may be built.

    Args:
        values: What the file holds.
        origin: What it is, for messages.

    Raises:
        ValueError: It names something else than a class of this project or of NOWCAST_TRUSTED_PACKAGES, or holds an
            interpolation, which could become a name later.
    """
    values = as_now(values)
    for key, value in _leaves(values):
        if isinstance(value, str) and "${" in value:
            raise ValueError(f"{origin}: {key} is {value!r}, an interpolation; stored configs hold plain values")
        if key.rpartition(".")[2] == "_target_" and not _is_known_class(value):
            raise ValueError(
                f"{origin}: {key} is {value!r}, which is no class of {', '.join(PACKAGES)}. If you trust whoever made "
                f"it, name the package: {VARIABLE}=<package>"
            )
    config: DictConfig = OmegaConf.create(values)
    return config


def _leaves(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            yield from _leaves(value, f"{key}[{index}]")
    else:
        yield key, values


def _is_known_class(name: Any) -> bool:  # noqa: ANN401
    """Whether a name is that of a class where it is defined: not of something that the module imported."""
    packages = (*PACKAGES, *filter(None, os.environ.get(VARIABLE, "").split(",")))
    module, _, attribute = str(name).rpartition(".")
    if not any(module == package or module.startswith(f"{package}.") for package in packages):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__ == module
