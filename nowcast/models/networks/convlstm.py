"""The ConvLSTM encoder-forecaster of Shi et al. 2015.

    i = σ(W_xi * X + W_hi * H + w_ci ∘ C + b_i)      f = σ(W_xf * X + W_hf * H + w_cf ∘ C + b_f)
    C' = f ∘ C + i ∘ tanh(W_xc * X + W_hc * H + b_c)
    o = σ(W_xo * X + W_ho * H + w_co ∘ C' + b_o)     H' = o ∘ tanh(C')

Source: Shi et al. 2015, arXiv:1506.04214, eq. 3; shapes, initialisation and the forecaster's structure as in the
authors' release (docs/protocol.md maps each to its line).
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.kernels.convolution import convolution_for
from nowcast.models.kernels.layer import Execution, Shared, Weights, run_layer
from nowcast.models.networks.frames import check_inputs

State = tuple[Tensor, Tensor]  # hidden H and cell C, each (B, C_h, H, W)
Peephole = Literal["channel", "location", "none"]
OutputPeephole = Literal["current", "previous"]
STEPS_WITHOUT_GRADIENT = 2


class ConvLSTMCell(nn.Module):
    """One layer, one step.

    Args:
        inputs: Channels of the layer below; 0 = the layer has no input and no input weights.
        hidden: Channels of H and C.
        input_kernel: Odd side of the input-to-state kernel.
        state_kernel: Odd side of the state-to-state kernel.
        peephole: "channel" (the paper's release: one trained weight per channel), "location" (one per channel
            and cell) or "none".
        output_peephole: The output gate sees the "current" cell (the paper) or the "previous" one.
        grid: (H, W) that the layer works on, needed by peephole="location" only.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        input_kernel: int,
        state_kernel: int,
        peephole: Peephole,
        output_peephole: OutputPeephole,
        grid: tuple[int, int] | None,
    ) -> None:
        """Create weights as the authors do: U(±1/sqrt(channels in)), peepholes and biases zero."""
        super().__init__()
        self.hidden, self.output_peephole = hidden, output_peephole
        self.input_weight = (
            nn.Parameter(uniform(4 * hidden, inputs, input_kernel)) if inputs else None
        )  # (4·C_h, C_in, K, K), gates i, f, c, o
        self.state_weight = nn.Parameter(uniform(4 * hidden, hidden, state_kernel))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.peephole = None
        if peephole != "none":
            place = (1, 1) if peephole == "channel" else grid
            assert place is not None  # ConvLSTM checked it
            self.peephole = nn.Parameter(torch.zeros(3, hidden, *place))  # gates i, f, o

    def run(self, inputs: Tensor | None, state: State | None, steps: int, execution: Execution) -> tuple[Tensor, State]:
        """Hidden states of a whole sequence, and the state after it.

        Args:
            inputs: (T·B, C_in, H, W) in time order, None for a layer without input.
            state: (H, C) before the first step, None = zeros ("total ignorance" in the paper).
            steps: T.
            execution: How.

        Returns:
            (T·B, C_h, H, W) and (H, C).
        """
        if torch.compiler.is_compiling():  # a compiler fuses the plain form itself
            return self.run_step_by_step(inputs, state, steps)
        weights = Weights(self.input_weight, self.state_weight, self.bias, self.peephole)
        return run_layer(inputs, state, weights, steps, self.output_peephole == "current", execution)

    def run_step_by_step(self, inputs: Tensor | None, state: State | None, steps: int) -> tuple[Tensor, State]:
        """The same as `run` in plain PyTorch, which its tests compare it with."""
        from_input: Sequence[Tensor | None] = [None] * steps
        if inputs is not None and self.input_weight is not None:
            from_input = _convolve(inputs, self.input_weight, self.bias).chunk(steps)
        outputs = []
        for step in range(steps):
            state = self(from_input[step], state)
            outputs.append(state[0])
        assert state is not None  # steps >= 1
        return torch.cat(outputs), state

    def forward(self, from_input: Tensor | None, state: State | None) -> State:
        """Advance by one step.

        Args:
            from_input: (B, 4·C_h, H, W) = W_x * X + b, None for a layer without input.
            state: (H, C), None = zeros.
        """
        gates = from_input
        if state is not None:
            bias = self.bias if from_input is None else None
            from_state = _convolve(state[0], self.state_weight, bias)
            gates = from_state if from_input is None else from_state + from_input
        assert gates is not None  # the bottom forecaster layer always has a state
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)
        cell = None if state is None else state[1]
        if self.peephole is not None and cell is not None:
            input_gate = input_gate + self.peephole[0] * cell
            forget_gate = forget_gate + self.peephole[1] * cell
        new_cell = torch.sigmoid(input_gate) * torch.tanh(candidate)
        if cell is not None:
            new_cell = new_cell + torch.sigmoid(forget_gate) * cell
        seen = new_cell if self.output_peephole == "current" else cell
        if self.peephole is not None and seen is not None:
            output_gate = output_gate + self.peephole[2] * seen
        return torch.sigmoid(output_gate) * torch.tanh(new_cell), new_cell


class ConvLSTM(nn.Module):
    """Encoder and forecaster of stacked ConvLSTM layers on patches of the frame.

    The encoder reads the inputs; the forecaster's layers start from copies of its states, the bottom one without
    any input, and run forecast_steps - 1 steps: the first frame is predicted from the encoder's last states. One
    1×1 convolution over the hidden states of all layers makes each frame.

    Args:
        channels: Channels of a frame (1 for rain).
        patch: Side of the patches that become channels (`pixel_unshuffle`).
        hidden: Channels of each layer, bottom first.
        input_kernels: Odd kernel sides, input to state, one per layer.
        state_kernels: Odd kernel sides, state to state, one per layer.
        peephole: See ConvLSTMCell.
        output_peephole: See ConvLSTMCell.
        frame_shape: (H, W) of a frame, required by peephole="location" and only by it.
        recompute: Train in less memory: keep states only, and compute the gates again in the backward pass.
        winograd: On CPUs, convolve by Winograd's method where that is faster (winograd.py); rounding differs.
        outputs: Channels of a forecast frame, as many as its head needs; None = as an input frame.

    Raises:
        ValueError: Lists of different lengths, an even kernel, an unknown option.
    """

    needs_training = True
    reference = "Shi et al. 2015, arXiv:1506.04214"

    def __init__(
        self,
        channels: int,
        patch: int,
        hidden: Sequence[int],
        input_kernels: Sequence[int],
        state_kernels: Sequence[int],
        peephole: Peephole,
        output_peephole: OutputPeephole,
        frame_shape: Sequence[int] | None,
        recompute: bool = False,  # checkpoints from before these settings do not name them
        winograd: bool = True,
        outputs: int | None = None,
    ) -> None:
        """Create all layers."""
        super().__init__()
        _check(channels, patch, hidden, input_kernels, state_kernels, peephole, output_peephole, frame_shape)
        for name, value in (("recompute", recompute), ("winograd", winograd)):
            if not isinstance(value, bool):
                raise ValueError(f"model.{name} must be true or false, got {value!r}")
        self.channels, self.patch, self.execution = channels, patch, Execution(recompute, winograd)
        grid = None if frame_shape is None else (-(-frame_shape[0] // patch), -(-frame_shape[1] // patch))
        pixels = channels * patch**2

        def stack(bottom_inputs: int) -> nn.ModuleList:
            below = [bottom_inputs, *hidden[:-1]]
            sizes = zip(below, hidden, input_kernels, state_kernels, strict=True)
            return nn.ModuleList(ConvLSTMCell(*size, peephole, output_peephole, grid) for size in sizes)

        self.encoder, self.forecaster = stack(pixels), stack(0)
        pixels_out = (channels if outputs is None else outputs) * patch**2
        self.head = nn.Conv2d(sum(hidden), pixels_out, 1)
        with torch.no_grad():
            self.head.weight.copy_(uniform(pixels_out, sum(hidden), 1))
            self.head.bias.zero_()  # type: ignore[union-attr]

    def forward(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """Forecast.

        Args:
            inputs: (B, T_in, C, H, W) grey in [0, 1], any H and W, no NaN.
            forecast_steps: Frames to predict, at least 1; need not be that of training.

        Returns:
            (B, forecast_steps, outputs, H, W) logits: the sigmoid of the paper's output layer is left to loss and use.

        Raises:
            ValueError: Wrong number of axes or channels, no input frame, or forecast_steps < 1.
        """
        check_inputs(inputs, self.channels, forecast_steps)
        batch, _, _, height, width = inputs.shape
        padded = F.pad(inputs, (0, -width % self.patch, 0, -height % self.patch))
        patches = F.pixel_unshuffle(padded, self.patch).transpose(0, 1)  # (T, B, C·p², H/p, W/p)
        execution = self.execution if torch.is_grad_enabled() else self.execution._replace(shared=Shared())
        states = self._encode(patches, execution)
        logits = [self._frames_of([hidden for hidden, _ in states])]
        for count in _pieces(forecast_steps - 1):
            hidden, states = run_stack(self.forecaster, None, states, count, execution)
            logits.append(self._frames_of(hidden))
        frames = F.pixel_shuffle(torch.cat(logits), self.patch)  # (T·B, C, H, W)
        frames = frames[..., :height, :width]
        return frames.reshape(forecast_steps, batch, *frames.shape[1:]).transpose(0, 1)  # (B, T, C, H, W)

    def _encode(self, patches: Tensor, execution: Execution) -> list[State]:
        """States of all layers after the input frames (T, B, C·p², H/p, W/p)."""
        states: list[State] | None = None
        for piece in torch.split(patches, _pieces(len(patches))):
            _, states = run_stack(self.encoder, piece.flatten(0, 1), states, len(piece), execution)
        assert states is not None  # check_inputs: T >= 1
        return states

    def _frames_of(self, hidden: list[Tensor]) -> Tensor:
        """The 1×1 convolution over the hidden states of all layers, (N, C_h, H, W) each → (N, C·p², H, W)."""
        weights = torch.split(self.head.weight, [state.shape[1] for state in hidden], dim=1)
        # Layer by layer: their concatenation would be another copy of all states.
        frames = F.conv2d(hidden[0], weights[0], self.head.bias)
        for state, weight in zip(hidden[1:], weights[1:], strict=True):
            frames = frames + F.conv2d(state, weight)
        return frames


def run_stack(
    layers: nn.ModuleList, inputs: Tensor | None, states: list[State] | None, steps: int, execution: Execution
) -> tuple[list[Tensor], list[State]]:
    """Run stacked ConvLSTMCells over a sequence, the bottom one first.

    Args:
        layers: The cells.
        inputs: (T·B, C, H, W) in time order for the bottom layer, None if it has no input.
        states: Of each layer before the first step, None = zeros.
        steps: T.
        execution: How.

    Returns:
        For each layer its hidden states (T·B, C_h, H, W), and its state after the last step.
    """
    outputs: list[Tensor] = []
    after: list[State] = []
    for layer, cell in enumerate(layers):
        assert isinstance(cell, ConvLSTMCell)
        below = outputs[-1] if outputs else inputs
        hidden, state = cell.run(below, None if states is None else states[layer], steps, execution)
        outputs.append(hidden)
        after.append(state)
    return outputs, after


def _convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return convolution_for(weight, inputs, winograd=False).forward(inputs, bias)


def _pieces(steps: int) -> list[int]:
    """Steps that all layers do before the next ones: all in training, which keeps all, else a few to save memory."""
    size = max(1, steps if torch.is_grad_enabled() else STEPS_WITHOUT_GRADIENT)
    return [min(size, steps - start) for start in range(0, steps, size)]


def uniform(outputs: int, inputs: int, kernel: int) -> Tensor:
    """U(±1/sqrt(inputs)): the authors count channels only, not the kernel's area."""
    bound = max(inputs, 1) ** -0.5
    return torch.empty(outputs, inputs, kernel, kernel).uniform_(-bound, bound)


def _check(
    channels: int,
    patch: int,
    hidden: Sequence[int],
    input_kernels: Sequence[int],
    state_kernels: Sequence[int],
    peephole: str,
    output_peephole: str,
    frame_shape: Sequence[int] | None,
) -> None:
    if not len(hidden) == len(input_kernels) == len(state_kernels) > 0:
        raise ValueError(
            "model.hidden, model.input_kernels and model.state_kernels need one entry per layer, got "
            f"{list(hidden)}, {list(input_kernels)}, {list(state_kernels)}"
        )
    if min(channels, patch, *hidden) < 1:
        raise ValueError(f"channels, patch and hidden must be >= 1, got {channels}, {patch}, {list(hidden)}")
    even = [kernel for kernel in (*input_kernels, *state_kernels) if kernel < 1 or kernel % 2 == 0]
    if even:
        raise ValueError(f"kernels must be odd, so that the grid keeps its size; got {even[0]}")
    if peephole not in ("channel", "location", "none"):
        raise ValueError(f"model.peephole must be channel, location or none, got {peephole!r}")
    if output_peephole not in ("current", "previous"):
        raise ValueError(f"model.output_peephole must be current or previous, got {output_peephole!r}")
    if (peephole == "location") != (frame_shape is not None):
        raise ValueError(f"model.frame_shape is for peephole=location only; got {frame_shape} with {peephole}")
