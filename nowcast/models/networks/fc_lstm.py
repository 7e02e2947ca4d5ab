"""The fully connected LSTM encoder-forecaster that Shi et al. 2015 compare the ConvLSTM with.

An FC-LSTM is the ConvLSTM on a grid of a single cell: the whole frame is one vector of inputs, every kernel is a
matrix, and the peepholes are diagonal. So it is built from the same cells.

    i = σ(W_xi x + W_hi h + w_ci ∘ c + b_i)      f = σ(W_xf x + W_hf h + w_cf ∘ c + b_f)
    c' = f ∘ c + i ∘ tanh(W_xc x + W_hc h + b_c)
    o = σ(W_xo x + W_ho h + w_co ∘ c' + b_o)     h' = o ∘ tanh(c')

Source: Graves 2013, arXiv:1308.0850; Shi et al. 2015, arXiv:1506.04214, eq. 2 and section 3.2.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nowcast.models.kernels.layer import Execution
from nowcast.models.networks.convlstm import ConvLSTMCell, run_stack, uniform
from nowcast.models.networks.frames import check_inputs

MATRICES = Execution(recompute=False, winograd=False)


class FCLSTM(nn.Module):
    """Encoder and forecaster of stacked LSTM layers on whole frames.

    Structure as in ConvLSTM, except that the output layer reads the top layer's h only.

    Args:
        frame_shape: (H, W) of a frame; the weights fit no other.
        hidden: Width of each layer, bottom first.
        peephole: "diagonal" (the paper) or "none" (the LSTM of most introductions).

    Raises:
        ValueError: No layer, a size below 1, or an unknown peephole.
    """

    needs_training = True
    reference = "Graves 2013, arXiv:1308.0850; Shi et al. 2015, arXiv:1506.04214"

    def __init__(
        self, frame_shape: Sequence[int], hidden: Sequence[int], peephole: Literal["diagonal", "none"]
    ) -> None:
        """Create all layers."""
        super().__init__()
        if len(frame_shape) != 2 or min(frame_shape) < 1:
            raise ValueError(f"model.frame_shape must be [height, width], each at least 1, got {list(frame_shape)}")
        if len(hidden) == 0 or min(hidden) < 1:
            raise ValueError(f"model.hidden needs a width of at least 1 for each layer, got {list(hidden)}")
        if peephole not in ("diagonal", "none"):
            raise ValueError(f"model.peephole must be diagonal or none, got {peephole!r}")
        self.frame_shape = (frame_shape[0], frame_shape[1])
        pixels = frame_shape[0] * frame_shape[1]

        def stack(bottom_inputs: int) -> nn.ModuleList:
            below = [bottom_inputs, *hidden[:-1]]
            kind: Literal["channel", "none"] = "channel" if peephole == "diagonal" else "none"
            return nn.ModuleList(
                ConvLSTMCell(inputs, width, 1, 1, kind, "current", None)
                for inputs, width in zip(below, hidden, strict=True)
            )

        self.encoder, self.forecaster = stack(pixels), stack(0)
        self.head = nn.Linear(hidden[-1], pixels)
        with torch.no_grad():
            self.head.weight.copy_(uniform(pixels, hidden[-1], 1)[..., 0, 0])
            self.head.bias.zero_()

    def forward(self, inputs: Tensor, forecast_steps: int) -> Tensor:
        """Forecast.

        Args:
            inputs: (B, T_in, 1, H, W) grey in [0, 1] with the frame_shape of the model, no NaN.
            forecast_steps: Frames to predict, at least 1; need not be that of training.

        Returns:
            (B, forecast_steps, 1, H, W) logits.

        Raises:
            ValueError: Frames of another shape, no input frame, or forecast_steps < 1.
        """
        check_inputs(inputs, 1, forecast_steps)
        batch, steps = inputs.shape[:2]
        if tuple(inputs.shape[3:]) != self.frame_shape:
            raise ValueError(
                f"frames are {tuple(inputs.shape[3:])}, but this FC-LSTM has weights for {self.frame_shape} only; "
                "set model.frame_shape, or use a ConvLSTM, which fits any frame"
            )
        vectors = inputs.transpose(0, 1).reshape(steps * batch, -1, 1, 1)  # (T·B, H·W, 1, 1)
        _, states = run_stack(self.encoder, vectors, None, steps, MATRICES)
        top = [states[-1][0]]
        if forecast_steps > 1:
            hidden, _ = run_stack(self.forecaster, None, states, forecast_steps - 1, MATRICES)
            top.append(hidden[-1])
        frames = self.head(torch.cat(top).flatten(1))  # (T·B, H·W)
        forecast: Tensor = frames.reshape(forecast_steps, batch, 1, *self.frame_shape).transpose(0, 1)
        return forecast  # (B, T, 1, H, W)
