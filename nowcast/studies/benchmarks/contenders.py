"""Who is measured: ours in all its forms, the textbook's network, and a peer of the user's."""

import copy
import runpy
from pathlib import Path

from omegaconf import DictConfig
from torch import nn

from nowcast.models.kernels.layer import Execution
from nowcast.models.networks.convlstm import ConvLSTM
from nowcast.studies.benchmarks.rounds import Contender
from nowcast.studies.benchmarks.textbook import Textbook


def make_contenders(net: ConvLSTM, config: DictConfig) -> list[Contender]:
    """Ours in all its forms, the textbook and the peer of against=, in all precisions, compiled or not."""
    ways = {"nowcast": net.execution, "recompute": net.execution._replace(recompute=True)}
    if config.device == "cpu" and net.execution.winograd:
        ways["direct"] = Execution(recompute=False, winograd=False)
    nets: dict[str, nn.Module] = dict.fromkeys(ways, net)
    nets["textbook"] = Textbook(net).to(config.device)
    if config.against is not None:
        nets["against"] = load_peer(Path(config.against), net)
    result = []
    for compiled in config.compiled:
        for name, module in nets.items():
            if compiled and name in ("recompute", "direct"):
                continue  # a compiler decides itself
            ready = copy.deepcopy(module)
            if isinstance(ready, ConvLSTM) and name in ways:
                ready.execution = ways[name]
            if compiled:
                ready.compile()
            result += [Contender(name, precision, compiled, ready) for precision in config.precisions]
    return result


def load_peer(path: Path, net: ConvLSTM) -> nn.Module:
    """What build(net) of a Python file returns: a module (inputs, forecast_steps) → logits with the weights of net.

    Raises:
        ValueError: The file defines no build.
    """
    build_peer = runpy.run_path(str(path.expanduser())).get("build")
    if not callable(build_peer):
        raise ValueError(f"{path} defines no build(net) -> torch.nn.Module")
    peer: nn.Module = build_peer(net)
    return peer
