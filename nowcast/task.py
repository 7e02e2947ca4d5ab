"""The Lightning module: one step of training, one of validation, and what a checkpoint must carry."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from nowcast.data.dataset import Sample
from nowcast.metrics import Contingency
from nowcast.models.cuda_graphs import GraphedNetwork
from nowcast.scaling import Scaling, logits_of, values_of

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
ScheduleFactory = Callable[..., torch.optim.lr_scheduler.LRScheduler]


def score_name(score: str, threshold: float) -> str:
    """Name of a score in logs: csi at 0.5 mm h-1 is csi_0p5mmh."""
    return f"{score}_{threshold:g}mmh".replace(".", "p")


class NowcastTask(lightning.LightningModule):
    """Trains a network on grey values and scores it on physical ones.

    Args:
        net: Grey inputs (B, T_in, C, H, W) in [0, 1] and a number of steps → logits (B, T_out, C, H, W).
        scaling: Physical values ↔ grey.
        loss: (logits, grey targets, mask) → scalar.
        optimizer: Makes the optimiser from the parameters.
        schedule: Makes the learning-rate schedule from optimizer= and total_steps=; None = constant rate.
        thresholds: Rain rates in mm h-1 whose CSI is logged in validation; empty where the data is no rain.
        forecast_steps: Frames to predict in validation.
        identity: Plain facts stored in every checkpoint under "nowcast" (config, data, version).
        cuda_graphs: Replay training steps on a CUDA device as graphs (cuda_graphs.py).
    """

    def __init__(
        self,
        net: nn.Module,
        scaling: Scaling,
        loss: nn.Module,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None,
        thresholds: list[float],
        forecast_steps: int,
        identity: dict[str, Any],
        cuda_graphs: bool = False,
    ) -> None:
        """Keep the parts; metric states are not part of checkpoints."""
        super().__init__()
        self.net, self.scaling, self.loss = net, scaling, loss
        self.graphed = GraphedNetwork(net) if cuda_graphs else None
        self.optimizer_factory, self.schedule_factory = optimizer, schedule
        self.thresholds, self.identity = thresholds, identity
        self.contingency = Contingency(thresholds, forecast_steps) if thresholds else None

    def forward(self, values: Tensor, forecast_steps: int) -> Tensor:
        """Logits of the grey forecast from physical values; the network sees "no data" as grey 0."""
        return logits_of(self.graphed or self.net, self.scaling, values, forecast_steps)  # (B, T_out, C, H, W)

    def _loss(self, batch: Sample) -> tuple[Tensor, Tensor]:
        targets = batch["targets"]
        logits = self(batch["inputs"], targets.shape[1]).float()
        return self.loss(logits, self.scaling.to_grey(targets), batch["mask"]), logits

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        """Loss of a batch."""
        loss, _ = self._loss(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["inputs"]))
        return loss

    def validation_step(self, batch: Sample, batch_index: int) -> None:
        """Loss and contingency counts of a batch."""
        loss, logits = self._loss(batch)
        self.log("val/loss", loss, prog_bar=True, batch_size=len(batch["inputs"]), sync_dist=True)
        if self.contingency is not None:
            self.contingency.update(values_of(logits, self.scaling), batch["targets"], batch["mask"])

    def on_validation_epoch_end(self) -> None:
        """CSI and frequency bias over the whole validation set, averaged over the lead times with observed events."""
        if self.contingency is None:
            return
        means = self.contingency.mean_over_lead_times()
        for index, threshold in enumerate(self.thresholds):
            for score, values in means.items():
                shown = score == "csi" and index == 0
                self.log(f"val/{score_name(score, threshold)}", values[index], prog_bar=shown)
        self.contingency.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and the schedule by step where there is one."""
        optimizer = self.optimizer_factory(self.parameters())
        if self.schedule_factory is None:
            return optimizer
        schedule = self.schedule_factory(optimizer=optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `evaluate` and `predict` need beside the weights."""
        checkpoint["nowcast"] = self.identity
