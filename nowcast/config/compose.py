"""Configs that are composed or read from within another program."""

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from nowcast.config.mistakes import UsageError, in_words, refuse_no_choice
from nowcast.config.program import CONFIGS


def compose_train(overrides: list[str]) -> DictConfig:
    """The config of `nowcast train` with these overrides, from within another program.

    Raises:
        ValueError: An override is refused; the message names it.
    """
    try:
        refuse_no_choice(overrides, CONFIGS / "train.yaml")
        return hydra.compose("train", overrides)
    except (HydraException, UsageError) as error:
        words = in_words(error, CONFIGS / "train.yaml")
        raise ValueError(f"nowcast train {' '.join(overrides)}: {words}") from error


def choice(group: str, name: str) -> DictConfig:
    """A file of a group of configs by itself, such as the physical limits, where no command was composed."""
    found = OmegaConf.load(CONFIGS / group / f"{name}.yaml")
    assert isinstance(found, DictConfig)  # each of them is a mapping
    return found


def standalone(overrides: list[str], name: str) -> str:
    """The same config as the text of one file, which `nowcast train --config-dir=… --config-name=…` runs."""
    composed = hydra.compose("train", overrides, return_hydra_config=True)
    directories = {key: composed.hydra[key] for key in ("run", "sweep", "output_subdir", "callbacks")}
    with open_dict(composed):
        del composed["hydra"]
        composed.name = name
    head = {"defaults": ["train_schema", "_self_"], "hydra": {**directories, "job": {"name": "train"}}}
    return OmegaConf.to_yaml(OmegaConf.create(head)) + OmegaConf.to_yaml(composed)
