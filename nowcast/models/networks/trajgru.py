"""TrajGRU: gated recurrent units whose states are linked along motions that they find themselves.

    U_l, V_l = γ(X, H),  l = 1 … L
    r, z, candidate as in ConvGRU, with Σ_l W_l * warp(H, U_l, V_l), all W_l of 1×1, in place of W_h * H

Source: Shi et al. 2017, arXiv:1706.03458, eq. 3 to 5 and appendix A; γ as in the authors' release (sxjscience/HKO-7).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.advection import sample
from nowcast.models.networks.convgru import LEAK, ConvGRUCell, EncoderForecaster, Sizes, gated, leaky_normal

FLOW_KERNEL = 5


class TrajGRUCell(ConvGRUCell):
    """One layer.

    Args:
        inputs: Channels of what comes in; 0 = nothing does, and there are no weights for it.
        hidden: Channels of H.
        links: L, cells that each cell's state is linked to.
        flow_features: Features that the motions are found from.
    """

    def __init__(self, inputs: int, hidden: int, links: int, flow_features: int) -> None:
        """Draw the weights; at first there is no motion."""
        super().__init__(inputs, hidden, links * hidden, state_kernel=1)
        half, self.gates = FLOW_KERNEL // 2, 3 * hidden
        of_input = nn.Conv2d(inputs, flow_features, FLOW_KERNEL, padding=half) if inputs else None
        self.flow_of_input = None if of_input is None else leaky_normal(of_input)
        self.flow_of_state = leaky_normal(nn.Conv2d(hidden, flow_features, FLOW_KERNEL, padding=half))
        self.flow = nn.Conv2d(flow_features, 2 * links, FLOW_KERNEL, padding=half)
        nn.init.zeros_(self.flow.weight)
        nn.init.zeros_(self.flow.bias)  # type: ignore[arg-type]  # it has one

    def prepared(self, inputs: Tensor) -> Tensor:
        """What input adds to gates and candidate, and to the features of motions, one below the other."""
        assert self.flow_of_input is not None  # only called of layers with input
        return torch.cat([super().prepared(inputs), self.flow_of_input(inputs)], dim=1)

    def forward(self, prepared: Tensor | None, state: Tensor) -> Tensor:
        """The state (B, C_h, H, W) after a step."""
        features = self.flow_of_state(state)
        if prepared is not None:
            features = features + prepared[:, self.gates :]
        flows = self.flow(F.leaky_relu(features, LEAK))
        flows = flows.view(len(flows), -1, 2, *flows.shape[2:])  # (B, L, 2, H, W) (x, y) in cells
        linked = sample(state, flows, beyond="nothing")  # (B, C_h, L, H, W)
        from_input = None if prepared is None else prepared[:, : self.gates]
        return gated(from_input, self.of_state(linked.flatten(1, 2)), state)


class TrajGRU(EncoderForecaster):
    """The benchmark's TrajGRU.

    Args:
        channels: Channels of a frame.
        first: Features of a frame, before the first layer and after the last one.
        hidden: Features of each layer, from the finest.
        strides: How many times coarser each layer's cells are than those before it.
        down_kernels: Sides of the kernels that lead to each layer.
        up_kernels: Sides of those that lead from it: the stride, or an even number more.
        links: How many cells each cell's state is linked to, of each layer.
        flow_features: Features that the motions are found from.
        outputs: Channels of a forecast frame.

    Raises:
        ValueError: Lists of different lengths, or sides that do not fit.

    Unlike theirs: a grid that is no multiple of all strides is filled up with zeros.
    """

    def __init__(
        self,
        channels: int,
        first: int,
        hidden: Sequence[int],
        strides: Sequence[int],
        down_kernels: Sequence[int],
        up_kernels: Sequence[int],
        links: Sequence[int],
        flow_features: int,
        outputs: int = 1,
    ) -> None:
        """Create all layers."""
        if len(links) != len(hidden) or min([*links, flow_features]) < 1:
            raise ValueError(
                f"model.links must be at least one for each of model.hidden={list(hidden)}, and model.flow_features at "
                f"least 1, got {list(links)}, {flow_features}"
            )
        super().__init__(
            Sizes(channels, outputs, first, hidden, strides, down_kernels, up_kernels),
            lambda inputs, layer: TrajGRUCell(inputs, hidden[layer], links[layer], flow_features),
        )
