"""Contenders that do the same work, timed in turns: A B A B …, so that a busy machine is busy for all of them."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.studies.benchmarks.work import Ceiling, Convolution, synchronise
from nowcast.training.callbacks.memory import peak_memory

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
# Largest difference of logits of the same weights that rounding explains, as a share of the largest logit
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}


@dataclass(frozen=True)
class Contender:
    """A network in one precision.

    Attributes:
        name: Of the network.
        precision: fp32 or bf16 (autocast).
        compiled: Whether torch.compile was applied.
        net: (inputs, forecast_steps) → logits.
    """

    name: str
    precision: str
    compiled: bool
    net: nn.Module

    @property
    def label(self) -> str:
        """Name, precision and whether it is compiled, as in tables and messages."""
        return f"{self.name} {self.precision}{' compiled' if self.compiled else ''}"

    def forward(self, inputs: Tensor, steps: int) -> Tensor:
        """Logits as float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.net(inputs, steps)
        return logits.float()

    def train(self, inputs: Tensor, targets: Tensor) -> None:
        """Forward, cross-entropy, backward; the optimiser's step is the same for all and is left out."""
        loss = F.binary_cross_entropy_with_logits(self.forward(inputs, targets.shape[1]), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self.net.zero_grad(set_to_none=True)

    def infer(self, inputs: Tensor, targets: Tensor) -> None:
        """Forward without gradients."""
        with torch.no_grad():
            self.forward(inputs, targets.shape[1])

    def work(self, mode: str, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
        """The work of a mode: train or inference."""
        return lambda: (self.train if mode == "train" else self.infer)(inputs, targets)


def check_equal(contenders: list[Contender], inputs: Tensor, steps: int) -> dict[str, float]:
    """Largest difference of each contender's logits from those of the first, as a share of the largest logit.

    Raises:
        ValueError: One is further away than rounding explains.
    """
    differences = {}
    with torch.no_grad():
        expected = contenders[0].forward(inputs, steps)
        for contender in contenders:
            logits = contender.forward(inputs, steps)
            difference = ((logits - expected).abs().max() / expected.abs().max()).item()
            if not difference <= TOLERANCE[contender.precision]:
                raise ValueError(
                    f"{contender.label} does not compute what {contenders[0].label} does: logits differ by "
                    f"{difference:.2g} of the largest, allowed is {TOLERANCE[contender.precision]:g}"
                )
            differences[contender.label] = difference
    return differences


def measure(
    contenders: list[Contender],
    convolutions: list[Convolution],
    mode: str,
    batch: tuple[Tensor, Tensor],
    rounds: int,
    clock: Callable[[], float],
    track: Callable[[Iterable[int], str, int], Iterable[int]],
    title: str,
) -> list[dict[str, Any]]:
    """Time all contenders, and the bare convolutions in each of their precisions.

    Args:
        contenders: The networks.
        convolutions: What the work needs at least.
        mode: "train" or "inference".
        batch: Inputs (B, T_in, C, H, W) and targets (B, T_out, C, H, W).
        rounds: How often each is timed, after one run to warm up.
        clock: Seconds.
        track: Progress bar.
        title: Of the progress bar.

    Returns:
        A row of results for each contender.
    """
    inputs, targets = batch
    device, train = inputs.device, mode == "train"
    precisions = dict.fromkeys(contender.precision for contender in contenders)
    ceilings = {name: Ceiling(convolutions, PRECISIONS[name], device, clock) for name in precisions}
    works = [contender.work(mode, inputs, targets) for contender in contenders]
    memory = [peak_memory(work, device) for work in works]  # also the warm-up
    seconds: list[list[float]] = [[] for _ in works]
    floor: dict[str, list[dict[str, float]]] = {name: [] for name in precisions}
    for _ in track(range(rounds), title, rounds):
        for work, times in zip(works, seconds, strict=True):
            times.append(_time(work, device, clock))
        for name, ceiling in ceilings.items():
            floor[name].append(ceiling.seconds(train))
    rows = []
    flop = _sum_by_kind(convolution.flop(train) for convolution in convolutions)
    for contender, times, peak in zip(contenders, seconds, memory, strict=True):
        bare = floor[contender.precision]
        rows.append(_row(contender, mode, len(inputs), times, peak, flop, bare))
    _add_ratios(rows, seconds)
    return rows


def _time(work: Callable[[], None], device: torch.device, clock: Callable[[], float]) -> float:
    synchronise(device)
    start = clock()
    work()
    synchronise(device)
    return clock() - start


def _row(
    contender: Contender,
    mode: str,
    batch: int,
    times: list[float],
    peak: int,
    flop: dict[str, int],
    bare: list[dict[str, float]],
) -> dict[str, Any]:
    median, total = statistics.median(times), sum(flop.values())
    kinds = {kind: statistics.median(each[kind] for each in bare) for kind in flop}
    return {
        "name": contender.name,
        "precision": contender.precision,
        "compiled": contender.compiled,
        "mode": mode,
        "seconds": median,
        "seconds_of_rounds": times,
        "spread": (max(times) - min(times)) / median if len(times) > 1 else None,
        "sequences_per_second": batch / median,
        "necessary_flop": total,
        "flop_per_second": total / median,
        "ceiling_seconds": sum(kinds.values()),
        "ceiling_flop_per_second": {kind: flop[kind] / kinds[kind] if kinds[kind] else None for kind in flop},
        "fraction_of_ceiling": statistics.median(
            sum(each.values()) / own for each, own in zip(bare, times, strict=True)
        ),
        "peak_memory_mib": peak / 2**20,
    }


def _add_ratios(rows: list[dict[str, Any]], seconds: list[list[float]]) -> None:
    """How many times faster than the textbook as written, in the same precision and in fp32."""
    for row, times in zip(rows, seconds, strict=True):
        for key, precision in (("textbook", row["precision"]), ("textbook_fp32", "fp32")):
            wanted = ("textbook", precision, False)
            found = [i for i, r in enumerate(rows) if (r["name"], r["precision"], r["compiled"]) == wanted]
            if found:
                by_round = [theirs / own for theirs, own in zip(seconds[found[0]], times, strict=True)]
                row[f"speed_against_{key}"] = rows[found[0]]["seconds"] / row["seconds"]
                row[f"speed_against_{key}_range"] = [min(by_round), max(by_round)]
                row[f"memory_against_{key}"] = row["peak_memory_mib"] / rows[found[0]]["peak_memory_mib"]


def _sum_by_kind(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for kind, value in part.items():
            total[kind] = total.get(kind, 0) + value
    return total
