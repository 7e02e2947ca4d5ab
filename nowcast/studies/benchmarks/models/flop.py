"""Floating-point operations of a piece of work, counted while it runs, whatever the network is."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]


def count_flop(work: Callable[[], object], *nets: nn.Module) -> int:
    """Floating-point operations of convolutions and matrix products; a multiplication and an addition are two.

    Counted is what PyTorch is told to do, in forward and backward passes of our own, too. Zeros around an image count.
    Not counted are sums of single values (activations, gates, pooling, interpolation, an optimiser's step), and all
    that is done outside of PyTorch, such as optical flow.

    Args:
        work: Is done once.
        nets: Networks in it. While it runs they convolve directly and compute nothing twice: Winograd's method would
            count as fewer operations than the same convolutions elsewhere, recomputation as more.
    """
    # PyTorch counts a gradient of grouped convolutions as if their groups were joined.
    mapping = {torch.ops.aten.convolution_backward: _gradients}
    with _directly(nets), FlopCounterMode(display=False, custom_mapping=mapping) as counted:
        work()
    return int(counted.get_total_flops())


def _gradients(
    d_outputs: Shape,
    inputs: Shape,
    weight: Shape,
    bias: Shape | None,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    transposed: bool,
    output_padding: Shape,
    groups: int,
    wanted: Sequence[bool],
    *others: Any,  # noqa: ANN401
    **more: Any,  # noqa: ANN401
) -> int:
    """Each of the gradients of inputs and weights multiplies every pair that the convolution itself did."""
    places = inputs if transposed else d_outputs  # cells at each of which a kernel is applied once
    once = 2 * inputs[0] * math.prod(places[2:]) * math.prod(weight)
    return once * sum(bool(each) for each in wanted[:2])


@contextmanager
def _directly(nets: Sequence[nn.Module]) -> Iterator[None]:
    modules: list[Any] = [module for net in nets for module in net.modules() if hasattr(module, "execution")]
    before = [module.execution for module in modules]
    for module in modules:
        module.execution = module.execution._replace(winograd=False, recompute=False)
    try:
        yield
    finally:
        for module, execution in zip(modules, before, strict=True):
            module.execution = execution
