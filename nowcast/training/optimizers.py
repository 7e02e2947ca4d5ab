"""The paper's RMSProp, and a learning rate that warms up and then falls along a cosine."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR


class PaperRMSProp(torch.optim.Optimizer):
    """RMSProp with epsilon inside the root, without momentum.

    ms ← decay·ms + (1 - decay)·g²;  p ← p - lr·g / sqrt(ms + eps). torch.optim.RMSprop has eps outside the root.

    Args:
        params: Parameters.
        lr: Learning rate, > 0.
        decay: In [0, 1).
        eps: > 0.

    Raises:
        ValueError: A setting is out of its range.

    Source: the update of the authors' release of Shi et al. 2015 (docs/protocol.md).
    """

    def __init__(self, params: Iterable[Any], lr: float, decay: float, eps: float) -> None:
        """Check the settings."""
        if not (lr > 0 and 0 <= decay < 1 and eps > 0):
            raise ValueError(f"RMSProp needs lr > 0, 0 <= decay < 1, eps > 0; got {lr}, {decay}, {eps}")
        super().__init__(params, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ANN401
        """One update; returns the closure's value."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return value

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean_square"] = torch.zeros_like(parameter)
        square = state["mean_square"].mul_(group["decay"])
        square.addcmul_(gradient, gradient, value=1 - group["decay"])
        parameter.addcdiv_(gradient, (square + group["eps"]).sqrt_(), value=-group["lr"])


def warmup_cosine(
    optimizer: torch.optim.Optimizer, total_steps: int, warmup_fraction: float, min_factor: float
) -> LambdaLR:
    """Learning-rate factor: linear from 0 (excluded) to 1 over the warm-up, then a half cosine to min_factor.

    Args:
        optimizer: Whose rates are scaled.
        total_steps: Optimiser steps of the whole training; later steps keep min_factor.
        warmup_fraction: Share of them in [0, 1).
        min_factor: In [0, 1].

    Raises:
        ValueError: A setting is out of its range.
    """
    if not (0 <= warmup_fraction < 1 and 0 <= min_factor <= 1 and total_steps >= 1):
        raise ValueError(
            "schedule needs 0 <= warmup_fraction < 1, 0 <= min_factor <= 1 and a finite, positive number of steps; "
            f"got {warmup_fraction}, {min_factor}, {total_steps} (trainer.max_epochs=-1 has no end to fall to)"
        )
    warmup = round(total_steps * warmup_fraction)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min((step - warmup) / max(total_steps - warmup, 1), 1.0)
        return min_factor + (1 - min_factor) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)
