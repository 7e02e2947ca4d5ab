"""Configs that come with a file: nothing is built from them but classes of ours that configs name, and of extensions.

A checkpoint names the class of its network. Read as a config, it could name any function of any installed package, and
with it run a stranger's program. An extension is a package that somebody installed and that says itself, by entry
points, which of its classes are meant for this (docs/extending.md).
"""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nowcast.config.moved import as_now
from nowcast.files import of_project

PACKAGES = (
    "nowcast.models",
    "nowcast.scaling",
    "nowcast.forecasting.heads",
    "nowcast.forecasting.calibration",
    "nowcast.verification.scores",
    "nowcast.verification.per_frame",
)
OURS = of_project("configs", Path("configs"))
# Groups of ours that say what data is; its room holds much that is no part of a config.
OF_DATA = ("data", "echoes", "experiment")
GROUPS = ("nowcast.models", "nowcast.heads", "nowcast.calibrations", "nowcast.losses", "nowcast.scores", "nowcast.data")
CONFIGS = "nowcast.configs"


def trusted(values: Any, origin: str) -> DictConfig:  # noqa: ANN401 (whatever a file holds)
    """Plain values of a file as a config that may be built.

    Args:
        values: What the file holds.
        origin: What it is, for messages.

    Raises:
        ValueError: It names something else than a class of this project or of an installed extension, or holds an
            interpolation, which could become a name later.
    """
    values = as_now(values)
    for key, value in _leaves(values):
        if isinstance(value, str) and "${" in value:
            raise ValueError(f"{origin}: {key} is {value!r}, an interpolation; stored configs hold plain values")
        if key.rpartition(".")[2] == "_target_" and not _is_known_class(value):
            raise ValueError(
                f"{origin}: {key} is {value!r}, which is no class of {', '.join(PACKAGES)}, none of nowcast.data that "
                f"configs/data names, nor of an installed extension "
                f"({', '.join(sorted(extensions())) or 'there is none'}). If you trust whoever made it, "
                "install the package that declares it as an entry point (docs/extending.md)"
            )
    config: DictConfig = OmegaConf.create(values)
    return config


def extensions() -> set[str]:
    """Classes that installed packages declare as entry points, such as "my_package.unet.UNet"."""
    return {f"{point.module}.{point.attr}" for group in GROUPS for point in entry_points(group=group) if point.attr}


@cache
def of_data() -> frozenset[str]:
    """Classes of `nowcast.data` that a config of data may name: those that ours name."""
    texts = (file.read_text(encoding="utf-8") for group in OF_DATA for file in (OURS / group).glob("*.yaml"))
    return frozenset(name for text in texts for name in re.findall(r"\b_target_: *(nowcast\.data\.[\w.]+)", text))


def config_packages() -> list[str]:
    """Folders of configs that installed packages bring along, such as "my_package.configs"."""
    return sorted({point.value for point in entry_points(group=CONFIGS)})


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
    module, _, attribute = str(name).rpartition(".")
    ours = any(module == package or module.startswith(f"{package}.") for package in PACKAGES)
    if not (ours or str(name) in of_data() or str(name) in extensions()):  # all packages are read for these
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__ == module
