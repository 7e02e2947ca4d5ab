"""Peak memory of a piece of work."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch
from torch.profiler import ProfilerActivity, profile


class PeakMemory:
    """Largest number of bytes in tensors that a block of code allocates, above those that live before it.

    On CPUs PyTorch's profiler counts them: unlike the size of the process, that does not depend on what ran before.
    Scratch memory of the libraries underneath is not in it.

    Args:
        device: Whose memory.

    Attributes:
        bytes: The number, when the block has ended.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is counted yet."""
        self.device, self.bytes = device, 0
        self._before = 0
        self._profiler: profile | None = None

    def __enter__(self) -> Self:
        """Begin to count."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            self._profiler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Sum up."""
        if self._profiler is None:
            torch.cuda.synchronize(self.device)
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
            return
        self._profiler.stop()
        assert self._profiler.profiler is not None
        results: Any = self._profiler.profiler.kineto_results
        events = results.events()
        changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
        held = 0
        for _, change in changes:
            held += change
            self.bytes = max(self.bytes, held)


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """That of a call (PeakMemory)."""
    with PeakMemory(device) as peak:
        work()
    return peak.bytes
