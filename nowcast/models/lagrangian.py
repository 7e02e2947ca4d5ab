"""Probabilities of rain in Lagrangian coordinates: extrapolation that a network corrects.

The frames are moved along the motion that optical flow finds to the time of the last one. There a network sees what
grew and what decayed, and adds to the logits of "the last frame, moved, exceeds the threshold"; the sum is moved along
the same motion to each lead time. Before the first step of a training the forecast *is* extrapolation.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nowcast.models.advection import departures, filled, move, sample, smoothed
from nowcast.models.baselines.extrapolation import Extrapolation
from nowcast.units import Spacing

FAINTEST = 0.02  # mm h-1: no rain, on a logarithmic scale
WET = 0.1  # mm h-1
SLOPES = (math.log(2.0), math.log(0.6))  # logarithms of the prior's slope at the first and the last lead time
FLATTER = 1.0  # by how much the logarithm of the slope is less, at first, where the air comes from outside
CHANNELS = 4  # of a frame, as the network sees it
STEEPEST = math.log(20.0)  # by how much the logarithm of the slope is more or less at a place than elsewhere, at most
SLOW = 10.0  # minutes between frames that the network sees as 1


class Lagrangian(nn.Module):
    """A network that corrects extrapolation, for `head=exceedance`.

    Args:
        net: Makes, from those of outputs=K, forecast_steps=L and channels=4 that it takes, a network that maps frames
            (B, T_in, 4, H, W) and a number of steps L to corrections (B, L, K, H, W).
        motion: Finds the motion of the frames.
        thresholds: K rain rates in mm h-1, those of the head.
        lead_minutes: L lead times that corrections are learned for, rising; between them they are interpolated, and
            later than the last they stay what they are there.
        outputs: K, as many as the head needs.
        local_slope: The network says, beside the corrections, how far extrapolation is to be trusted: by what factor
            the slope of the prior is more or less at each place.
        turns: Quarter turns of what is seen, 1 to 4, over which corrections are averaged, but for training: which way
            is north says nothing of what grows.

    Raises:
        ValueError: The lead times do not rise from above 0, or turns are not 1 to 4.

    Source: Ritvanen et al. 2023, doi:10.1109/JSTARS.2023.3238016 (a network in Lagrangian coordinates).
    """

    needs_training = True
    sees: Literal["rain_rate"] = "rain_rate"
    cell_km: float | None = None  # cells that it was trained on, once it is; finer ones are looked at averaged to these
    levels: Tensor  # (K,) log2 of the thresholds
    leads: Tensor  # (L,) minutes
    step_minutes = (2.0, 15.0)  # between frames: any it can be told, where training saw several; see `_at_last`
    reference = "Ritvanen et al. 2023, doi:10.1109/JSTARS.2023.3238016"

    def __init__(
        self,
        net: Callable[..., nn.Module],
        motion: Extrapolation,
        thresholds: Sequence[float],
        lead_minutes: Sequence[float],
        outputs: int,
        local_slope: bool,
        turns: int,
    ) -> None:
        """Start as extrapolation."""
        super().__init__()
        if not lead_minutes or any(later <= lead for lead, later in pairwise([0.0, *lead_minutes])):
            raise ValueError(f"model.lead_minutes must rise from above 0, got {list(lead_minutes)}")
        if not 1 <= turns <= 4:
            raise ValueError(f"model.turns must be 1, 2, 3 or 4 quarter turns, got {turns}")
        count, self.local_slope, self.turns = len(lead_minutes), local_slope, turns
        outputs += local_slope
        offered = {"outputs": outputs, "forecast_steps": count, "channels": CHANNELS}
        taken = inspect.signature(net).parameters
        self.net = net(**{name: value for name, value in offered.items() if name in taken})
        self.motion = motion
        slopes = torch.linspace(*SLOPES, count)
        self.slope = nn.Parameter(slopes)  # logarithm, by lead time
        self.offset = nn.Parameter(torch.zeros(count))
        # Of the corrections: nothing is corrected at first, and what is 0 already must not be 0 twice, or never learns.
        self.gain = nn.Parameter(torch.full((count, outputs), float(getattr(self.net, "starts_at_zero", False))))
        self.inflow_slope = nn.Parameter(slopes - FLATTER)
        self.inflow_offset = nn.Parameter(torch.zeros(count))
        levels = torch.tensor(list(thresholds), dtype=torch.float64).log2()
        self.register_buffer("levels", levels.float(), persistent=False)
        self.register_buffer("leads", torch.tensor([float(lead) for lead in lead_minutes]), persistent=False)

    def forward(
        self, rain_rate: Tensor, forecast_steps: int, spacing: Spacing | None = None, back: Tensor | None = None
    ) -> Tensor:
        """Outputs of an exceedance head.

        Args:
            rain_rate: (B, T_in, 1, H, W) mm h-1, T_in at least 2, NaN = no data.
            forecast_steps: Frames to predict, any number.
            spacing: Of the frames.
            back: Where the air comes from, if that is found already (`trajectories`).

        Returns:
            (B, forecast_steps, K, H, W): the logit of the first threshold, and what makes the falls to the others.

        Raises:
            ValueError: No spacing.
        """
        if back is None:
            back = self.trajectories(rain_rate, forecast_steps, spacing)
        minutes, blocks = told(spacing).step_minutes.to(self.leads), self.blocks(spacing)
        corrections = self._corrections(self._at_last(averaged(rain_rate, blocks), back, minutes))
        steps = torch.arange(1, forecast_steps + 1, device=minutes.device)
        weights = between(minutes[:, None] * steps, self.leads)  # (B, T_out, L)
        corrections = torch.einsum("btl,lk,blkhw->btkhw", weights, self.gain, corrections)
        of_prior = self._of_prior(corrections, weights)
        there = displaced(back[:, :forecast_steps], blocks, rain_rate.shape[3:])
        last, corner = continued(rain_rate[:, -1], back[:, :forecast_steps], blocks)
        leads = [
            self._moved(last, place + corner, sample(inside, in_blocks(place, blocks), beyond="border"), weight)
            for place, inside, weight in zip(there.unbind(1), of_prior.unbind(1), weights.unbind(1), strict=True)
        ]
        return torch.stack(leads, dim=1)

    def trajectories(self, rain_rate: Tensor, forecast_steps: int, spacing: Spacing | None) -> Tensor:
        """Where the air over each of the network's own cells comes from, which are blocks of those at hand.

        Args:
            rain_rate: (B, T_in, 1, H, W) mm h-1, NaN = no data.
            forecast_steps: Frames to predict.
            spacing: Of the frames.

        Returns:
            (B, T, 2, h, w) displacements (x, y) in such blocks to where it was 1, 2, … steps before the last frame; T
            is as much as a forecast and a look at the frames need.
        """
        seen = averaged(rain_rate, self.blocks(spacing))
        return departures(self._motion(seen), max(forecast_steps, seen.shape[1] - 1))

    def extrapolated(self, rain_rate: Tensor, forecast_steps: int, spacing: Spacing | None, back: Tensor) -> Tensor:
        """The last frame, moved along its `trajectories`: what the network begins with.

        Args:
            rain_rate: (B, T_in, 1, H, W) mm h-1, NaN = no data.
            forecast_steps: Frames to predict.
            spacing: Of the frames.
            back: The trajectories.

        Returns:
            (B, forecast_steps, 1, H, W) mm h-1; NaN where the air comes from outside or from cells without data.
        """
        last = rain_rate[:, -1]
        there = displaced(back[:, :forecast_steps], self.blocks(spacing), last.shape[2:])
        leads = [move(last, last.isfinite().to(last), place) for place in there.unbind(1)]
        return torch.stack([torch.where(known > 0.5, moved, torch.nan) for moved, known in leads], dim=1)

    def blocks(self, spacing: Spacing | None) -> tuple[int, int]:
        """How many (rows, columns) of the cells at hand make one that it was trained on, whose height is known."""
        known, (height, width) = self.cell_km, told(spacing).cell_km[0].tolist()
        if known is None or round(known / height) <= 1:
            return 1, 1
        return round(known / height), max(1, round(known / width))

    def _motion(self, rain_rate: Tensor) -> Tensor:
        """(B, 2, H, W) cells per step."""
        flows = [self.motion.flow(frames.numpy()) for frames in rain_rate[:, :, 0].detach().float().cpu()]
        return torch.stack([torch.from_numpy(flow) for flow in flows]).to(rain_rate)

    def _at_last(self, rain_rate: Tensor, back: Tensor, minutes: Tensor) -> Tensor:
        """(B, T_in, 4, H, W): every frame moved to the time of the last one, as what the network sees."""
        known = rain_rate.isfinite().to(rain_rate)
        level = _level(rain_rate.nan_to_num(0.0))
        before = range(rain_rate.shape[1] - 1)
        ago = back[:, [len(before) - 1 - number for number in before]].flatten(0, 1)
        there, part = move(level[:, :-1].flatten(0, 1), known[:, :-1].flatten(0, 1), ago)
        level = torch.cat([there.view_as(level[:, :-1]), level[:, -1:]], dim=1)
        known = torch.cat([(part > 0.5).to(known).view_as(known[:, :-1]), known[:, -1:]], dim=1)
        wet = (level >= math.log2(WET / FAINTEST) / 8).to(level)
        clock = (minutes / SLOW).view(-1, 1, 1, 1, 1).expand_as(level)
        return torch.cat([level * known, known, wet * known, clock], dim=2)

    def _corrections(self, frames: Tensor) -> Tensor:
        """(B, L, K, h, w), one more with a local slope, of frames (B, T_in, 4, h, w)."""
        if self.training:
            return cast(Tensor, self.net(frames, len(self.leads)).float())
        turned = (
            torch.rot90(self.net(torch.rot90(frames, k, (-2, -1)), len(self.leads)).float(), -k, (-2, -1))
            for k in range(self.turns)
        )
        return sum(turned, torch.zeros(())) / self.turns

    def _of_prior(self, corrections: Tensor, weights: Tensor) -> Tensor:
        """(B, T, 1 + K, h, w): the slope of the prior, and corrected what does not depend on the last frame.

        Of corrections (B, T, K, h, w), one more with a local slope, and weights (B, T, L) of what was learned. Made on
        the network's own cells, where there are the fewest.
        """
        slope = (weights @ self.slope.exp())[..., None, None]
        if self.local_slope:
            slope = slope * torch.exp(STEEPEST * torch.tanh(corrections[:, :, -1] / STEEPEST))
            corrections = corrections[:, :, :-1]
        slope = slope.expand_as(corrections[:, :, 0])[:, :, None]
        first = corrections[:, :, :1] + (weights @ self.offset)[..., None, None, None]
        falls = corrections[:, :, 1:] + self._falls(slope)
        return torch.cat([slope, first, falls], dim=2)

    def _moved(self, last: Tensor, place: Tensor, of_prior: Tensor, weight: Tensor) -> Tensor:
        """Outputs (B, K, H, W) at a lead time, of a last frame that is `continued` and what is corrected of the prior.

        `weight` (B, L) is that of what was learned. What comes from outside counts less.
        """
        level, part = sample(last, place, beyond="border").chunk(2, dim=1)
        above = level - self.levels[0]
        inside = torch.cat([of_prior[:, :1] * above + of_prior[:, 1:2], of_prior[:, 2:]], dim=1)
        slope, offset = (
            one.view(-1, 1, 1, 1) for one in (weight @ self.inflow_slope.exp(), weight @ self.inflow_offset)
        )
        falls = self._falls(slope).expand(-1, -1, *level.shape[2:])
        return torch.lerp(torch.cat([slope * above + offset, falls], dim=1), inside, part)

    def _falls(self, slope: Tensor) -> Tensor:
        """(…, K - 1, H, W): what makes the falls from threshold to threshold of slopes (…, 1, H, W)."""
        return _before_softplus(slope * self.levels.diff().view(-1, 1, 1))


def told(spacing: Spacing | None) -> Spacing:
    """The spacing.

    Raises:
        ValueError: There is none.
    """
    if spacing is None:
        raise ValueError("a Lagrangian network must be told how many minutes lie between frames")
    return spacing


def averaged(rain_rate: Tensor, blocks: tuple[int, int]) -> Tensor:
    """(B, T, C, H/rows, W/columns), rounded up: means of the known cells of blocks; NaN where less than half is known.

    A block that the grid cuts short is one of the cells that are there.
    """
    if blocks == (1, 1):
        return rain_rate
    known = rain_rate.isfinite().to(rain_rate)
    frames, mask = rain_rate.nan_to_num(0.0).flatten(0, 1), known.flatten(0, 1)
    total, share = (F.avg_pool2d(part, blocks, ceil_mode=True) for part in (frames, mask))
    return torch.where(share >= 0.5, total / share, torch.nan).view(*rain_rate.shape[:3], *total.shape[2:])


def refined(field: Tensor, blocks: tuple[int, int]) -> Tensor:
    """(N, C, rows·H, columns·W): a field of blocks of cells, linear between the middles of the blocks."""
    if blocks == (1, 1):
        return field
    size = [side * factor for side, factor in zip(field.shape[2:], blocks, strict=True)]
    return F.interpolate(field, size=size, mode="bilinear", align_corners=False)


def displaced(back: Tensor, blocks: tuple[int, int], shape: Sequence[int]) -> Tensor:
    """(B, T, 2, *shape) in cells: of each cell what blocks are displaced by, (B, T, 2, h, w) (x, y) in blocks."""
    cells = back.flatten(0, 1) * back.new_tensor(blocks[::-1]).view(2, 1, 1)
    return refined(cells, blocks)[..., : shape[0], : shape[1]].view(*back.shape[:3], *shape)


def in_blocks(place: Tensor, blocks: tuple[int, int]) -> Tensor:
    """Displacements (B, 2, H, W) of cells, (x, y) in cells, as those on a grid of blocks of cells that leads there."""
    if blocks == (1, 1):
        return place
    rows, columns = (torch.arange(side, dtype=place.dtype, device=place.device) for side in place.shape[2:])
    x = (columns + place[:, 0] + 0.5) / blocks[1] - 0.5 - columns
    y = (rows[:, None] + place[:, 1] + 0.5) / blocks[0] - 0.5 - rows[:, None]
    return torch.stack([x, y], dim=1)


def continued(last: Tensor, back: Tensor, blocks: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A last frame (B, 1, H, W), NaN = no data, with what lies around it as far as displacements of blocks lead.

    Beyond the border it is the mean of the blocks at the border, over half as many as that is away: a value that is
    merely repeated is drawn out to a streak by the motion. Where there is no data it is `filled`.

    Returns:
        (B, 2, H', W') log2 of the rain rate, and 1 where it is known or 0; and the column and row (2, 1, 1) of its
        first cell.
    """
    seen = averaged(last[:, None], blocks)[:, 0]
    blurred = filled(_level(seen.nan_to_num(0.0)), seen.isfinite().to(seen))
    beyond = min(math.ceil(float(back.detach().abs().amax())), max(seen.shape[2:]))
    around = smoothed(F.pad(blurred, [beyond] * 4, mode="replicate"), outside(blurred, beyond) / 2)
    level, (first_row, first_column) = refined(around, blocks), (beyond * factor for factor in blocks)
    known = torch.zeros_like(level)
    inside = ..., slice(first_row, first_row + last.shape[2]), slice(first_column, first_column + last.shape[3])
    known[inside] = last.isfinite().to(last)
    level[inside] = torch.where(last.isfinite(), _level(last.nan_to_num(0.0)), level[inside])
    corner = last.new_tensor([first_column, first_row]).view(2, 1, 1)
    return torch.cat([8 * level + math.log2(FAINTEST), known], dim=1), corner


def outside(field: Tensor, beyond: int) -> Tensor:
    """(1, 1, H + 2·beyond, W + 2·beyond): how many cells the cells of a larger grid lie away from those of a field."""
    y, x = (torch.arange(-beyond, side + beyond, dtype=field.dtype, device=field.device) for side in field.shape[2:])
    dy, dx = (at - at.clamp(0, side - 1) for at, side in zip((y, x), field.shape[2:], strict=True))
    return torch.hypot(dy[:, None], dx[None])[None, None]


def between(minutes: Tensor, leads: Tensor) -> Tensor:
    """Weights of what was learned at some lead times, for others: linear between two, the first or last beyond them.

    Args:
        minutes: (…) lead times.
        leads: (L,) those that were learned, rising.

    Returns:
        (…, L), which add up to 1.
    """
    inside = minutes.clamp(leads[0], leads[-1])
    after = torch.searchsorted(leads, inside.contiguous()).clamp(min=min(1, len(leads) - 1))
    before = (after - 1).clamp(min=0)
    share = (inside - leads[before]) / (leads[after] - leads[before]).clamp(min=torch.finfo(leads.dtype).tiny)
    later = F.one_hot(after, len(leads)) * share[..., None]
    return later + F.one_hot(before, len(leads)) * (1 - share[..., None])


def _level(rain_rate: Tensor) -> Tensor:
    """Rain rate in mm h-1 on a logarithmic scale: 0 = none, 1 = 256 times the faintest."""
    return (rain_rate.clamp(min=FAINTEST) / FAINTEST).log2() / 8


def _before_softplus(values: Tensor) -> Tensor:
    """Whose softplus the positive values are."""
    return values + torch.log(-torch.expm1(-values))
