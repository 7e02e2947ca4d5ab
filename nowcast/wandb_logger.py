"""W&B as a logger that a training survives."""

import logging
from typing import Any

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)


class PatientWandbLogger(WandbLogger):
    """Logs to W&B, and into a copy on disk where its server cannot be reached when the run begins.

    The arguments are those of Lightning's WandbLogger and of wandb.init.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:  # noqa: ANN401 (W&B's run)
        """The run of W&B, begun with the first use.

        Raises:
            ValueError: W&B asks for a key.
        """
        try:
            return super().experiment
        except wandb.errors.UsageError as error:
            raise ValueError(
                f"W&B refuses this run: {error}. Export WANDB_API_KEY or run `wandb login`, or stay offline with "
                "logger.wandb.mode=offline"
            ) from error
        except (wandb.errors.CommError, TimeoutError) as error:
            log.warning(
                "W&B cannot be reached (%s): the run is kept offline in %s/wandb; send it later with `wandb sync`",
                str(error).splitlines()[0],
                self.save_dir,
            )
            self._wandb_init["mode"] = "offline"
            return super().experiment
