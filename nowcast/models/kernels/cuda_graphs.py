"""Training steps recorded once as CUDA graphs and then replayed.

A recurrent network on small grids launches many short kernels a step, and Python may take longer to launch them than
a GPU to run them. A replayed graph is one launch. Recording is PyTorch's (`torch.cuda.make_graphed_callables`);
this module decides when a record is valid, since a graph reads and writes fixed memory and checks nothing.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
WARM_UP = 3  # steps in a row that are launched kernel by kernel before one of their kind is recorded
Network = Callable[[Tensor], Tensor]
Record = Callable[[nn.Module, Tensor], Network]


class _OneHorizon(nn.Module):
    """A network for a fixed number of forecast steps: only tensors are arguments of what is recorded."""

    def __init__(self, net: nn.Module, forecast_steps: int) -> None:
        super().__init__()
        self.net, self.forecast_steps = net, forecast_steps

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.net(inputs, self.forecast_steps)
        return logits


def record_on_cuda(net: nn.Module, inputs: Tensor) -> Network:
    """Record forward and backward pass of a network for inputs of this shape, in the autocast that is on now.

    Raises:
        RuntimeError: Something in the passes cannot be recorded.
    """
    device = inputs.device.type
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    # Weights that autocast keeps from step to step would be read by the graph after they are gone.
    with torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False):
        return torch.cuda.make_graphed_callables(net, (inputs.clone(),), allow_unused_input=True)  # type: ignore[return-value]


class GraphedNetwork:
    """Runs a network, in training by a CUDA graph once steps of the same kind have come a few times in a row.

    Only the first kind is recorded: the smaller last batch of an epoch, validation and forecasts are launched as
    ever, and so is everything on other devices, and where recording fails, which is logged once.

    Args:
        net: Inputs (B, T_in, C, H, W) and a number of steps → logits. Its weights stay where they are in memory, or
            the graph is not used any more.
        warm_up: Steps of a kind in a row before the next one is recorded; what comes once is not worth it.
        record: How to record; None = on CUDA devices only, by PyTorch.
    """

    def __init__(self, net: nn.Module, warm_up: int = WARM_UP, record: Record | None = None) -> None:
        """Nothing is recorded yet."""
        self.net, self.warm_up, self.record = net, warm_up, record
        self.recorded: tuple[Any, Network] | None = None  # of which kind, what replays it
        self.failed = False
        self.last, self.times = None, 0

    def __call__(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """Logits, as of the network itself.

        They are overwritten by the next training step: a loss must be done with them before.
        """
        logits: Tensor
        if self.failed or inputs.requires_grad or not (torch.is_grad_enabled() and (inputs.is_cuda or self.record)):
            logits = self.net(inputs, forecast_steps)
            return logits
        kind = self._kind_of(inputs, forecast_steps)
        if self.recorded is None and self._is_warm(kind):
            self._record(kind, inputs, forecast_steps)
        if self.recorded is not None and self.recorded[0] == kind:
            return self.recorded[1](inputs)
        logits = self.net(inputs, forecast_steps)
        return logits

    def _kind_of(self, inputs: Tensor, forecast_steps: int) -> Any:  # noqa: ANN401 (compared only)
        """Everything that a graph takes for granted: shapes, precision, and where the weights lie."""
        device = inputs.device
        autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        weights = tuple((p.data_ptr(), p.requires_grad) for p in self.net.parameters())
        return tuple(inputs.shape), inputs.dtype, device, forecast_steps, autocast, weights

    def _is_warm(self, kind: Any) -> bool:  # noqa: ANN401
        self.times = self.times + 1 if kind == self.last else 1
        self.last = kind
        return self.times > self.warm_up

    def _record(self, kind: Any, inputs: Tensor, forecast_steps: int) -> None:  # noqa: ANN401
        try:
            replay = (self.record or record_on_cuda)(_OneHorizon(self.net, forecast_steps), inputs.detach())
        except RuntimeError as error:  # what cannot be recorded, or too little memory for it
            self.failed = True
            log.warning("no CUDA graph could be recorded (%s); steps are launched kernel by kernel, slower", error)
            return
        for weight in self.net.parameters():
            if weight.requires_grad:
                # A graph writes gradients to the same memory each time, which weight.grad must not share: with
                # accumulate_grad_batches the next step would overwrite what is to be added to.
                weight.register_hook(_copied)  # type: ignore[no-untyped-call]
        self.recorded = kind, replay


def _copied(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()
