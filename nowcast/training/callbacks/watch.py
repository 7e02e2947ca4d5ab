"""What can be looked at while training: fixed validation cases as pictures, scores by lead time, speed and memory.

Nothing here draws random numbers or logs to metrics.csv, so that training is the same with and without it.
"""

import logging
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import default_collate

from nowcast.data.interface import DataModule
from nowcast.data.windows.sample import Sample, spacing_of
from nowcast.report.csv_files import read_records, write_records
from nowcast.report.plots.cases import case_of_sample
from nowcast.report.plots.contents import Choice
from nowcast.report.plots.maps import Case, animate_forecast, plot_forecast
from nowcast.training.task import NowcastTask
from nowcast.verification.scores.spatial import Spectrum

log = logging.getLogger(__name__)
Row = Mapping[str, Any]


class Speed:
    """Training samples per second of the epoch at hand, and the time that is left, without validation."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.began = self.last = time.monotonic()
        self.samples = self.batches = 0

    def add(self, samples: int) -> None:
        """A batch has ended."""
        self.last, self.samples, self.batches = time.monotonic(), self.samples + samples, self.batches + 1

    @property
    def seconds(self) -> float:
        """From the start of the epoch to the last batch."""
        return self.last - self.began

    @property
    def samples_per_second(self) -> float:
        """NaN before the first batch."""
        return self.samples / self.seconds if self.samples and self.seconds > 0 else math.nan

    def left(self, trainer: lightning.Trainer) -> float:
        """Seconds to the end of training at the present speed, NaN when nobody knows."""
        planned = trainer.estimated_stepping_batches * trainer.accumulate_grad_batches
        if not self.batches or not math.isfinite(planned):
            return math.nan
        done = trainer.global_step * trainer.accumulate_grad_batches
        return max(0.0, planned - done) * self.seconds / self.batches


class TrainingBar(RichProgressBar):
    """Lightning's bar with loss and main score, samples per second and the time that training has left."""

    def __init__(self) -> None:
        """Lightning's own settings."""
        super().__init__()
        self.speed = Speed()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure anew."""
        self.speed = Speed()
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 (Lightning's)
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Count."""
        self.speed.add(len(batch["inputs"]) * trainer.world_size)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Say how the epoch went in the log and, where there is no terminal to draw a bar on, in its output."""
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero:
            line = self.epoch_line(trainer)
            log.info(line)
            if self._console is not None and not self._console.is_terminal:
                self._console.print(line, highlight=False, soft_wrap=True)

    def epoch_line(self, trainer: lightning.Trainer) -> str:
        """An epoch in words: what the bar shows, when it is at its end."""
        shown = {name: float(value) for name, value in trainer.progress_bar_metrics.items() if name != "v_num"}
        speed, left = self.speed.samples_per_second, self.speed.left(trainer)
        words = [f"{name} {value:.4g}" for name, value in shown.items()] + [f"{speed:.3g} samples/s"]
        words += [] if math.isnan(left) else [f"{timedelta(seconds=round(left))} left"]
        return f"{self._get_train_description(trainer.current_epoch).strip()}: {', '.join(words)}"

    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning counts epochs from 0."""
        last = self.trainer.max_epochs or 0
        text = f"Epoch {current_epoch + 1}" + (f"/{last}" if last > 0 else "")
        return text.ljust(len(self.validation_description))

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        left = self.speed.left(trainer)
        return shown | {
            "samples/s": f"{self.speed.samples_per_second:.3g}",
            "left": "?" if math.isnan(left) else str(timedelta(seconds=round(left))),
        }


class Watch(lightning.Callback):
    """Writes pictures and numbers of the training into a folder, and to loggers that show pictures.

    epochs.csv (loss, scores, samples/s, memory, cost of the pictures), csi.csv (by threshold and lead time), and
    every so many epochs case_<n>_epoch_<m>.png and .gif of fixed validation windows and spectra.csv of their forecasts.

    Args:
        dirpath: The folder.
        every_n_epochs: Pictures and spectra after every so many epochs, if validated; 0 = never.
        cases: Windows to draw, the rainiest validation window of each archive, most rain first.
        wavelengths: Edges of the bands of the spectra in cells.
        monitor: Score that makes the best epochs.
        best_epochs: How many stand in the table at the end.
        colour_blind_safe: Colours of the pictures.

    Raises:
        ValueError: A negative number.
    """

    def __init__(
        self,
        dirpath: str,
        every_n_epochs: int,
        cases: int,
        wavelengths: Sequence[float],
        monitor: str,
        best_epochs: int,
        colour_blind_safe: bool,
    ) -> None:
        """Check the settings."""
        for name, value in (("every_n_epochs", every_n_epochs), ("cases", cases), ("best_epochs", best_epochs)):
            if value < 0:
                raise ValueError(f"callbacks.watch.{name} must be at least 0, got {value}")
        self.folder, self.every, self.cases = Path(dirpath), every_n_epochs, cases
        self.spectrum = Spectrum(wavelengths)
        self.monitor, self.best_epochs, self.colour_blind_safe = monitor, best_epochs, colour_blind_safe
        self.speed, self.drawing_seconds = Speed(), 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure anew."""
        self.speed = Speed()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: Sample,
        batch_idx: int,
    ) -> None:
        """Count."""
        self.speed.add(len(batch["inputs"]) * trainer.world_size)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Scores by lead time, before the task resets them; pictures when it is time for them."""
        if trainer.sanity_checking or not isinstance(pl_module, NowcastTask):
            return
        began = time.monotonic()
        epoch = trainer.current_epoch
        if pl_module.contingency is not None:
            scores = pl_module.contingency.compute()  # in every process; the task gets the same numbers from a cache
            if trainer.is_global_zero:
                append(self.folder / "csi.csv", lead_time_rows(epoch, scores, pl_module.thresholds), epoch)
        if self.is_due(epoch, trainer.check_val_every_n_epoch or 1):
            self.draw(trainer, pl_module)
        self.drawing_seconds = time.monotonic() - began

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Loss, scores, speed and memory, of all of which Lightning knows by now."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        speed = {
            "samples_per_second": self.speed.samples_per_second,
            "training_seconds": self.speed.seconds,
            "watch_seconds": self.drawing_seconds,
            "memory_mb": memory_mb(pl_module.device),
        }
        append(self.folder / "epochs.csv", [{"epoch": trainer.current_epoch} | logged | speed], trainer.current_epoch)
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_metrics({f"watch/{name}": value for name, value in speed.items()}, trainer.global_step)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the best epochs."""
        path = self.folder / "epochs.csv"
        if trainer.is_global_zero and self.best_epochs and path.exists():
            Console().print(best_table(read_records(path), self.monitor, self.best_epochs))

    def is_due(self, epoch: int, validated_every: int) -> bool:
        """Whether N epochs are full since the last validation."""
        return self.every > 0 and (epoch + 1) // self.every > (epoch + 1 - validated_every) // self.every

    @torch.inference_mode()
    def draw(self, trainer: lightning.Trainer, task: NowcastTask) -> None:
        """Pictures and spectra of the fixed cases.

        Every process runs the network, of which it may hold a part only (trainer=fsdp); the first one draws.
        """
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
        if data.quantity != "rain_rate" or self.cases == 0:
            return
        dataset, epoch = data.dataset("val"), trainer.current_epoch
        name = task.net.__class__.__name__.lower()
        choice = Choice([] if task.main_threshold is None else [task.main_threshold])
        rows: list[Row] = []
        for number, index in enumerate(data.examples("val", self.cases), start=1):
            sample = dataset[index]
            batch, steps = cast(Sample, default_collate([sample])), len(sample["targets"])
            with trainer.precision_plugin.forward_context():
                logits = task(batch["inputs"].to(task.device), steps, spacing_of(batch))
            if not trainer.is_global_zero:
                continue
            said = task.forecast_of(logits.float()).to(torch.device("cpu"))
            forecast = said.single()[0]
            case = case_of_sample({name: said}, data, sample, choice=choice, colour_blind_safe=self.colour_blind_safe)
            stem = self.folder / f"case_{number}_epoch_{epoch:03d}"
            strip = plot_forecast(case, stem.with_suffix(".png"))
            animate_forecast(case, stem.with_suffix(".gif"))
            show(trainer, f"case_{number}", strip)
            rows += self.spectra(epoch, number, forecast, sample, case)
        if trainer.is_global_zero:
            append(self.folder / "spectra.csv", rows, epoch)

    def spectra(self, epoch: int, number: int, forecast: torch.Tensor, sample: Sample, case: Case) -> list[Row]:
        """Rows of spectra.csv: of one case at each lead time."""
        mask = sample["mask"]
        fields = (torch.where(mask, values, 0.0) for values in (forecast, sample["targets"]))
        ours, theirs = fields  # (T, C, H, W): lead times stand in the place of samples
        powers = self.spectrum.scores(self.spectrum.statistics(ours[:, None], theirs, mask))
        return [
            {
                "epoch": epoch,
                "case": number,
                "lead_minutes": (step + 1) * case.timestep_minutes,
                "wavelength_cells": round(wave, 3),
                "spectral_ratio": float(powers["spectral_ratio"][step, band]),
            }
            for step in range(len(forecast))
            for band, wave in enumerate(self.spectrum.axes["wavelength"])
            if isinstance(wave, float)
        ]


def lead_time_rows(epoch: int, scores: Mapping[str, torch.Tensor], thresholds: Sequence[float]) -> list[Row]:
    """Rows of csi.csv; the validation windows may differ in time step, so that lead times are numbers of steps."""
    return [
        {
            "epoch": epoch,
            "threshold": threshold,
            "lead_step": t + 1,
            "csi": float(scores["csi"][k, t]),
            "bias": float(scores["bias"][k, t]),
        }
        for k, threshold in enumerate(thresholds)
        for t in range(scores["csi"].shape[1])
    ]


def show(trainer: lightning.Trainer, name: str, picture: Path) -> None:
    """Give a picture to loggers that take one: W&B and TensorBoard."""
    for logger in trainer.loggers:
        board: Any = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):
            logger.log_image(f"watch/{name}", [str(picture)], step=trainer.global_step)
        elif hasattr(board, "add_image"):
            with Image.open(picture) as opened:
                board.add_image(
                    f"watch/{name}", np.asarray(opened.convert("RGB")), trainer.global_step, dataformats="HWC"
                )


def append(path: Path, rows: Sequence[Row], epoch: int) -> None:
    """Add rows to a CSV file, in place of those of this epoch and later ones that an interrupted run left."""
    known = [row for row in read_records(path) if int(row["epoch"]) < epoch] if path.exists() else []
    everything: list[Row] = [*known, *rows]
    names = list(dict.fromkeys(name for row in everything for name in row))
    write_records(path, names, everything)


def best_table(rows: Sequence[Row], monitor: str, count: int) -> Table:
    """The best epochs by a score, or by the lowest loss where the monitored value is a loss or unknown."""
    name = monitor if rows and monitor in rows[0] else "val/loss"
    sign = 1 if "loss" in name else -1

    def rank(row: Row) -> float:
        value = float(row.get(name) or "nan")
        return math.inf if math.isnan(value) else sign * value

    shown = [key for key in (rows[0] if rows else {}) if key in (name, "val/loss") or key.startswith("val/csi")]
    table = Table(title=f"best epochs by {name}")
    for column in ("epoch", *(key.removeprefix("val/") for key in shown), "samples/s"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=rank)[:count]:
        cells = [f"{float(row.get(key) or 'nan'):.3f}" for key in shown]
        table.add_row(str(int(row["epoch"]) + 1), *cells, f"{float(row['samples_per_second']):.3g}")
    return table


def memory_mb(device: torch.device) -> float:
    """Largest memory so far: of the GPU where there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**20 if sys.platform == "darwin" else 2**10)
