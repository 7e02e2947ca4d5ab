"""What happens beside training: the checkpoint to go on from, and stops that lose nothing."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from nowcast.forecasting import checkpoint
from nowcast.training.callbacks.stopping import REMEDY, DivergedError, any_process

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary name beside the file, flushes and renames: it is whole or not there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write one."""
        _save(checkpoint, Path(path))


_save = checkpoint.save


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch, and of equals the last: where no epoch scores at all, it is the one that learned longest.

    A score that is undefined (NaN) is the worst. The arguments are those of Lightning's ModelCheckpoint.
    """

    def check_monitor_top_k(self, trainer: lightning.Trainer, current: Tensor | None = None) -> bool:
        """Whether the epoch at hand is to be kept."""
        if current is not None and bool(current.isnan()):
            current = torch.full_like(current, torch.inf if self.mode == "min" else -torch.inf)  # as Lightning keeps it
        equal = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        return equal or super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what is known of the best epoch, where its file is in this run's folder, though that may have moved.

        The best epoch of another run, which this one begins with, is not this one's: its file would be scored, and
        written to.
        """
        here, best = Path(str(self.dirpath)), Path(state_dict["best_model_path"])
        if (here / best.name).is_file():
            moved = {path: str(here / Path(path).name) for path in state_dict["best_k_models"]}
            kept = {moved[path]: score for path, score in state_dict["best_k_models"].items()}
            keys = ("best_model_path", "kth_best_model_path", "last_model_path")
            paths = {key: str(here / Path(state_dict[key]).name) if state_dict[key] else "" for key in keys}
            super().load_state_dict(state_dict | paths | {"best_k_models": kept, "dirpath": self.dirpath})


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt, what resume=auto goes on from.

    It is written after every epoch, and inside an epoch when it is older than `minutes`. On SIGTERM or SIGINT it is
    written after the batch at hand, and the process ends with 128 + the signal's number (143 or 130); a signal during
    validation waits for its end, so that no epoch goes without its score. A second signal ends at once. The trainer
    calls a `Checkpoint` after all others at the end of an epoch, so that last.ckpt knows which is the best by then.

    Args:
        dirpath: Folder of checkpoints.
        minutes: Largest age of last.ckpt inside an epoch, > 0.

    Raises:
        ValueError: minutes is not above 0.
    """

    def __init__(self, dirpath: str, minutes: float) -> None:
        """Check the settings."""
        if not minutes > 0:
            raise ValueError(f"callbacks.last.minutes must be > 0, got {minutes}")
        self.path, self.minutes = Path(dirpath) / "last.ckpt", minutes
        self.written, self.received = time.monotonic(), 0
        self.saved_inside = False
        self.handlers: dict[int, Any] = {}

    @property
    def best_model_path(self) -> str:
        """What is scored where no other callback chooses an epoch (callbacks.checkpoint=null)."""
        return str(self.path) if self.path.is_file() else ""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take over the signals; the trainer has installed its own handlers by now."""
        self.written, self.received = time.monotonic(), 0
        if threading.current_thread() is threading.main_thread():
            self.handlers = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save when it is time, but not between the batches of one optimiser step, nor before a validation."""
        before_validation = trainer.is_last_batch or trainer.should_stop
        if before_validation or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        old = time.monotonic() - self.written > 60 * self.minutes
        if any_process(trainer, old or bool(self.received)):
            self._write(trainer)
            self.saved_inside = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Stop after a save; by now the batch before has been logged, too."""
        if self.saved_inside:
            self.saved_inside = False
            self._stop_if_signalled(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save; the best epoch is chosen by then."""
        self._write(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop between two epochs."""
        self._stop_if_signalled(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the signals back, and stop before scoring."""
        self._give_back()
        self._stop_if_signalled(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise SystemExit(128 + number)
        self.received = number

    def _give_back(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _write(self, trainer: lightning.Trainer) -> None:
        non_finite = [
            name for name, value in trainer.lightning_module.state_dict().items() if not value.isfinite().all()
        ]
        if non_finite:
            raise DivergedError(
                f"training diverged: {non_finite[0]} is not finite after step {trainer.global_step}; last.ckpt was not "
                f"overwritten. {REMEDY}"
            )
        trainer.save_checkpoint(self.path)
        self.written = time.monotonic()

    def _stop_if_signalled(self, trainer: lightning.Trainer) -> None:
        if any_process(trainer, bool(self.received)):
            raise SystemExit(128 + (self.received or signal.SIGTERM))
