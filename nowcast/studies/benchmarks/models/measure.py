"""A training step and a forecast of each model, in turns, on the same rain."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from nowcast.config.build import build, kind_of, plain
from nowcast.config.compose import compose_train
from nowcast.data.windows.sample import Sample, spacing_of
from nowcast.forecasting.network import NetworkForecaster, build_network, forecast_with
from nowcast.progress import track
from nowcast.studies.benchmarks.models.flop import count_flop
from nowcast.studies.benchmarks.rounds import CLOCKS
from nowcast.studies.benchmarks.training import TrainingStep
from nowcast.studies.benchmarks.work import synchronise
from nowcast.training.callbacks.memory import peak_memory
from nowcast.training.losses.fitting import refuse_loss_of_another_head
from nowcast.training.task import NowcastTask
from nowcast.training.trainer import quieten

OF_TRAINER = {"fp32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Candidate:
    """A model in one precision, ready to work.

    Attributes:
        name: Of its file in configs/model.
        precision: fp32 or bf16; of a baseline fp32.
        model: A forecaster of rain rates, or a baseline.
        step: Trains it; None of a baseline.
        batch: On the device.
    """

    name: str
    precision: str
    model: nn.Module
    step: TrainingStep | None
    batch: Sample

    @property
    def parameters(self) -> int:
        """How many it trains."""
        return sum(each.numel() for each in self.model.parameters() if each.requires_grad)

    def work(self, mode: str) -> Callable[[], None]:
        """A training step, or a forecast; of a baseline the forecast only."""
        return self.train if mode == "train" else self.infer

    def train(self) -> None:
        """Forward, backward and optimiser, as the trainer does it."""
        assert self.step is not None  # a baseline is not asked
        self.model.train()
        self.step.run(dict(self.batch))  # type: ignore[arg-type]  # all of them tensors

    @torch.no_grad()
    def infer(self) -> None:
        """A forecast of rain, without calibration."""
        self.model.eval()
        inputs, steps = self.batch["inputs"], self.batch["targets"].shape[1]
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            forecast_with(self.model, inputs, steps, spacing_of(self.batch))

    def peak_bytes(self, mode: str, device: torch.device) -> int | None:
        """Memory of a work with weights and, in training, what the optimiser keeps; unknown of a baseline.

        Baselines work outside of PyTorch, which knows of its own tensors only.
        """
        if self.step is None:
            return None
        kept = self.step.parameter_bytes() + (self.step.optimizer_bytes() if mode == "train" else 0)
        return kept + peak_memory(self.work(mode), device)


def measure_models(config: DictConfig) -> list[dict[str, Any]]:
    """A row for each model, precision and mode of the config of `nowcast benchmark`.

    Raises:
        ValueError: There is no such model, or it does not fit the settings of the others.
    """
    quieten()
    batch = make_batch(config)
    candidates = [one for name in config.models for one in make_candidates(name, config, batch)]
    rows = []
    for mode in config.modes:
        takes_part = [one for one in candidates if mode != "train" or one.step is not None]
        rows += measure(takes_part, mode, config.rounds, CLOCKS[config.clock], torch.device(config.device))
    return rows


def make_batch(config: DictConfig) -> Sample:
    """Synthetic rain of the size that was asked for, without gaps."""
    size = config.of_models
    frames = size.input_steps + size.forecast_steps
    rain = build(config.archives.rain, shape=list(size.frame_shape), frames=frames)
    count, device = size.batch_size, torch.device(config.device)
    fields = torch.stack([torch.from_numpy(rain.generate(config.seed + one)) for one in range(count)])[:, :, None]
    inputs, targets = torch.split(fields.to(device), [size.input_steps, size.forecast_steps], dim=1)
    return {
        "inputs": inputs,
        "targets": targets,
        "mask": torch.ones_like(targets, dtype=torch.bool),
        "init_time": torch.zeros(count, dtype=torch.int64, device=device),
        "archive": torch.zeros(count, dtype=torch.int64, device=device),
        "step_minutes": torch.full((count,), rain.timestep_minutes, device=device),
        "cell_km": torch.full((count, 2), rain.cell_km, device=device),
    }


def make_candidates(name: str, config: DictConfig, batch: Sample) -> list[Candidate]:
    """A model of configs/model as `nowcast train` has it, in all precisions; of a baseline there is one."""
    size = config.of_models
    steps = (f"data.input_steps={size.input_steps}", f"data.forecast_steps={size.forecast_steps}")
    chosen = compose_train([f"model={name}", *steps, *size.settings])
    if not getattr(kind_of(chosen.model), "needs_training", True):
        return [Candidate(name, "fp32", build(chosen.model).to(config.device), None, batch)]
    return [_network(name, precision, config, chosen, batch) for precision in config.precisions]


def _network(name: str, precision: str, config: DictConfig, chosen: DictConfig, batch: Sample) -> Candidate:
    torch.manual_seed(config.seed)
    head, scaling, loss = build(chosen.head), build(chosen.scaling), build(chosen.loss)
    refuse_loss_of_another_head(loss, head)
    net = build_network(chosen.model, head)
    task = NowcastTask(
        net=net,
        head=head,
        scaling=scaling,
        loss=loss,
        optimizer=build(chosen.optimizer)["optimizer"],
        schedule=None,
        thresholds=[],
        main_threshold=None,
        calibration=None,
        leads=None,
        forecast_steps=config.of_models.forecast_steps,
        identity={},
    )
    accelerator = "gpu" if config.device == "cuda" else "cpu"
    trainer = plain(chosen.trainer) | {"accelerator": accelerator, "precision": OF_TRAINER[precision]}
    step = TrainingStep(task, trainer)
    return Candidate(name, precision, NetworkForecaster(net, scaling, head, None), step, batch)


def measure(
    candidates: list[Candidate], mode: str, rounds: int, clock: Callable[[], float], device: torch.device
) -> list[dict[str, Any]]:
    """A row for each candidate; their works are timed in turns, after three that count operations and memory.

    Args:
        candidates: Models.
        mode: train or inference.
        rounds: How often each is timed.
        clock: Seconds.
        device: Where they work.
    """
    works = [one.work(mode) for one in candidates]
    for work in works:
        work()  # an optimiser makes its state
    flop = [count_flop(work, one.model) for one, work in zip(candidates, works, strict=True)]
    peaks = [one.peak_bytes(mode, device) for one in candidates]
    seconds: list[list[float]] = [[] for _ in works]
    for _ in track(range(rounds), f"models {mode}", rounds):
        for work, own in zip(works, seconds, strict=True):
            synchronise(device)
            start = clock()
            work()
            synchronise(device)
            own.append(clock() - start)
    columns = zip(candidates, flop, peaks, seconds, strict=True)
    return [_row(one, mode, counted, peak, own) for one, counted, peak, own in columns]


def _row(one: Candidate, mode: str, flop: int, peak: int | None, times: list[float]) -> dict[str, Any]:
    median = statistics.median(times)
    return {
        "name": one.name,
        "precision": one.precision,
        "mode": mode,
        "parameters": one.parameters,
        "seconds": median,
        "seconds_of_rounds": times,
        "spread": (max(times) - min(times)) / median if len(times) > 1 else None,
        "sequences_per_second": len(one.batch["inputs"]) / median,
        "flop": flop or None,  # a baseline convolves nothing
        "flop_per_second": flop / median if flop else None,
        "peak_memory_mib": None if peak is None else peak / 2**20,
    }
