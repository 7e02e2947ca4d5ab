"""W&B as a logger that a training survives."""

import contextlib
import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

log = logging.getLogger(__name__)
# W&B's process, which all is sent through, has died
LOST: tuple[type[Exception], ...] = (ConnectionError, MailboxClosedError, HandleAbandonedError)


class PatientWandbLogger(WandbLogger):
    """Logs to W&B, and into a copy on disk where its server cannot be reached when the run begins.

    A run whose W&B process dies goes on without W&B.

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

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Send settings."""
        self._or_go_on(lambda: super(PatientWandbLogger, self).log_hyperparams(params))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send numbers or pictures."""
        self._or_go_on(lambda: super(PatientWandbLogger, self).log_metrics(metrics, step))

    def finish(self, exit_code: int) -> None:
        """End the run, if it was begun."""
        if self._experiment is not None:
            self._or_go_on(lambda: self.experiment.finish(exit_code=exit_code))

    def _or_go_on(self, send: Callable[[], None]) -> None:
        try:
            send()
        except LOST as error:
            log.warning(
                "W&B's process is gone (%s): the training goes on without it; what it got until now is in %s/wandb",
                str(error) or type(error).__name__,
                self.save_dir,
            )
            with contextlib.suppress(*LOST):
                wandb.teardown()  # or it tries at exit, with a traceback
            self._experiment = wandb.init(mode="disabled")  # takes and forgets everything
