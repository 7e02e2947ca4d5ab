"""Seconds of the processor, or of the device, that training took: counted, kept in checkpoints, and limited."""

import time
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor

from nowcast.report.csv_files import read_records, write_records
from nowcast.training.callbacks.memory import PeakMemory

SCHEDULE_STEPS = 1000  # in which a learning rate's schedule spans a limit of seconds
Event = Any  # torch.cuda.Event


class Clock(Protocol):
    """Adds up the seconds between starts and stops."""

    seconds: float

    def start(self) -> None:
        """Work begins."""

    def stop(self) -> None:
        """It ends."""

    def settle(self) -> None:
        """Bring `seconds` up to the last stop."""


class ProcessorClock:
    """Seconds of all threads of this process; those of processes that load data are not among them."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.seconds = self.began = 0.0

    def start(self) -> None:
        """See Clock."""
        self.began = time.process_time()

    def stop(self) -> None:
        """See Clock."""
        self.seconds += time.process_time() - self.began

    def settle(self) -> None:
        """See Clock."""


class DeviceClock:
    """Seconds on a CUDA device from the first to the last of the works it was given; nothing waits for it but `settle`.

    `seconds` lags behind by one stop, which is over when the next work has been looked at.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.seconds = 0.0
        self.began: Event = None
        self.last: tuple[Event, Event] | None = None

    def start(self) -> None:
        """See Clock."""
        self.began = _mark()

    def stop(self) -> None:
        """See Clock."""
        self.settle()
        self.last = self.began, _mark()

    def settle(self) -> None:
        """See Clock."""
        if self.last is not None:
            began, ended = self.last
            ended.synchronize()
            self.seconds += began.elapsed_time(ended) / 1000  # from milliseconds
            self.last = None


def _mark() -> Event:
    event: Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


class ProcessorTime(lightning.Callback):
    """Counts what training steps take, and ends the training after so much.

    What counts is forward pass, backward pass and optimiser's step of every batch: processor seconds of all threads
    on CPUs, device seconds on CUDA; of several processes the sum. Loading, validation, pictures and checkpoints do not
    count. They are part of checkpoints, so that a run which is taken up again goes on counting, and stand after
    every validation in time.csv beside its scores. With a limit a learning rate's schedule spans it; then the memory of
    one batch is measured, too, which does not count.

    Args:
        dirpath: The run directory.
        limit_seconds: The batch that reaches it is the last; validation follows. None = no limit.

    Raises:
        ValueError: The limit is not above 0.
    """

    def __init__(self, dirpath: str, limit_seconds: float | None) -> None:
        """Check the limit."""
        if limit_seconds is not None and not limit_seconds > 0:
            raise ValueError(f"callbacks.processor_time.limit_seconds must be above 0 or null, got {limit_seconds}")
        self.path, self.limit = Path(dirpath) / "time.csv", limit_seconds
        self.clock: Clock = ProcessorClock()
        self.before = self.seconds = 0.0  # what earlier processes took, and all
        self.peak_mib: float | None = None
        self.measured: PeakMemory | None = None

    @property
    def done(self) -> float:
        """How much of the limit is used, 0 to 1."""
        assert self.limit is not None
        return min(self.seconds / self.limit, 1.0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Choose the clock; Lightning would train another epoch where nothing is left."""
        self.clock = DeviceClock() if pl_module.device.type == "cuda" else ProcessorClock()
        self._stop_at_limit(trainer)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Begin to count, or to measure."""
        has_state = trainer.global_step > 0  # of the optimiser
        if self.limit is not None and self.peak_mib is None and has_state:
            self.measured = PeakMemory(pl_module.device).__enter__()
        else:
            self.clock.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count."""
        if self.measured is not None:
            self.measured.__exit__(None, None, None)
            kept = [*pl_module.parameters(), *_kept(trainer.optimizers[0])]
            self.peak_mib = (self.measured.bytes + sum(one.numel() * one.element_size() for one in kept)) / 2**20
            self.measured = None
        else:
            self.clock.stop()
        self._add_up(trainer)
        self._stop_at_limit(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A line of time.csv."""
        if trainer.sanity_checking:
            return
        self.clock.settle()
        self._add_up(trainer)
        if trainer.is_global_zero:
            logged = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
            row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "processor_seconds": self.seconds}
            memory = {} if self.peak_mib is None else {"peak_memory_mib": self.peak_mib}
            _append(self.path, row | memory | logged)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """End what is being measured."""
        if self.measured is not None:
            self.measured.__exit__(None, None, None)
            self.measured = None

    def state_dict(self) -> dict[str, Any]:
        """What was used so far."""
        self.clock.settle()
        here = self.before + self.clock.seconds
        return {"seconds": max(self.seconds, here), "peak_mib": self.peak_mib}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.before = self.seconds = state_dict["seconds"]
        self.peak_mib = state_dict["peak_mib"]

    def _add_up(self, trainer: lightning.Trainer) -> None:
        mine = self.clock.seconds
        if trainer.world_size > 1:
            own = torch.tensor(mine, dtype=torch.float64, device=trainer.strategy.root_device)
            mine = float(trainer.strategy.reduce(own, reduce_op="sum"))
        self.seconds = self.before + mine

    def _stop_at_limit(self, trainer: lightning.Trainer) -> None:
        if self.limit is not None and self.seconds >= self.limit:
            trainer.should_stop = True


def _append(path: Path, row: dict[str, Any]) -> None:
    """Add a row, in place of those of this step and later ones that an interrupted run left."""
    known = [one for one in read_records(path) if int(one["step"]) < row["step"]] if path.exists() else []
    everything: list[dict[str, Any]] = [*known, row]
    write_records(path, list(dict.fromkeys(name for one in everything for name in one)), everything)


def _kept(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Tensors that an optimiser keeps between steps."""
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def limit_of(trainer: lightning.Trainer) -> ProcessorTime | None:
    """The callback that limits a training's seconds, if one does."""
    found = [one for one in trainer.callbacks if isinstance(one, ProcessorTime)]  # type: ignore[attr-defined]
    return next((one for one in found if one.limit is not None), None)


def follow_time(scheduler: Any, limit: ProcessorTime) -> None:  # noqa: ANN401 (PyTorch's)
    """Let a schedule of SCHEDULE_STEPS steps do as many as the share of the limit that is used."""
    while scheduler.last_epoch < int(limit.done * SCHEDULE_STEPS):
        scheduler.step()
