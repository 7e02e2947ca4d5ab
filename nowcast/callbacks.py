"""What happens beside training: the checkpoint to go on from, and a stop on a signal that loses nothing."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.fabric.plugins import TorchCheckpointIO

from nowcast import checkpoint

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary name beside the file, flushes and renames: it is whole or not there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write one."""
        _save(checkpoint, Path(path))


_save = checkpoint.save


class LastCheckpoint(lightning.Callback):
    """Keeps last.ckpt, what resume=auto goes on from.

    It is written after every epoch, and inside an epoch when it is older than `minutes`. On SIGTERM or SIGINT it is
    written after the batch at hand, and the process ends with 128 + the signal's number (143 or 130); a signal during
    validation waits for its end, so that no epoch goes without its score. A second signal ends at once.

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
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        old = time.monotonic() - self.written > 60 * self.minutes
        if self._anyone(trainer, old or bool(self.received)):
            self._write(trainer)
            self.saved_inside = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Stop after a save; by now the batch before has been logged, too."""
        if self.saved_inside:
            self.saved_inside = False
            self._stop_if_told(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save; the best epoch is chosen by then."""
        self._write(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop between two epochs."""
        self._stop_if_told(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the signals back, and stop before scoring."""
        self._give_back()
        self._stop_if_told(trainer)

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
        trainer.save_checkpoint(self.path)
        self.written = time.monotonic()

    def _stop_if_told(self, trainer: lightning.Trainer) -> None:
        if self._anyone(trainer, bool(self.received)):
            raise SystemExit(128 + (self.received or signal.SIGTERM))

    def _anyone(self, trainer: lightning.Trainer, wish: bool) -> bool:
        """Whether any of the processes that train together has the wish."""
        return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))
