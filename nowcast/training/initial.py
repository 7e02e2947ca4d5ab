"""Weights that a new run begins with: those of a checkpoint, be its data or its schedule others."""

import hashlib
import logging
from typing import Any

from torch import nn

from nowcast.config.command_line.arguments import checkpoint_path
from nowcast.config.differences import differences
from nowcast.config.mistakes import UsageError
from nowcast.forecasting import checkpoint

log = logging.getLogger(__name__)
SAME = ("head", "scaling")  # what its outputs mean, and what it sees


def begin_with(init: str, net: nn.Module, config: dict[str, Any]) -> dict[str, Any]:
    """Give a network the weights of a checkpoint.

    Args:
        init: The checkpoint, or "pretrained".
        net: The network of the config.
        config: Of the run, plain values.

    Returns:
        What provenance.json says of them.

    Raises:
        FileNotFoundError: No such file.
        UsageError: A checkpoint is to be resumed as well, or the weights are of another model, head or scaling.
    """
    if config["resume"] not in ("never", "auto"):
        raise UsageError(
            f"resume={config['resume']} goes on with weights and init={init} begins with others: give one of them "
            "(init=null where an experiment sets it)"
        )
    loaded = checkpoint.load(init)
    refuse_other_form(init, loaded, net, config)
    if other := differences({"model": loaded.config["model"]}, {"model": config["model"]}):
        log.warning("init=%s has the same weights, but was trained with other settings: %s", init, "; ".join(other))
    net.load_state_dict(loaded.forecaster.net.state_dict(), strict=True)
    path = checkpoint_path(init)
    return {
        "from": init,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "nowcast": loaded.version,
        "training_data": loaded.data.get("archives", {}),
    }


def refuse_other_form(init: str, loaded: checkpoint.Checkpoint, net: nn.Module, config: dict[str, Any]) -> None:
    """Refuse weights of another model, head or scaling.

    Raises:
        UsageError: With what differs: the checkpoint's → the config's.
    """
    theirs, ours = ({part: one[part] for part in SAME} for one in (loaded.config, config))
    theirs["model"], ours["model"] = (_form(one) for one in (loaded.forecaster.net, net))
    if changed := differences(theirs, ours):
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        way = (
            "experiment=fine_tune has its settings" if init == "pretrained" else "give the settings of its config.yaml"
        )
        raise UsageError(f"init={init} does not fit: {'; '.join(changed[:3])}{more}; {way}")


def _form(net: nn.Module) -> dict[str, Any]:
    """Its class, or where that is the same by name the shapes of what it holds."""
    shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
    return {"class": type(net).__name__, **shapes}
