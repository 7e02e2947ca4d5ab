"""Objects out of configs, and configs as plain values."""

from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from nowcast.config.mistakes import UsageError


def build(node: Any, **arguments: Any) -> Any:  # noqa: ANN401 (whatever `_target_` makes)
    """Build the object that a config node describes, with plain containers inside.

    Raises:
        ValueError: A key is missing, unknown or refused; the message names the config key.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if type(cause) is ImportError and getattr(cause.__cause__, "name", "") is None:
            cause = cause.__cause__  # a module of ours says in its own words what it needs: Python names a module
        if isinstance(cause, (ValueError, OSError, ModuleNotFoundError)):
            raise cause from error
        words = " ".join(str(cause or error).split())
        raise UsageError(f"{words} (config: {_describe(node)})") from error


def kind_of(node: Any) -> type:  # noqa: ANN401
    """The class that a config node names, which is not built."""
    return hydra.utils.get_class(str(node["_target_"]))


def _describe(node: Any) -> str:  # noqa: ANN401
    if isinstance(node, DictConfig):
        return f"{node._get_full_key(None) or 'root'} → {node.get('_target_')}"
    return str(node)


def plain(config: Any) -> Any:  # noqa: ANN401
    """The resolved config as dicts, lists and scalars, as it is stored in checkpoints and beside runs."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def from_plain(values: Any) -> Any:  # noqa: ANN401
    """A config from plain values, as read from a checkpoint."""
    return OmegaConf.create(values)
