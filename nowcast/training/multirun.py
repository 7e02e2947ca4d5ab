"""One job of `nowcast train -m`: where it writes, what it goes on from, and what it must not do."""

import multiprocessing
import os

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nowcast.config.program import given_on_command_line


def prepare_job(config: DictConfig) -> None:
    """Set output, resume and device of this job.

    Raises:
        ValueError: The job wants several processes.
    """
    refuse_processes(config)
    if multiprocessing.get_start_method(allow_none=True) == "loky":  # joblib's, which loader processes do not know
        multiprocessing.set_start_method("forkserver", force=True)
    if not given_on_command_line("output="):
        config.output = HydraConfig.get().runtime.output_dir
    if "SUBMITIT_EXECUTOR" in os.environ and config.resume == "never":
        config.resume = "auto"  # the cluster may queue the job again
    if config.trainer.accelerator in ("gpu", "cuda", "auto"):
        import torch

        if config.trainer.accelerator != "auto" or torch.cuda.is_available():
            config.trainer.devices = [HydraConfig.get().job.num % max(1, torch.cuda.device_count())]


def refuse_processes(config: DictConfig) -> None:
    """Refuse distributed training inside a multirun.

    Raises:
        ValueError: With the reason and the way out.
    """
    devices, nodes = config.trainer.devices, config.trainer.get("num_nodes", 1)
    if devices not in (1, "1") or nodes != 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"trainer.devices={devices} in a multirun: the further processes of a distributed run begin with the same "
            "command, and each would start this whole multirun again. Use `nowcast tune tune/sampler=grid`, where each "
            "run is a command of its own, or trainer.devices=1"
        )
