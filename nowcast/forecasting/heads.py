"""Heads: what the numbers that a network puts out mean, and what its loss compares them with."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nowcast.forecasting.forecast import Exceedance, Field, FieldForecast
from nowcast.scaling import Scaling


class Head(Protocol):
    """The meaning of a network's outputs (B, T, channels, H, W)."""

    @property
    def channels(self) -> int:
        """How many channels it needs for each cell."""
        ...

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Rain rates in mm h-1 that it says probabilities of; none where it says amounts."""
        ...

    def logits(self, outputs: Tensor) -> Tensor:
        """What the loss compares, (B, T, channels, H, W), whose sigmoid is `said`."""
        ...

    def target(self, values: Tensor, scaling: Scaling) -> Tensor:
        """What it compares them with, in [0, 1], out of observed values (B, T, C, H, W); NaN stays NaN."""
        ...

    def forecast(self, said: Tensor, scaling: Scaling) -> FieldForecast:
        """The forecast, out of the sigmoid of `logits`, calibrated or not."""
        ...


class GreyHead:
    """One grey value per cell: the paper's, and the only one for pictures."""

    channels = 1
    thresholds: tuple[float, ...] = ()

    def logits(self, outputs: Tensor) -> Tensor:
        """The outputs."""
        return outputs

    def target(self, values: Tensor, scaling: Scaling) -> Tensor:
        """Grey values."""
        return scaling.to_grey(values)

    def forecast(self, said: Tensor, scaling: Scaling) -> FieldForecast:
        """The values that the grey values stand for."""
        return Field(scaling.from_grey(said))


class ExceedanceHead:
    """The probability, for each of K thresholds, that it rains at least so much.

    The first output is the logit of the first threshold; each further one says by how much, at least, the logit falls
    to the next: whatever the weights, a higher threshold is never more probable than a lower one.

    Args:
        thresholds: K rain rates in mm h-1, rising, the first above 0.

    Raises:
        ValueError: They are not.

    Source of the idea that exceedance is learned as ordered probabilities: Cao, Mirjalili and Raschka 2020,
    arXiv:1901.07884 (rank consistency).
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        """Keep the thresholds."""
        if not thresholds or sorted(set(thresholds)) != list(thresholds) or thresholds[0] <= 0:
            raise ValueError(f"head.thresholds must rise strictly from above 0 mm/h, got {list(thresholds)}")
        self.thresholds = tuple(float(threshold) for threshold in thresholds)

    @property
    def channels(self) -> int:
        """One per threshold."""
        return len(self.thresholds)

    def logits(self, outputs: Tensor) -> Tensor:
        """Logits (B, T, K, H, W) that fall along K."""
        return torch.stack([_falling(lead) for lead in outputs.unbind(1)], dim=1)  # small arrays stay in the caches

    def target(self, values: Tensor, scaling: Scaling) -> Tensor:
        """1 where a rain rate (B, T, 1, H, W) reaches the threshold, else 0; NaN where there is none."""
        limits = torch.tensor(self.thresholds, dtype=values.dtype, device=values.device)[:, None, None]
        return (values >= limits).to(values.dtype).masked_fill(values.isnan(), torch.nan)

    def forecast(self, said: Tensor, scaling: Scaling) -> FieldForecast:
        """Probabilities, which a calibration of each threshold by itself may have crossed: the lower one holds."""
        lowest = accumulate(said.unbind(2), torch.minimum)  # cummin takes ten times as long
        return Exceedance(torch.stack(list(lowest), dim=2), self.thresholds)


def _falling(outputs: Tensor) -> Tensor:
    """Logits (B, K, H, W) of the outputs at a lead time."""
    first, falls = outputs[:, :1], F.softplus(outputs[:, 1:])
    return torch.cat([first, first - falls.cumsum(dim=1)], dim=1)
