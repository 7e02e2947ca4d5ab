"""Peak memory of a piece of work."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """Largest number of bytes in tensors that the work allocates, above those that live before it.

    On CPUs PyTorch's profiler counts them: unlike the size of the process, that does not depend on what ran before.
    Scratch memory of the libraries underneath is not in it.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak
