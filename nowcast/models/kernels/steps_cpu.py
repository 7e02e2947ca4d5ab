"""The fused step for CPUs: cell_kernel.c. Without a compiler cell_steps.py does the same, slower."""

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nowcast.models.kernels.compiler import library
from nowcast.models.kernels.steps import Gates

SOURCE = Path(__file__).with_name("cell_kernel.c")
VALUES_PER_THREAD = 16384


class NativeSteps:
    """See Steps; float32 and bfloat16 on CPUs."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Take the two functions of a compiled kernel."""
        pointer, number, integer = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
        sizes: list[Any] = [number] * 3 + [integer] * 2
        row: list[Any] = [pointer, number]
        self._forward, self._backward = library.forward_step, library.backward_step
        self._forward.argtypes = [*sizes, *row * 4, *[pointer] * 3]
        self._backward.argtypes = [*sizes, *row * 3, pointer, *row * 4, *[pointer] * 4]
        self._forward.restype = self._backward.restype = None

    def make_sums(self, like: Tensor) -> Tensor:
        """See Steps; a slot for each thread."""
        return like.new_zeros(_threads(like), 7, like.shape[1], dtype=torch.float64)

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
        rows = _Rows(new_cell, hidden.dtype)
        self._forward(
            *rows.sizes(_threads(new_cell), current),
            *rows.of(gates.from_input, 4),
            *rows.of(gates.from_state, 4),
            *rows.of(cell, 1, torch.float32),
            *rows.peephole(peephole),
            None if kept is None else rows.of(kept, 4)[0],
            rows.of(new_cell, 1, torch.float32)[0],
            rows.of(hidden, 1)[0],
        )

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
        rows = _Rows(new_cell, d_gates.dtype)
        result, partial = torch.empty_like(new_cell), torch.empty_like(sums, dtype=torch.float32)
        self._backward(
            *rows.sizes(len(sums), current),
            *rows.of(gates.from_input, 4),
            *rows.of(gates.from_state, 4),
            *rows.of(cell, 1, torch.float32),
            rows.of(new_cell, 1, torch.float32)[0],
            *rows.peephole(peephole),
            *rows.of(d_hidden, 1),
            *rows.of(d_later, 1),
            *rows.of(d_cell, 1, torch.float32),
            rows.of(d_gates, 4)[0],
            result.data_ptr(),
            partial.data_ptr(),
            sums.data_ptr(),
        )
        return result


class _Rows:
    """Addresses and strides of channels-last arrays; an absent one is a row of zeros that is repeated."""

    def __init__(self, cell: Tensor, dtype: torch.dtype) -> None:
        self.batch, self.channels, self.height, self.width = cell.shape
        self.dtype = dtype
        self.kept: list[Tensor] = []  # lives as long as the addresses are used

    def sizes(self, threads: int, current: bool) -> tuple[int, int, int, int, int]:
        area = self.height * self.width
        return self.batch * area, self.channels, area, threads, int(current)

    def of(self, tensor: Tensor | None, times: int, dtype: torch.dtype | None = None) -> tuple[int, int]:
        dtype, channels = dtype or self.dtype, times * self.channels
        if tensor is None:
            tensor, stride = torch.zeros(channels, dtype=dtype), 0
            self.kept.append(tensor)
        else:
            stride = channels
            shape = (self.batch, channels, self.height, self.width)
            if tensor.shape != shape or tensor.dtype != dtype or not _channels_last(tensor):
                raise ValueError(f"expected {shape} {dtype} channels-last, got {tuple(tensor.shape)} {tensor.dtype}")
        return tensor.data_ptr(), stride

    def peephole(self, weights: Tensor | None) -> tuple[int, int]:
        if weights is None:
            weights = torch.zeros(3, self.channels, 1, 1)
        rows = weights.float().contiguous(memory_format=torch.channels_last)  # (3, places, C)
        self.kept.append(rows)
        return rows.data_ptr(), rows.shape[2] * rows.shape[3]


def _threads(cell: Tensor) -> int:
    """Small steps are over before other threads have woken up."""
    return max(1, min(torch.get_num_threads(), cell.numel() // VALUES_PER_THREAD))


def _channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


@functools.cache
def native_steps(dtype: torch.dtype) -> NativeSteps | None:
    """The compiled steps of a precision, None where they cannot be compiled."""
    compiled = library(SOURCE, dtype)
    return None if compiled is None else NativeSteps(compiled)
