"""When a training ends before its time: it got no better, or it diverged."""

import json
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping as LightningsEarlyStopping

from nowcast.data.windows.sample import Sample
from nowcast.files import written_whole

REMEDY = "Begin a new run with a lower optimizer.optimizer.lr or a smaller trainer.gradient_clip_val"


class DivergedError(ValueError):
    """The loss, the data or the weights are not finite any more."""


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
        if not any_process(trainer, mine):
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


def any_process(trainer: lightning.Trainer, flag: bool) -> bool:
    """Whether any of the processes that train together has set its flag."""
    return bool(trainer.strategy.reduce_boolean_decision(flag, all=False))
