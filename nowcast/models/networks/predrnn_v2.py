"""PredRNN-v2: LSTM layers with a second memory that runs through all of them, from the top one on to the next step.

    i, f = σ(W_x * X + W_h * H)         g = tanh(W_x * X + W_h * H)         ΔC = i ∘ g        C' = f ∘ C + ΔC
    i', f' = σ(W_x' * X + W_m * M)      g' = tanh(W_x' * X + W_m * M)       ΔM = i' ∘ g'      M' = f' ∘ M + ΔM
    o = σ(W_xo * X + W_ho * H + W_o * [C', M'])                             H' = o ∘ tanh(W_1×1 * [C', M'])

M' goes to the layer above, that of the top layer to the bottom one at the next step; f and f' have a bias of 1.

Source: Wang et al. 2022, arXiv:2103.09504, eq. 2 to 6; without biases and normalisation, as in OpenSTL's configuration.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.networks.frames import check_inputs, with_returned

FORGET_BIAS = 1.0
EVEN = 0.5  # chance that a frame is seen, at first


class SpatioTemporalLSTM(nn.Module):
    """One layer, one step.

    Args:
        inputs: Channels of the layer below.
        hidden: Channels of H, C and M.
        kernel: Odd side of the kernels.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int) -> None:
        """Create the weights as PyTorch draws them."""
        super().__init__()

        def convolution(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after * hidden, kernel, padding=kernel // 2, bias=False)

        self.of_input, self.of_state = convolution(inputs, 7), convolution(hidden, 4)
        self.of_memory, self.of_both = convolution(hidden, 3), convolution(2 * hidden, 1)
        self.both = nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(self, below: Tensor, state: Tensor, cell: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        """H', C', M', ΔC and ΔM, of what is below and H, C and M; (B, channels, H, W) each."""
        i_x, f_x, g_x, i_y, f_y, g_y, o_x = self.of_input(below).chunk(7, dim=1)
        i_h, f_h, g_h, o_h = self.of_state(state).chunk(4, dim=1)
        i_m, f_m, g_m = self.of_memory(memory).chunk(3, dim=1)
        more_cell = torch.sigmoid(i_x + i_h) * torch.tanh(g_x + g_h)
        cell = torch.sigmoid(f_x + f_h + FORGET_BIAS) * cell + more_cell
        more_memory = torch.sigmoid(i_y + i_m) * torch.tanh(g_y + g_m)
        memory = torch.sigmoid(f_y + f_m + FORGET_BIAS) * memory + more_memory
        both = torch.cat([cell, memory], dim=1)
        state = torch.sigmoid(o_x + o_h + self.of_both(both)) * torch.tanh(self.both(both))
        return state, cell, memory, more_cell, more_memory


class PredRNNv2(nn.Module):
    """Says the next frame at each step, of the true one or of what it said.

    In training it learns to say all frames from the second on (`taught`), some of them after true frames, others after
    its own: among the inputs the more true ones the longer it was trained, among the others the fewer.

    Args:
        channels: Channels of a frame.
        patch: Side of the patches that become channels.
        hidden: Channels of each layer's H, C and M.
        layers: How many.
        kernel: Odd side of the kernels.
        decoupling: Weight of what is added to the loss so that C and M learn different things.
        sampling_from: Steps of training until which each frame is true with a chance of one half.
        sampling_to: Steps after which all inputs are true, and none of the others.
        sampling_decay: Steps in which the chance that an input is not true falls to 1/e, in between.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: A number that does not fit.

    Unlike theirs: any number of rows and columns (filled up with zeros).
    """

    needs_training = True
    reference = "Wang et al. 2022, arXiv:2103.09504"

    def __init__(
        self,
        channels: int,
        patch: int,
        hidden: int,
        layers: int,
        kernel: int,
        decoupling: float,
        sampling_from: int,
        sampling_to: int,
        sampling_decay: float,
        outputs: int = 1,
    ) -> None:
        """Create all layers."""
        super().__init__()
        if min(channels, patch, hidden, layers) < 1 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(
                f"model.channels, patch, hidden and layers must be at least 1, and model.kernel odd, got {channels}, "
                f"{patch}, {hidden}, {layers}, {kernel}"
            )
        if decoupling < 0 or not 0 <= sampling_from <= sampling_to or sampling_decay <= 0:
            raise ValueError(
                "model.decoupling must be 0 or more, model.sampling_to at least sampling_from, and "
                f"model.sampling_decay above 0, got {decoupling}, {sampling_from} to {sampling_to}, {sampling_decay}"
            )
        self.channels, self.patch, self.hidden, self.outputs = channels, patch, hidden, outputs
        self.decoupling, self.sampling = decoupling, (sampling_from, sampling_to, sampling_decay)
        below = [channels * patch**2, *[hidden] * (layers - 1)]
        self.layers = nn.ModuleList(SpatioTemporalLSTM(inputs, hidden, kernel) for inputs in below)
        self.last = nn.Conv2d(hidden, with_returned(outputs, channels) * patch**2, 1, bias=False)
        self.adapter = nn.Conv2d(hidden, hidden, 1, bias=False)
        self._alike: list[Tensor] = []

    def forward(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """Forecast.

        Args:
            inputs: (B, T_in, channels, H, W) grey in [0, 1], any H and W, no NaN.
            forecast_steps: Frames to predict, at least 1; need not be that of training.

        Returns:
            (B, forecast_steps, outputs, H, W) before the sigmoid.

        Raises:
            ValueError: Wrong number of axes or channels, no input frame, or forecast_steps < 1.
        """
        check_inputs(inputs, self.channels, forecast_steps)
        return self._run(inputs, None, inputs.shape[1] + forecast_steps - 1)[:, -forecast_steps:]

    def taught(self, inputs: Tensor, future: Tensor, step: int) -> Tensor:
        """What it says in training, where it may see what is true.

        Args:
            inputs: (B, T_in, channels, H, W) grey in [0, 1], no NaN.
            future: (B, T_out, channels, H, W), the frames that follow.
            step: Steps of training that were done.

        Returns:
            (B, T_in + T_out - 1, outputs, H, W) before the sigmoid: of all frames but the first.
        """
        frames = torch.cat([inputs, future[:, :-1]], dim=1)
        of_input, of_other = self.chances(step)
        chance = torch.full(frames.shape[:2], of_other, device=frames.device)
        chance[:, : inputs.shape[1]] = of_input
        return self._run(frames, torch.rand_like(chance) < chance, frames.shape[1])

    def chances(self, step: int) -> tuple[float, float]:
        """How probable it is that an input, and a later frame, is seen and not what was said of it.

        Source: OpenSTL and the authors' release (thuml/predrnn-pytorch), with which α is 5,000 and 2,500.
        """
        begin, end, decay = self.sampling
        if step >= end:
            return 1.0, 0.0
        done = max(step - begin, 0)
        return 1 - EVEN * math.exp(-done / decay), EVEN * (1 - done / max(end - begin, 1))

    def penalty(self) -> Tensor:
        """What the last pass of a training adds to the loss: how alike ΔC and ΔM are, |cos| of each channel's maps."""
        alike, self._alike = self._alike, []
        return self.decoupling * torch.stack(alike).mean()

    def _run(self, frames: Tensor, true: Tensor | None, steps: int) -> Tensor:
        """What is said at each step (B, steps, outputs, H, W).

        Of `frames` (B, T, …) it sees the first, and those that are `true` (B, T), None = all; else what it said.
        """
        (batch, known), (height, width) = frames.shape[:2], frames.shape[3:]
        padded = F.pad(frames, (0, -width % self.patch, 0, -height % self.patch))
        nothing = frames.new_zeros(batch, self.hidden, *(side // self.patch for side in padded.shape[3:]))
        states, cells, memory = [nothing] * len(self.layers), [nothing] * len(self.layers), nothing
        self._alike = []
        said: list[Tensor] = []
        for step in range(steps):
            own = torch.sigmoid(said[-1][:, -self.channels :]) if said else padded[:, 0]
            seen = padded[:, step] if step < known else own
            if true is not None:
                seen = torch.where(true[:, step, None, None, None], seen, own)
            below = F.pixel_unshuffle(seen, self.patch)
            for number, layer in enumerate(self.layers):
                below, cells[number], memory, *more = layer(below, states[number], cells[number], memory)
                states[number] = below
                if self.training and torch.is_grad_enabled():
                    self._alike.append(self._likeness(*more))
            said.append(F.pixel_shuffle(self.last(below), self.patch))
        return torch.stack(said, dim=1)[:, :, : self.outputs, :height, :width]

    def _likeness(self, more_cell: Tensor, more_memory: Tensor) -> Tensor:
        """Mean |cos| between what both memories gain, as maps of a channel through the same 1×1 convolution."""
        first, second = self.adapter(more_cell).flatten(2), self.adapter(more_memory).flatten(2)
        return F.cosine_similarity(first, second, dim=2).abs().mean()
