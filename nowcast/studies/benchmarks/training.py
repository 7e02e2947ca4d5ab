"""One training step as the trainer does it: its memory, its speed, and whether the loader keeps up with it."""

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from nowcast.studies.benchmarks.work import synchronise
from nowcast.training.callbacks.memory import peak_memory

LOADER_BATCHES, LOADER_SECONDS = 20, 3.0  # whichever is reached first
STEPS, STEP_SECONDS = 5, 5.0
USABLE = 0.9  # share of the free memory that a step may fill


class TrainingStep:
    """Forward, backward and optimiser on batches of any size, without a trainer around it.

    Args:
        task: The Lightning module.
        trainer: Settings of the trainer; accelerator, precision and gradient_clip_val are used.
    """

    def __init__(self, task: Any, trainer: dict[str, Any]) -> None:  # noqa: ANN401 (NowcastTask, a layer above)
        """Put network and optimiser on the device, in the precision of the trainer."""
        self.fabric = lightning.Fabric(
            accelerator=trainer["accelerator"], devices=1, precision=trainer["precision"], loggers=[]
        )
        optimizer = task.optimizer_factory(task.parameters())
        self.task, self.optimizer = self.fabric.setup(task, optimizer)
        self.clip = trainer.get("gradient_clip_val")
        self.device = self.fabric.device

    def run(self, batch: dict[str, Tensor]) -> None:
        """Train on a batch."""
        weights = next(iter(self.task.parameters())).dtype  # half in precisions such as bf16-true
        batch = {name: value.to(weights) if value.is_floating_point() else value for name, value in batch.items()}
        batch = self.fabric.to_device(batch)
        self.optimizer.zero_grad()
        with self.fabric.autocast():
            loss = self.task.training_step(batch, 0)
        self.fabric.backward(loss)
        if self.clip is not None:
            self.fabric.clip_gradients(self.task, self.optimizer, max_norm=self.clip)
        self.optimizer.step()

    def parameter_bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self.task.parameters())

    def peak_bytes(self, batch: dict[str, Tensor]) -> int:
        """Memory of weights, gradients, optimiser and everything a step makes."""
        return self.parameter_bytes() + self.optimizer_bytes() + peak_memory(lambda: self.run(batch), self.device)

    def optimizer_bytes(self) -> int:
        """Memory of what the optimiser keeps between steps."""
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        return sum(value.numel() * value.element_size() for value in states if isinstance(value, Tensor))

    def seconds(self, batch: dict[str, Tensor]) -> float:
        """Median time of a step, of which there was one of this size before."""
        times: list[float] = []
        while len(times) < STEPS and sum(times) < STEP_SECONDS:
            synchronise(self.device)
            start = time.perf_counter()
            self.run(batch)
            synchronise(self.device)
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def measure_training(
    task: Any,  # noqa: ANN401
    loader: Iterable[dict[str, Tensor]],
    trainer: dict[str, Any],
) -> dict[str, Any]:
    """Try one training step.

    Args:
        task: The Lightning module; its weights change.
        loader: Training batches.
        trainer: Settings of the trainer.

    Returns:
        batch_size, peak_memory_mib and free_memory_mib; step_seconds, loader_seconds (of a batch, alone),
        sequences_per_second and bottleneck ("model" or "loader"), or None where a batch does not fit;
        micro_batch and accumulate_grad_batches, that fit and leave the effective batch as it is, None where not
        even one sequence fits.
    """
    batch, loader_seconds = _load(loader)
    step = TrainingStep(task, trainer)
    size, effective = len(batch["inputs"]), len(batch["inputs"]) * trainer["accumulate_grad_batches"]
    step.run(_cut(batch, 1))  # the optimiser makes its state
    # Memory grows by the same for each sequence: two small steps tell without trying what may not fit.
    one, two = (step.peak_bytes(_cut(batch, count)) for count in (1, 2))
    each, free = max(two - one, 1), free_memory(step.device)
    largest = int((USABLE * free - one) // each) + 1
    micro = max((n for n in range(1, effective + 1) if effective % n == 0 and n <= largest), default=None)
    found: dict[str, Any] = {
        "batch_size": size,
        "free_memory_mib": free / 2**20,
        "peak_memory_mib": (one + each * (size - 1)) / 2**20,
        "micro_batch": micro,
        "accumulate_grad_batches": None if micro is None else effective // micro,
        "step_seconds": None,
        "loader_seconds": loader_seconds,
        "sequences_per_second": None,
        "bottleneck": None,
    }
    if size <= largest:
        found["peak_memory_mib"] = step.peak_bytes(batch) / 2**20
        found["step_seconds"] = seconds = step.seconds(batch)
        found["sequences_per_second"] = size / max(seconds, loader_seconds)
        found["bottleneck"] = "loader" if loader_seconds > seconds else "model"
    return found


def free_memory(device: torch.device) -> int:
    """Bytes that a process may still use: on CPUs what Linux calls available, elsewhere all the machine has."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return int(free)
    facts = Path("/proc/meminfo")
    if facts.exists():
        available = next(line for line in facts.read_text().splitlines() if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _load(loader: Iterable[dict[str, Tensor]]) -> tuple[dict[str, Tensor], float]:
    """The first batch, and the seconds that each further one takes; of the first alone if there is no other."""
    start = time.perf_counter()
    batches = iter(loader)
    first = next(batches)
    taken, count, begin = time.perf_counter() - start, 0, time.perf_counter()
    for _ in batches:
        count += 1
        if count == LOADER_BATCHES or time.perf_counter() - begin > LOADER_SECONDS:
            break
    return first, (time.perf_counter() - begin) / count if count else taken


def _cut(batch: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The first sequences of a batch, repeated where it has fewer."""
    index = torch.arange(count) % len(batch["inputs"])
    return {name: value[index] for name, value in batch.items()}
