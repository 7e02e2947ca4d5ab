"""The Lightning module: one step of training, one of validation, and what a checkpoint must carry."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torchmetrics import MeanMetric

from nowcast.data.interface import ValidationLeads
from nowcast.data.windows.sample import Sample, spacing_of
from nowcast.forecasting.calibration.method import Csi, Method
from nowcast.forecasting.forecast import FieldForecast
from nowcast.forecasting.heads import Head
from nowcast.forecasting.network import outputs_of, penalty_of, taught_outputs
from nowcast.scaling import Scaling
from nowcast.training.callbacks.processor_time import SCHEDULE_STEPS, follow_time, limit_of
from nowcast.units import Spacing
from nowcast.verification.per_frame.metrics import Contingency

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
ScheduleFactory = Callable[..., torch.optim.lr_scheduler.LRScheduler]


def score_name(score: str, threshold: float) -> str:
    """Name of a score in logs, from its threshold in mm h-1.

    >>> score_name("csi", 0.5)
    'csi_0p5mmh'
    """
    return f"{score}_{threshold:g}mmh".replace(".", "p")


class NowcastTask(lightning.LightningModule):
    """Trains a network on what its head says and scores it on physical values.

    Args:
        net: Grey inputs (B, T_in, C, H, W) in [0, 1] and a number of steps → (B, T_out, channels of the head, H, W).
        head: What the outputs mean.
        scaling: Physical values ↔ grey.
        loss: (logits, targets of the head, mask) → scalar.
        optimizer: Makes the optimiser from the parameters.
        schedule: Makes the learning-rate schedule from optimizer= and total_steps=; None = constant rate.
        thresholds: Rain rates in mm h-1 whose CSI is logged in validation; empty where the data is no rain.
        main_threshold: The one whose CSI is logged as val/csi, and chooses the best epoch: CSI of the forecast that is
            used in the end, the calibrated one where `leads` are given. None where the data is no rain.
        calibration: How the network is to be calibrated; None = not.
        leads: Lead times of the validation windows, if it is to be calibrated; else None.
        forecast_steps: Frames to predict in validation.
        identity: Plain facts stored in every checkpoint under "nowcast" (config, data, version).
    """

    def __init__(
        self,
        net: nn.Module,
        head: Head,
        scaling: Scaling,
        loss: nn.Module,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None,
        thresholds: list[float],
        main_threshold: float | None,
        calibration: Method | None,
        leads: ValidationLeads | None,
        forecast_steps: int,
        identity: dict[str, Any],
    ) -> None:
        """Keep the parts; metric states are not part of checkpoints."""
        super().__init__()
        self.net, self.head, self.scaling, self.loss = net, head, scaling, loss
        self.optimizer_factory, self.schedule_factory = optimizer, schedule
        self.thresholds, self.identity = thresholds, identity
        self.seed = torch.initial_seed()  # of the process: the run's
        # Lightning's own mean of several processes divides by a number of windows that it rounds down.
        self.validation_loss = MeanMetric(nan_strategy=torch.nan)  # a NaN stays one
        self.contingency = Contingency(thresholds, forecast_steps) if thresholds else None
        self.main_threshold, self.leads = main_threshold, leads
        self.calibrated: Csi | None = None
        if calibration is not None and leads is not None and main_threshold is not None:
            self.calibrated = calibration.csi(head, scaling, main_threshold, leads.lead_times)

    def configure_model(self) -> None:
        """Cut the weights into one part for each process of a machine, where that is wanted (trainer=fsdp)."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and not isinstance(self.net, FSDPModule):
            mesh = cast(DeviceMesh, self.device_mesh)  # the strategy has made it by now
            fully_shard(self.net, mesh=mesh)  # as a whole: parts of networks are used beside forward
            if hasattr(self.net, "taught"):
                register_fsdp_forward_method(self.net, "taught")

    def forward(self, values: Tensor, forecast_steps: int, spacing: Spacing | None = None) -> Tensor:
        """What the network says of physical values, before the sigmoid; it sees "no data" as grey 0."""
        outputs = outputs_of(self.net, self.scaling, values, forecast_steps, spacing)
        return self.head.logits(outputs)  # (B, T_out, channels, H, W)

    def forecast_of(self, logits: Tensor) -> FieldForecast:
        """The forecast, not calibrated."""
        return self.head.forecast(torch.sigmoid(logits), self.scaling)

    def _loss(self, batch: Sample) -> tuple[Tensor, Tensor]:
        targets = batch["targets"]
        logits = self(batch["inputs"], targets.shape[1], spacing_of(batch)).float()
        return self.loss(logits, self.head.target(targets, self.scaling), batch["mask"]), logits

    def _taught_loss(self, batch: Sample) -> Tensor:
        """Loss of all that a network says which may see what is true; of frames of the inputs, too."""
        outputs = taught_outputs(self.net, self.scaling, batch["inputs"], batch["targets"], self.global_step)
        logits = self.head.logits(outputs).float()
        frames = torch.cat([batch["inputs"], batch["targets"]], dim=1)[:, -logits.shape[1] :]
        mask = torch.cat([batch["inputs"].isfinite(), batch["mask"]], dim=1)[:, -logits.shape[1] :]
        times = len(logits) // len(frames)
        target = self.head.target(frames, self.scaling)
        loss: Tensor = self.loss(logits, target.repeat(times, 1, 1, 1, 1), mask.repeat(times, 1, 1, 1, 1))
        return loss

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        """Loss of a batch, with what the network adds to it.

        What is random in it is drawn anew for each step, so that a run that was interrupted draws what it would have.
        """
        draw = np.random.SeedSequence((self.seed, self.global_rank, self.current_epoch, batch_index))
        torch.manual_seed(int(draw.generate_state(1, np.uint64)[0]))
        loss = self._taught_loss(batch) if hasattr(self.net, "taught") else self._loss(batch)[0]
        loss = loss + penalty_of(self.net)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["inputs"]))
        return loss

    def on_train_batch_start(self, batch: Sample, batch_index: int) -> None:
        """Tell a loss that changes while it is trained with how far the training is."""
        if hasattr(self.loss, "progress"):
            limit, planned = limit_of(self.trainer), float(self.trainer.estimated_stepping_batches)
            done = min(1.0, self.global_step / planned) if limit is None else limit.done
            cast(Any, self.loss).progress = done

    def on_train_batch_end(self, outputs: object, batch: Sample, batch_index: int) -> None:
        """Log the loss of an epoch's last batch, however rarely losses are logged: each epoch has one."""
        if batch_index + 1 == self.trainer.num_training_batches:
            loss = {"train/loss": float(self.trainer.callback_metrics["train/loss"]), "epoch": self.current_epoch}
            for logger in self.trainer.loggers:
                logger.log_metrics(loss, step=self.global_step - 1)

    def validation_step(self, batch: Sample, batch_index: int) -> None:
        """Loss and contingency counts of a batch."""
        loss, logits = self._loss(batch)
        self.validation_loss.update(loss, weight=len(batch["inputs"]))
        self.log("val/loss", self.validation_loss, prog_bar=True)
        if self.contingency is not None:
            self.contingency.update(self.forecast_of(logits).single(), batch["targets"], batch["mask"])
        if self.calibrated is not None and self.leads is not None:
            said, observed = torch.sigmoid(logits), self.head.target(batch["targets"], self.scaling)
            for rows, chosen in self.leads.parts(batch["archive"]):
                self.calibrated.update(said[chosen], observed[chosen], batch["mask"][chosen], rows)

    def on_validation_epoch_end(self) -> None:
        """CSI and frequency bias over the whole validation set, averaged over the lead times with observed events."""
        if self.contingency is None:
            return
        means = self.contingency.mean_over_lead_times()
        for index, threshold in enumerate(self.thresholds):
            for score, values in means.items():
                self.log(f"val/{score_name(score, threshold)}", values[index])
        if self.main_threshold is not None:
            csi = means["csi"][self.thresholds.index(self.main_threshold)]
            if self.calibrated is not None:
                csi = float(self.calibrated.compute().nanmean())
                self.calibrated.reset()
            self.log("val/csi", csi, prog_bar=True)
        self.contingency.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and the schedule where there is one: by step, or by seconds where those are limited."""
        optimizer = self.optimizer_factory(self.parameters())
        if self.schedule_factory is None:
            return optimizer
        limited = limit_of(self.trainer) is not None
        steps = SCHEDULE_STEPS if limited else int(self.trainer.estimated_stepping_batches)
        schedule = self.schedule_factory(optimizer=optimizer, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # noqa: ANN401 (Lightning's)
        """Advance the schedule after a step."""
        limit = limit_of(self.trainer)
        if limit is None:
            super().lr_scheduler_step(scheduler, metric)
        else:
            follow_time(scheduler, limit)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `evaluate` and `predict` need beside the weights."""
        checkpoint["nowcast"] = self.identity
