"""The fused step for CUDA devices, in Triton, which comes with PyTorch's CUDA builds.

The same arithmetic as cell_kernel.c: a program works on a block of pixels and channels of channels-last arrays.
"""

import functools
import logging

import torch
import triton
import triton.language as tl
from torch import Tensor

from nowcast.models.kernels.steps import Gates

log = logging.getLogger(__name__)
BLOCK_PIXELS = 32


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _get(pointer, at, mask, present: tl.constexpr):
    """Numbers as float32, zeros where the array is absent."""
    values = tl.zeros(at.shape, tl.float32)
    if present:
        values = tl.load(pointer + at, mask=mask, other=0.0).to(tl.float32)
    return values


@triton.jit
def _forward_kernel(
    from_input,
    from_state,
    cell,
    peephole,
    kept,
    new_cell,
    hidden,
    pixels,
    area,
    C: tl.constexpr,
    PLACES: tl.constexpr,  # 0 = no peephole, 1 = per channel, else per channel and cell of the grid
    CURRENT: tl.constexpr,
    HAS_INPUT: tl.constexpr,
    HAS_STATE: tl.constexpr,
    HAS_CELL: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    q = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]).to(tl.int64)
    k = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    mask = (q < pixels) & (k < C)
    at, at4 = q * C + k, q * 4 * C + k
    gi = _get(from_input, at4, mask, HAS_INPUT) + _get(from_state, at4, mask, HAS_STATE)
    gf = _get(from_input, at4 + C, mask, HAS_INPUT) + _get(from_state, at4 + C, mask, HAS_STATE)
    gz = _get(from_input, at4 + 2 * C, mask, HAS_INPUT) + _get(from_state, at4 + 2 * C, mask, HAS_STATE)
    go = _get(from_input, at4 + 3 * C, mask, HAS_INPUT) + _get(from_state, at4 + 3 * C, mask, HAS_STATE)
    if KEEP:
        tl.store(kept + at4, gi.to(kept.dtype.element_ty), mask=mask)
        tl.store(kept + at4 + C, gf.to(kept.dtype.element_ty), mask=mask)
        tl.store(kept + at4 + 2 * C, gz.to(kept.dtype.element_ty), mask=mask)
        tl.store(kept + at4 + 3 * C, go.to(kept.dtype.element_ty), mask=mask)
    c = _get(cell, at, mask, HAS_CELL)
    place = (q % area) * C + k if PLACES > 1 else q * 0 + k
    wi = _get(peephole, place, mask, PLACES > 0)
    wf = _get(peephole, place + PLACES * C, mask, PLACES > 0)
    wo = _get(peephole, place + 2 * PLACES * C, mask, PLACES > 0)
    n = tl.sigmoid(gf + wf * c) * c + tl.sigmoid(gi + wi * c) * _tanh(gz)
    seen = n if CURRENT else c
    h = tl.sigmoid(go + wo * seen) * _tanh(n)
    tl.store(new_cell + at, n, mask=mask)
    tl.store(hidden + at, h.to(hidden.dtype.element_ty), mask=mask)


@triton.jit
def _add_sum(sums, at, values, mask):
    """Add the sum over a block of pixels to the program's own slot."""
    tl.store(sums + at, tl.load(sums + at, mask=mask, other=0.0) + tl.sum(values, axis=0), mask=mask)


@triton.jit
def _backward_kernel(
    from_input,
    from_state,
    cell,
    new_cell,
    peephole,
    d_hidden,
    d_later,
    d_new_cell,
    d_gates,
    d_cell,
    sums,
    pixels,
    area,
    C: tl.constexpr,
    PLACES: tl.constexpr,
    CURRENT: tl.constexpr,
    HAS_INPUT: tl.constexpr,
    HAS_STATE: tl.constexpr,
    HAS_CELL: tl.constexpr,
    HAS_HIDDEN: tl.constexpr,
    HAS_LATER: tl.constexpr,
    HAS_D_CELL: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    q = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]).to(tl.int64)
    k = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    mask = (q < pixels) & (k < C)
    at, at4 = q * C + k, q * 4 * C + k
    c, n = _get(cell, at, mask, HAS_CELL), _get(new_cell, at, mask, True)
    place = (q % area) * C + k if PLACES > 1 else q * 0 + k
    wi = _get(peephole, place, mask, PLACES > 0)
    wf = _get(peephole, place + PLACES * C, mask, PLACES > 0)
    wo = _get(peephole, place + 2 * PLACES * C, mask, PLACES > 0)
    seen = n if CURRENT else c
    gi = _get(from_input, at4, mask, HAS_INPUT) + _get(from_state, at4, mask, HAS_STATE)
    gf = _get(from_input, at4 + C, mask, HAS_INPUT) + _get(from_state, at4 + C, mask, HAS_STATE)
    gz = _get(from_input, at4 + 2 * C, mask, HAS_INPUT) + _get(from_state, at4 + 2 * C, mask, HAS_STATE)
    go = _get(from_input, at4 + 3 * C, mask, HAS_INPUT) + _get(from_state, at4 + 3 * C, mask, HAS_STATE)
    i, f, z = tl.sigmoid(gi + wi * c), tl.sigmoid(gf + wf * c), _tanh(gz)
    o, t = tl.sigmoid(go + wo * seen), _tanh(n)
    dh = _get(d_hidden, at, mask, HAS_HIDDEN) + _get(d_later, at, mask, HAS_LATER)
    d_o = dh * t * o * (1.0 - o)
    dn = _get(d_new_cell, at, mask, HAS_D_CELL) + dh * o * (1.0 - t * t)
    if CURRENT:
        dn += wo * d_o
    d_i, d_f, d_z = dn * z * i * (1.0 - i), dn * c * f * (1.0 - f), dn * i * (1.0 - z * z)
    dc = dn * f + wi * d_i + wf * d_f
    if not CURRENT:
        dc += wo * d_o
    tl.store(d_cell + at, dc, mask=mask)
    tl.store(d_gates + at4, d_i.to(d_gates.dtype.element_ty), mask=mask)
    tl.store(d_gates + at4 + C, d_f.to(d_gates.dtype.element_ty), mask=mask)
    tl.store(d_gates + at4 + 2 * C, d_z.to(d_gates.dtype.element_ty), mask=mask)
    tl.store(d_gates + at4 + 3 * C, d_o.to(d_gates.dtype.element_ty), mask=mask)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    slot, valid = tl.program_id(0) * 7 * C + channel, channel < C
    _add_sum(sums, slot, d_i, valid)  # masked elements loaded zeros, so their gradients are zero
    _add_sum(sums, slot + C, d_f, valid)
    _add_sum(sums, slot + 2 * C, d_z, valid)
    _add_sum(sums, slot + 3 * C, d_o, valid)
    _add_sum(sums, slot + 4 * C, d_i * c, valid)
    _add_sum(sums, slot + 5 * C, d_f * c, valid)
    _add_sum(sums, slot + 6 * C, d_o * seen, valid)


class TritonSteps:
    """See Steps; float32, bfloat16 and float16 on CUDA devices."""

    def make_sums(self, like: Tensor) -> Tensor:
        """See Steps; a slot for each block of pixels."""
        batch, channels, height, width = like.shape
        return like.new_zeros(triton.cdiv(batch * height * width, BLOCK_PIXELS), 7, channels, dtype=torch.float32)

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
        pixels, area, channels, block = _sizes(new_cell)
        weights, places = _peephole(peephole)
        _forward_kernel[(triton.cdiv(pixels, BLOCK_PIXELS), triton.cdiv(channels, block))](
            *(_or(array, hidden) for array in gates),
            _or(cell, new_cell),
            _or(weights, new_cell),
            _or(kept, hidden),
            new_cell,
            hidden,
            pixels,
            area,
            channels,
            places,
            current,
            *(array is not None for array in (*gates, cell, kept)),
            BLOCK_PIXELS,
            block,
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
        pixels, area, channels, block = _sizes(new_cell)
        weights, places = _peephole(peephole)
        result = torch.empty_like(new_cell)
        _backward_kernel[(triton.cdiv(pixels, BLOCK_PIXELS), triton.cdiv(channels, block))](
            *(_or(array, d_gates) for array in gates),
            _or(cell, new_cell),
            new_cell,
            _or(weights, new_cell),
            _or(d_hidden, d_gates),
            _or(d_later, d_gates),
            _or(d_cell, new_cell),
            d_gates,
            result,
            sums,
            pixels,
            area,
            channels,
            places,
            current,
            *(array is not None for array in (*gates, cell, d_hidden, d_later, d_cell)),
            BLOCK_PIXELS,
            block,
        )
        return result


def _sizes(cell: Tensor) -> tuple[int, int, int, int]:
    """Pixels of the batch, pixels of the grid, channels, channels of a block."""
    batch, channels, height, width = cell.shape
    return batch * height * width, height * width, channels, min(64, triton.next_power_of_2(channels))


def _peephole(peephole: Tensor | None) -> tuple[Tensor | None, int]:
    """(3, places, C) float32 and the number of places, 0 without peepholes."""
    if peephole is None:
        return None, 0
    rows = peephole.float().contiguous(memory_format=torch.channels_last)
    return rows, rows.shape[2] * rows.shape[3]


def _or(array: Tensor | None, stand_in: Tensor) -> Tensor:
    """A kernel needs some address even for an array that it does not read."""
    return stand_in if array is None else array


@functools.cache
def triton_steps(device: torch.device) -> TritonSteps | None:
    """The Triton steps where Triton works on the device, else None, which is logged once."""
    steps, cell = TritonSteps(), torch.zeros(1, 1, 1, 1, device=device)
    gates = torch.zeros(1, 4, 1, 1, device=device)
    try:
        steps.forward(Gates(gates, None), None, None, True, None, cell, cell.clone())
    except Exception as error:  # Triton's own errors, a missing C compiler, a driver that is too old: any kind
        log.warning("Triton does not work here (%s); PyTorch operations do the same, slower", error)
        return None
    return steps
