"""A ConvLSTM layer over a whole sequence, forward and backward by hand.

What the step-by-step form wastes and this does not: convolutions of absent inputs and of zero states; a pass over
memory for each arithmetic operation (cell_steps.py fuses them); activations kept for the backward pass, though they
are cheap to compute again from the sum of the convolutions.

With recompute=True even the convolutions are done again in the backward pass, and only H and C are kept.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nowcast.models.kernels.convolution import Convolution, Memory, convolution_for
from nowcast.models.kernels.steps import Gates, steps_for

# Steps are convolved together while their gates fit. On CPUs larger pieces fall out of the caches, and their memory
# is mapped anew each time; on GPUs they save launches.
PIECE_BYTES = {"cpu": 16 * 2**20}
PIECE_BYTES_ELSEWHERE = 512 * 2**20


class Weights(NamedTuple):
    """Parameters of a layer, shaped as in ConvLSTMCell."""

    input: Tensor | None
    state: Tensor
    bias: Tensor
    peephole: Tensor | None


class Shared:
    """What the pieces of one forecast make once: prepared weights, and memory, which would be mapped anew each time."""

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._convolutions: dict[int, tuple[Tensor, Convolution]] = {}  # the weight, so that its number stays its own
        self._memory: dict[str, Tensor] = {}

    def convolution(self, weight: Tensor, make: Callable[[], Convolution]) -> Convolution:
        """Of a weight, made at the first call."""
        if id(weight) not in self._convolutions:
            self._convolutions[id(weight)] = weight, make()
        return self._convolutions[id(weight)][1]

    def memory(self, use: str, images: Tensor, channels: int) -> Tensor:
        """(N, channels, H, W) for images (N, C, H, W), channels-last; the next call for this use overwrites it."""
        batch, _, height, width = images.shape
        size, known = batch * channels * height * width, self._memory.get(use)
        if known is None or known.numel() < size or known.dtype != images.dtype:
            self._memory[use] = known = torch.empty(size, dtype=images.dtype, device=images.device)
        return known[:size].view(batch, height, width, channels).permute(0, 3, 1, 2)


class Execution(NamedTuple):
    """How a layer is computed; of no influence on results beyond rounding."""

    recompute: bool  # keep less for the backward pass, and compute it again
    winograd: bool  # convolve by Winograd's method where that is faster
    shared: Shared | None = None  # where no backward pass follows


class Options(NamedTuple):
    """What a layer does beside its weights."""

    steps: int
    current: bool  # the output gate sees the new cell
    execution: Execution
    train: bool  # a backward pass may follow


def run_layer(
    inputs: Tensor | None,
    state: tuple[Tensor, Tensor] | None,
    weights: Weights,
    steps: int,
    current: bool,
    execution: Execution,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Hidden states of all steps, and the last (H, C).

    Args:
        inputs: (T·B, C_in, H, W) in time order, None = a layer without input.
        state: (H, C) before the first step, None = zeros.
        weights: The layer's.
        steps: T, at least 1.
        current: The output gate sees the new cell.
        execution: How.

    Returns:
        (T·B, C, H, W), and the state after the last step; channels-last, cells in float32 or wider.
    """
    dtype = _working_precision(weights.state)
    wide = torch.promote_types(dtype, torch.float32)
    hidden, cell = (None, None) if state is None else (_laid_out(state[0], dtype), _laid_out(state[1], wide))
    inputs = None if inputs is None else _laid_out(inputs, dtype)
    options = Options(steps, current, execution, torch.is_grad_enabled())
    results = _Layer.apply(inputs, hidden, cell, *weights, options)  # type: ignore[no-untyped-call]
    outputs, last_hidden, last_cell = results
    return outputs, (last_hidden, last_cell)


class _Layer(torch.autograd.Function):
    """See run_layer. A second backward pass through the same graph recomputes what the first one overwrote."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 (autograd's interface)
        """Outputs (T·B, C, H, W), last hidden state, last cell."""
        *tensors, options = arguments
        sequence = _Sequence(tensors, options, None, [])
        ctx.kept = sequence.forward()
        ctx.options = options
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, sequence.outputs, *sequence.cells)
        return sequence.outputs, sequence.outputs[-sequence.batch :].clone(), sequence.cells[-1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *d_results: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients of inputs, hidden, cell, and the four weights."""
        saved = ctx.saved_tensors
        sequence = _Sequence(saved[:7], ctx.options, saved[7], list(saved[8:]))
        kept, ctx.kept = ctx.kept, []
        d_outputs, d_hidden, d_cell = d_results
        return (*sequence.backward(kept, d_outputs, d_hidden, d_cell, ctx.needs_input_grad[0]), None)


class _Sequence:
    """One layer, its inputs and what it has computed so far."""

    def __init__(self, tensors: Sequence[Any], options: Options, outputs: Tensor | None, cells: list[Tensor]) -> None:
        inputs, hidden, cell, *weights = tensors
        self.weights = Weights(*weights)
        self.inputs: Tensor | None = inputs
        self.hidden: Tensor | None = hidden
        self.cell: Tensor | None = cell
        self.options, self.cells = options, cells
        given: Tensor = inputs if hidden is None else hidden  # a layer has an input or a state
        self.batch = given.shape[0] // (1 if hidden is not None else options.steps)
        self.grid, self.channels, self.dtype = given.shape[2:], self.weights.state.shape[1], given.dtype
        self.wide = torch.promote_types(self.dtype, torch.float32)
        of_input, of_state, bias, peephole = self.weights
        self.of_input = None if of_input is None or inputs is None else self._convolution(of_input, inputs)
        self.of_state = self._convolution(of_state, given[: self.batch])
        self.bias = bias.to(self.dtype)
        self.peephole = None if peephole is None else peephole.to(self.wide)
        self.steps = steps_for(given)
        self.outputs = self._empty(options.steps, 1, given) if outputs is None else outputs

    def _convolution(self, weight: Tensor, images: Tensor) -> Convolution:
        _, winograd, shared = self.options.execution

        def make() -> Convolution:
            return convolution_for(_laid_out(weight, self.dtype), images, winograd)

        return make() if shared is None else shared.convolution(weight, make)

    def _memory(self, use: str, images: Tensor) -> Memory | None:
        """For gates that nobody needs beyond this piece."""
        shared = self.options.execution.shared
        return None if shared is None else partial(shared.memory, use, images, 4 * self.channels)

    def _empty(self, steps: int, times: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Memory for (steps·B, times·C, H, W), channels-last."""
        return torch.empty(
            (steps * self.batch, times * self.channels, *self.grid),
            dtype=dtype or self.dtype,
            device=like.device,
            memory_format=torch.channels_last,
        )

    def _pieces(self) -> list[tuple[int, int]]:
        """First and last + 1 step of each piece of the sequence."""
        step_bytes = 4 * self.outputs[: self.batch].numel() * self.outputs.element_size()
        limit = PIECE_BYTES.get(self.outputs.device.type, PIECE_BYTES_ELSEWHERE)
        size, steps = max(1, limit // step_bytes), self.options.steps
        return [(start, min(start + size, steps)) for start in range(0, steps, size)]

    def _at(self, tensor: Tensor, start: int, stop: int) -> Tensor:
        return tensor[start * self.batch : stop * self.batch]

    def _hidden_before(self, step: int) -> Tensor | None:
        return self._at(self.outputs, step - 1, step) if step else self.hidden

    def _cell_before(self, step: int) -> Tensor | None:
        return self.cells[step - 1] if step else self.cell

    def _from_input(self, start: int, stop: int) -> Tensor | None:
        if self.inputs is None or self.of_input is None:
            return None
        images = self._at(self.inputs, start, stop)
        return _laid_out(self.of_input.forward(images, self.bias, self._memory("input", images)), self.dtype)

    def _from_state(self, step: int) -> Tensor | None:
        before = self._hidden_before(step)
        if before is None:
            return None
        bias = None if self.inputs is not None else self.bias
        return _laid_out(self.of_state.forward(before, bias, self._memory("state", before)), self.dtype)

    def forward(self) -> list[Tensor]:
        """Compute outputs and cells; returns, piece by piece, the summed convolutions that a backward pass wants."""
        keep, kept = self.options.train and not self.options.execution.recompute, []
        for start, stop in self._pieces():
            piece = self._from_input(start, stop)
            if piece is None and keep:
                piece = self._empty(stop - start, 4, self.outputs)
            for step in range(start, stop):
                chunk = None if piece is None else self._at(piece, step - start, step - start + 1)
                self._step(step, None if self.inputs is None else chunk, chunk if keep else None)
            if keep and piece is not None:
                kept.append(piece)
        return kept

    def _step(self, step: int, from_input: Tensor | None, kept: Tensor | None) -> None:
        gates = Gates(from_input, self._from_state(step))
        before, new_cell = self._cell_before(step), self._empty(1, 1, self.outputs, self.wide)
        hidden = self._at(self.outputs, step, step + 1)
        if gates.from_state is None:
            kept = None  # from_input is the sum already, and is what is kept
        self.steps.forward(gates, before, self.peephole, self.options.current, kept, new_cell, hidden)
        self.cells.append(new_cell)
        if not self.options.train and step:
            self.cells[step - 1] = self.cells[step]  # frees the older one

    def backward(
        self,
        kept: list[Tensor],
        d_outputs: Tensor | None,
        d_later: Tensor | None,
        d_cell: Tensor | None,
        to_inputs: bool,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of inputs, hidden, cell, input weight, state weight, bias, peephole."""
        d_outputs, d_later = (None if d is None else _laid_out(d, self.dtype) for d in (d_outputs, d_later))
        d_cell = None if d_cell is None else _laid_out(d_cell, self.wide)
        total = _Gradients(self.steps.make_sums(self.cells[0]), self.weights, self.wide)
        d_inputs: list[Tensor] = []
        stored = bool(kept)
        for start, stop in reversed(self._pieces()):
            piece = kept.pop() if stored else self._from_input(start, stop)
            d_gates = self._empty(stop - start, 4, self.outputs) if piece is None else piece
            for step in reversed(range(start, stop)):
                chunk = self._at(d_gates, step - start, step - start + 1)
                gates = Gates(None if piece is None else chunk, None if stored else self._from_state(step))
                d_hidden = None if d_outputs is None else self._at(d_outputs, step, step + 1)
                d_cell = self._step_back(step, gates, d_hidden, d_later, d_cell, chunk, total)
                before = self._hidden_before(step)
                d_later = None if before is None else self._input_gradient(self.of_state, chunk, before)
            self._add_weight_gradients(start, stop, d_gates, total)
            if to_inputs and self.inputs is not None and self.of_input is not None:
                d_inputs.insert(0, self._input_gradient(self.of_input, d_gates, self._at(self.inputs, start, stop)))
        d_start = (d_later, d_cell) if self.cell is not None else (None, None)
        return (torch.cat(d_inputs) if d_inputs else None, *d_start, *total.of_weights())

    def _input_gradient(self, convolution: Convolution, d_gates: Tensor, inputs: Tensor) -> Tensor:
        return _laid_out(convolution.input_gradient(d_gates, inputs), self.dtype)

    def _step_back(
        self,
        step: int,
        gates: Gates,
        d_hidden: Tensor | None,
        d_later: Tensor | None,
        d_cell: Tensor | None,
        d_gates: Tensor,
        total: "_Gradients",
    ) -> Tensor:
        before, after, current = self._cell_before(step), self.cells[step], self.options.current
        d_cell = self.steps.backward(
            gates, before, after, self.peephole, current, d_hidden, d_later, d_cell, d_gates, total.sums
        )
        if self.peephole is not None and self.peephole[0, 0].numel() > 1:
            total.add_peephole_by_location(d_gates, before, after if current else before)
        return d_cell

    def _add_weight_gradients(self, start: int, stop: int, d_gates: Tensor, total: "_Gradients") -> None:
        if self.inputs is not None and self.of_input is not None:
            total.add("input", self.of_input.weight_gradient(self._at(self.inputs, start, stop), d_gates))
        if start == 0 and self.hidden is not None:
            total.add("state", self.of_state.weight_gradient(self.hidden, self._at(d_gates, 0, 1)))
        first = max(start, 1)
        if first < stop:
            before = self._at(self.outputs, first - 1, stop - 1)
            total.add("state", self.of_state.weight_gradient(before, self._at(d_gates, first - start, stop - start)))


class _Gradients:
    """Gradients of a layer's weights, summed over time in the precision of the cells."""

    def __init__(self, sums: Tensor, weights: Weights, wide: torch.dtype) -> None:
        self.sums, self.weights, self.wide = sums, weights, wide
        self.totals: dict[str, Tensor] = {}

    def add(self, name: str, gradient: Tensor) -> None:
        gradient = gradient.to(self.wide)
        self.totals[name] = self.totals[name] + gradient if name in self.totals else gradient

    def add_peephole_by_location(self, d_gates: Tensor, cell: Tensor | None, seen: Tensor | None) -> None:
        """One weight for each channel and cell of the grid: summed over the batch only."""
        d_i, d_f, _, d_o = d_gates.chunk(4, dim=1)
        pairs = ((d_i, cell), (d_f, cell), (d_o, seen))
        rows = [torch.zeros_like(d[0], dtype=self.wide) if c is None else (d * c).sum(0) for d, c in pairs]
        self.add("peephole", torch.stack(rows))

    def of_weights(self) -> tuple[Tensor | None, ...]:
        """In the order, shape and precision of the weights; None for a weight that nothing depends on."""
        sums = self.sums.sum(0)
        self.totals["bias"] = sums[:4].reshape(-1)
        if self.weights.peephole is not None:
            self.totals.setdefault("peephole", sums[4:, :, None, None])
        return tuple(
            None if weight is None or name not in self.totals else self.totals[name].to(weight.dtype)
            for name, weight in zip(Weights._fields, self.weights, strict=True)
        )


def _laid_out(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous(memory_format=torch.channels_last)


def _working_precision(weight: Tensor) -> torch.dtype:
    """That of the weights, or what autocast makes of it."""
    device = weight.device.type
    if weight.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype
