"""What happens beside training: the checkpoint to go on from, and stops that lose nothing."""

import json
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.callbacks import EarlyStopping as LightningsEarlyStopping
from torch import Tensor

from nowcast.forecasting import checkpoint
from nowcast.files import written_whole
from nowcast.data.windows.dataset import Sample

SIGNALS = (signal.SIGTERM, signal.SIGINT)
REMEDY = "Begin a new run with a lower optimizer.optimizer.lr or a smaller trainer.gradient_clip_val"


class DivergedError(ValueError):
    """The loss, the data or the weights are not finite any more."""


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


class EarlyStopping(LightningsEarlyStopping):
    """Lightning's, but a run that it ended stays ended when it is resumed, unless with more patience.

    An undefined score (NaN) is no better than others; Lightning would end the training at the first.
    """

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Let undefined scores count (StopOnDivergence looks after losses)."""
        super().setup(trainer, pl_module, stage)
        self.check_finite = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the count of epochs; the patience is that of the config."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning would train another epoch first."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


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
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        old = time.monotonic() - self.written > 60 * self.minutes
        if anyone(trainer, old or bool(self.received)):
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
        sick = [name for name, value in trainer.lightning_module.state_dict().items() if not value.isfinite().all()]
        if sick:
            raise DivergedError(
                f"training diverged: {sick[0]} is not finite after step {trainer.global_step}; last.ckpt was not "
                f"overwritten. {REMEDY}"
            )
        trainer.save_checkpoint(self.path)
        self.written = time.monotonic()

    def _stop_if_told(self, trainer: lightning.Trainer) -> None:
        if anyone(trainer, bool(self.received)):
            raise SystemExit(128 + (self.received or signal.SIGTERM))


class StopOnDivergence(lightning.Callback):
    """Ends training when the loss or the data is not finite, before the weights take harm, and writes down the batch.

    divergence_step_<n>.json holds the loss, learning rate, time stamps and statistics of the batch. NaN in the data is
    no fault: it is "no data".

    Args:
        dirpath: The run directory.
        retry_lr_factor: The program trains once more from the last checkpoint with this part of the learning rate;
            None = it ends.

    Raises:
        ValueError: The factor is not between 0 and 1.
    """

    def __init__(self, dirpath: str, retry_lr_factor: float | None) -> None:
        """Keep the folder."""
        if retry_lr_factor is not None and not 0 < retry_lr_factor < 1:
            raise ValueError(f"callbacks.divergence.retry_lr_factor must be in (0, 1) or null, got {retry_lr_factor}")
        self.folder, self.retry_lr_factor = Path(dirpath), retry_lr_factor
        self.batch: Sample | None = None

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Sample, batch_idx: int
    ) -> None:
        """Remember the batch."""
        self.batch = batch

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: torch.Tensor
    ) -> None:
        """Look at the loss and at the data.

        Raises:
            DivergedError: One is not finite, in this or another of the processes that train together.
        """
        assert self.batch is not None  # a loss comes of a batch
        infinite = self.batch["inputs"].isinf().any() | self.batch["targets"].isinf().any()
        mine = bool(infinite | ~loss.detach().isfinite())  # one look at the device, not three
        if not anyone(trainer, mine):
            return
        value = float(loss.detach())
        path = self.folder / f"divergence_step_{trainer.global_step}.json"
        if mine:
            self._write(trainer, value, path)
        what = "the batch holds infinite values" if bool(infinite) else f"the loss is {value}"
        last = self.folder / "checkpoints" / "last.ckpt"
        kept = f"The last good weights are in {last}" if last.is_file() else "There was no checkpoint yet"
        raise DivergedError(
            f"training diverged at step {trainer.global_step} (epoch {trainer.current_epoch}): {what}; the batch is "
            f"described in {path}. {kept}. Look at the data of that batch. {REMEDY}"
        )

    def _write(self, trainer: lightning.Trainer, loss: float, path: Path) -> None:
        assert self.batch is not None
        times = np.array(self.batch["init_time"].tolist(), dtype="datetime64[s]")
        facts: dict[str, Any] = {
            "loss": loss,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "learning_rates": [group["lr"] for group in trainer.optimizers[0].param_groups],
            "init_times": np.datetime_as_string(times).tolist(),
            "archives": self.batch["archive"].tolist(),
        }
        facts |= {name: _statistics(self.batch[name]) for name in ("inputs", "targets")}
        with written_whole(path) as partial:
            partial.write_text(json.dumps(facts, indent=1) + "\n")


class LowerRate(lightning.Callback):
    """Lowers the learning rate once, when training goes on from a checkpoint; later checkpoints carry the lower one.

    Args:
        factor: The part of the learning rate that is left.
    """

    def __init__(self, factor: float) -> None:
        """Keep the factor."""
        self.factor = factor

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lower that of the optimiser, and what its schedule computes it from."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                for name in {"lr", "initial_lr"} & group.keys():
                    group[name] *= self.factor
        for entry in trainer.lr_scheduler_configs:
            entry.scheduler.base_lrs = [rate * self.factor for rate in entry.scheduler.base_lrs]


def anyone(trainer: lightning.Trainer, wish: bool) -> bool:
    """Whether any of the processes that train together has the wish."""
    return bool(trainer.strategy.reduce_boolean_decision(wish, all=False))


def _statistics(values: torch.Tensor) -> dict[str, float]:
    """Shares and extremes of a batch's values; of the finite ones where it matters."""
    finite = values[torch.isfinite(values)].double()
    shares = {
        "missing_share": float(values.isnan().double().mean()),
        "infinite_share": float(values.isinf().double().mean()),
    }
    if len(finite) == 0:
        return shares
    return shares | {"min": float(finite.min()), "mean": float(finite.mean()), "max": float(finite.max())}
