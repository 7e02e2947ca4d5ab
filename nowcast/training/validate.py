"""Settings of a training that contradict each other are refused before anything heavy."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from nowcast.config.build import plain
from nowcast.config.mistakes import UsageError
from nowcast.config.program import given_on_command_line
from nowcast.config.secrets import refuse_secrets
from nowcast.data.interface import DataModule
from nowcast.forecasting.named_models import model_name
from nowcast.training.task import score_name


def validate(config: DictConfig) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ValueError: Naming the keys, their values and the way out.
    """
    refuse_secrets(plain(config))
    refuse_device(config)
    refuse_name_of_baseline(model_name(config), config.baselines)
    main, thresholds = config.verification.main_threshold, list(config.verification.thresholds)
    if thresholds and main not in thresholds:
        raise ValueError(f"verification.main_threshold={main} is not among verification.thresholds={thresholds}")
    refuse_two_ends(config)
    refuse_unknown_monitor(config.callbacks, logged(config.verification))


def refuse_device(config: DictConfig) -> None:
    """Refuse devices that are not there, and processes that would not write to one place.

    Raises:
        ValueError: With the way out.
    """
    if config.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        setting = "trainer=gpu" if config.trainer.accelerator == "gpu" else "trainer.accelerator=cuda"
        raise ValueError(f"{setting}, but torch sees no CUDA device; use trainer=cpu")
    if launched_from_outside() and not given_on_command_line("output="):
        raise ValueError(
            "several processes were started (torchrun or SLURM), and each would choose a run directory of its own; "
            "give output=<one directory>"
        )


def refuse_two_ends(config: DictConfig) -> None:
    """Refuse a limit of processor seconds beside one of epochs or steps, which might end the training first.

    Raises:
        ValueError: With what to type.
    """
    seconds = (config.callbacks.get("processor_time") or {}).get("limit_seconds")
    ends = [f"trainer.{key}={config.trainer[key]}" for key in ("max_epochs", "max_steps") if config.trainer[key] != -1]
    if seconds is not None and ends:
        raise ValueError(
            f"callbacks.processor_time.limit_seconds={seconds} and {' and '.join(ends)}: either might end the "
            "training, and the learning rate's schedule spans the seconds; type trainer.max_epochs=-1 "
            "trainer.max_steps=-1"
        )


def refuse_idle_processes(data: DataModule, devices: int, nodes: int) -> None:
    """Refuse processes that would have nothing to validate or to train on, over which the others would wait or fail.

    Args:
        data: Of the training.
        devices: Processes of a machine.
        nodes: Machines.

    Raises:
        UsageError: With settings under which each has a batch.
    """
    processes = devices * nodes
    if processes == 1:
        return
    batches, windows = len(data.ordered_loader("val")), {name: _size(data.dataset(name)) for name in ("val", "train")}
    fewest = min(windows, key=lambda name: windows[name])
    if windows[fewest] >= processes and batches >= processes:
        return
    are = f"trainer.devices={devices} and trainer.num_nodes={nodes} are {processes} processes"
    if windows[fewest] < processes:
        kind = {"val": "validation", "train": "training"}[fewest]
        raise UsageError(
            f"{are}, and the number of {kind} windows is {windows[fewest]}: each process needs one. Give more "
            f"windows to {kind} (data.split, data.windows.stride), or train with at most {windows[fewest]} processes, "
            "such as trainer.devices=1 trainer.num_nodes=1"
        )
    raise UsageError(
        f"{are}, and the {windows['val']} validation windows make {batches} batches: each process needs one. Type "
        f"data.batch_size={windows['val'] // processes} or less, or train with at most {batches} processes, such as "
        "trainer.devices=1 trainer.num_nodes=1"
    )


def _size(dataset: Any) -> int:  # noqa: ANN401 (a map-style data set, which torch does not type)
    return len(dataset)


def refuse_name_of_baseline(name: str, baselines: Mapping[str, Any]) -> None:
    """Refuse a baseline that is called as the network.

    Raises:
        ValueError: With another name.
    """
    if taken := [one for one in (name, f"{name}_calibrated") if baselines.get(one) is not None]:
        raise ValueError(
            f"baselines.{taken[0]} is called as the network that is trained: one would take the place of the other; "
            f"call it otherwise, such as +model@baselines.{taken[0]}_2=<model>"
        )


def refuse_unknown_monitor(callbacks: Mapping[str, Any], known: list[str]) -> None:
    """Refuse callbacks that watch what is not logged.

    Raises:
        ValueError: With what is.
    """
    for name, callback in callbacks.items():
        watched = (callback or {}).get("monitor")
        if watched is not None and watched not in known:
            raise ValueError(f"callbacks.{name}.monitor={watched} is not logged; choose one of {', '.join(known)}")


def launched_from_outside() -> bool:
    """Whether something else than the trainer started several processes that train together."""
    together = max(int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    by_trainer = "NODE_RANK" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ  # it sets it for its own
    return together > 1 and not by_trainer and not is_interactive_slurm()


def is_interactive_slurm() -> bool:
    """Inside an allocation, but not started by srun."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")


def logged(verification: DictConfig) -> list[str]:
    """What validation logs: val/csi is that at the main threshold of the forecast that is used, the others are raw."""
    thresholds = list(verification.thresholds)
    main = ["val/csi"] if thresholds and verification.main_threshold is not None else []
    return ["val/loss", *main, *(f"val/{score_name(score, one)}" for one in thresholds for score in ("csi", "bias"))]
