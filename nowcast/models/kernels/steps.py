"""One step of a ConvLSTM cell after its convolutions: gates, peepholes and cell update, forward and backward.

The functions here say it in PyTorch operations, for any device and precision. Where they can, `steps_for` gives a
fused kernel instead, which reads and writes each array once: cell_native.py on CPUs, cell_triton.py on CUDA.

All arrays are (B, C, H, W) or (B, 4·C, H, W) with gates i, f, c, o, channels-last in memory. Cells and their
gradients are float32 (float64 with float64 gates), the rest is in the precision of the convolutions.
"""

import importlib.util
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Gates(NamedTuple):
    """Pre-activations: the sum of what came from the input and from the state; one of them may be None."""

    from_input: Tensor | None
    from_state: Tensor | None


class Steps(Protocol):
    """Forward and backward step for one device and precision."""

    def make_sums(self, like: Tensor) -> Tensor:
        """Zeros (slots, 7, C) for `backward` to add to; the first axis is to be summed in the end."""

    def forward(
        self,
        gates: Gates,
        cell: Tensor | None,
        peephole: Tensor | None,
        current: bool,
        kept: Tensor | None,
        new_cell: Tensor,
        hidden: Tensor,
    ) -> None:
        """Compute C' and H'.

        Args:
            gates: Pre-activations without peepholes.
            cell: C, None = zeros.
            peephole: (3, C, 1, 1) or (3, C, H, W) in the precision of the cell, gates i, f, o.
            current: The output gate sees C' (else C).
            kept: Gets the summed pre-activations (may be gates.from_input), None = they are not needed again.
            new_cell: Gets C'.
            hidden: Gets H'.
        """

    def backward(
        self,
        gates: Gates,
        cell: Tensor | None,
        new_cell: Tensor,
        peephole: Tensor | None,
        current: bool,
        d_hidden: Tensor | None,
        d_later: Tensor | None,
        d_cell: Tensor | None,
        d_gates: Tensor,
        sums: Tensor,
    ) -> Tensor:
        """Gradients of a step.

        Args:
            gates: As in forward, or the kept sum alone.
            cell: C, None = zeros.
            new_cell: C'.
            peephole: As in forward.
            current: As in forward.
            d_hidden: Gradient of H' as an output of the layer, None = zeros.
            d_later: Gradient of H' from the next step, None = zeros.
            d_cell: Gradient of C', None = zeros.
            d_gates: Gets the gradient of the pre-activations (may be gates.from_input).
            sums: Gets added, per channel, the sums of d_gates (4) and of the channel peepholes' gradients (3).

        Returns:
            The gradient of C.
        """


def steps_for(like: Tensor) -> Steps:
    """The fastest steps for the device and precision of a tensor."""
    if like.device.type == "cpu" and like.dtype in (torch.float32, torch.bfloat16):
        from nowcast.models.kernels.steps_cpu import native_steps

        native = native_steps(like.dtype)
        if native is not None:
            return native
    if like.device.type == "cuda" and like.dtype != torch.float64 and importlib.util.find_spec("triton"):
        from nowcast.models.kernels.steps_cuda import triton_steps

        fused = triton_steps(like.device)
        if fused is not None:
            return fused
    return EagerSteps()


class EagerSteps:
    """The steps in PyTorch operations."""

    def make_sums(self, like: Tensor) -> Tensor:
        """See Steps."""
        return like.new_zeros(1, 7, like.shape[1])

    def forward(
        self,
        gates: Gates,
        cell: Tensor | None,
        peephole: Tensor | None,
        current: bool,
        kept: Tensor | None,
        new_cell: Tensor,
        hidden: Tensor,
    ) -> None:
        """See Steps."""
        summed = _sum(gates, new_cell.dtype)
        if kept is not None:
            kept.copy_(summed)
        i, f, z, o = summed.chunk(4, dim=1)
        if peephole is not None and cell is not None:
            i, f = i + peephole[0] * cell, f + peephole[1] * cell
        torch.mul(i.sigmoid(), z.tanh(), out=new_cell)
        if cell is not None:
            new_cell.addcmul_(f.sigmoid(), cell)
        seen = new_cell if current else cell
        if peephole is not None and seen is not None:
            o = o + peephole[2] * seen
        hidden.copy_(o.sigmoid().mul_(new_cell.tanh()))

    def backward(
        self,
        gates: Gates,
        cell: Tensor | None,
        new_cell: Tensor,
        peephole: Tensor | None,
        current: bool,
        d_hidden: Tensor | None,
        d_later: Tensor | None,
        d_cell: Tensor | None,
        d_gates: Tensor,
        sums: Tensor,
    ) -> Tensor:
        """See Steps."""
        cell = torch.zeros_like(new_cell) if cell is None else cell
        seen = new_cell if current else cell
        w_i, w_f, w_o = new_cell.new_zeros(3) if peephole is None else peephole
        i, f, z, o = _sum(gates, new_cell.dtype).chunk(4, dim=1)
        if peephole is not None:
            i, f, o = i + w_i * cell, f + w_f * cell, o + w_o * seen
        i, f, z, o, t = i.sigmoid(), f.sigmoid(), z.tanh(), o.sigmoid(), new_cell.tanh()
        d_h = torch.zeros_like(new_cell)
        for part in (d_hidden, d_later):
            if part is not None:
                d_h += part
        d_o = d_h * t * (o * (1 - o))
        d_n = d_h * o * (1 - t * t)
        if d_cell is not None:
            d_n += d_cell
        if peephole is not None and current:
            d_n += w_o * d_o
        d_i, d_f, d_z = d_n * z * (i * (1 - i)), d_n * cell * (f * (1 - f)), d_n * i * (1 - z * z)
        result = d_n * f
        if peephole is not None:
            result += w_i * d_i + w_f * d_f
            if not current:
                result += w_o * d_o
        for target, value in zip(d_gates.chunk(4, dim=1), (d_i, d_f, d_z, d_o), strict=True):
            target.copy_(value)
        for row, value in enumerate((d_i, d_f, d_z, d_o, d_i * cell, d_f * cell, d_o * seen)):
            sums[0, row] += value.sum((0, 2, 3))
        return result


def _sum(gates: Gates, dtype: torch.dtype) -> Tensor:
    first, second = gates
    if first is None or second is None:
        only = second if first is None else first
        assert only is not None  # a step without input and state does not exist
        return only.to(dtype)
    return first.to(dtype) + second
