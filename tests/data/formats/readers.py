"""Readers as the configs describe them."""

from functools import cache

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from nowcast.config.build import build
from nowcast.config.program import CONFIGS


@cache
def reader(name, *overrides):
    """The reader of configs/source/<name>.yaml, with overrides such as source.variable=rain."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("prepare", [f"source={name}", "input=x", "output=y", *overrides])
    return build(config.source)
