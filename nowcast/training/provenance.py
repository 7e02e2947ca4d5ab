"""What a run directory says about where its results come from."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig, OmegaConf

from nowcast import __version__
from nowcast.data.balance import balance_of
from nowcast.data.interface import DataModule
from nowcast.files import git_commit, written_whole
from nowcast.report.climate.balance import write_balance


def write_provenance(
    folder: Path, config: DictConfig, data: DataModule, parameters: int, init: dict[str, Any] | None
) -> None:
    """Write config.yaml, split.json, provenance.json and, of radar, sampling.csv into a new run directory.

    Args:
        folder: The run directory.
        config: Of the run.
        data: What it trains on.
        parameters: Of the network.
        init: What it begins with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data.write_split(folder / "split.json")
    if table := balance_of(data):
        write_balance(folder / "sampling.csv", table)
    facts = {
        "nowcast": __version__,
        "git_commit": git_commit(),
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "seed": config.seed,
        "parameters": parameters,
        "data": data.provenance(),
        "init": init,
    }
    (folder / "provenance.json").write_text(json.dumps(facts, indent=1) + "\n")
    with written_whole(folder / "config.yaml") as partial:  # last: where it is, a run was begun
        partial.write_text(OmegaConf.to_yaml(config, resolve=True))
