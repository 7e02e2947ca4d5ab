"""Lagrangian extrapolation: dense optical flow of the last frames, then backward semi-Lagrangian advection."""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Field = NDArray[Any]  # float32; NumPy's own annotations lose the type in arithmetic
DRIEST, WETTEST = 0.1, 60.0  # mm h-1 that become 1 and 255 in the pictures the flow is computed from
FAINT = 1e-3  # weight of rain below which a cell takes the mean motion of the whole field


class Extrapolation(nn.Module):
    """Moves the last frame along the motion of the last frames, with neither growth nor decay.

    The flow between successive frames is found by dense inverse search on the logarithm of the rain rate, averaged
    over the last pairs, and spread from where it rains into where it does not: rain is advected into dry areas with
    the motion that it brings along. Every forecast frame is one interpolation of the last observation at the
    origin of its trajectory, so that nothing is smoothed twice.

    Args:
        pairs: Pairs of successive frames over which the flow is averaged.
        smoothing_cells: Standard deviation in cells of the Gaussian that smooths and spreads the flow.

    Raises:
        ValueError: A setting is out of its range.

    Source: Kroeger et al. 2016, arXiv:1603.03590 (DIS flow, OpenCV); Germann and Zawadzki 2002,
    doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2 (backward semi-Lagrangian advection).
    """

    needs_training = False
    reference = (
        "Kroeger et al. 2016, arXiv:1603.03590; "
        "Germann and Zawadzki 2002, doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2"
    )

    def __init__(self, pairs: int, smoothing_cells: float) -> None:
        """Keep the settings."""
        super().__init__()
        if pairs < 1 or smoothing_cells <= 0:
            raise ValueError(f"extrapolation needs pairs >= 1 and smoothing_cells > 0, got {pairs}, {smoothing_cells}")
        self.pairs, self.smoothing_cells = pairs, smoothing_cells

    @property
    def input_steps(self) -> int:
        """Frames that it looks at."""
        return self.pairs + 1

    def forward(self, rain_rate: Tensor, forecast_steps: int) -> Tensor:
        """Extrapolate every channel of every sequence.

        Args:
            rain_rate: (B, T_in, C, H, W) mm h-1, T_in at least 2, NaN = no data.
            forecast_steps: Frames to predict.

        Returns:
            (B, forecast_steps, C, H, W) mm h-1 on the input's device; NaN where the trajectory comes from outside
            the frame or from a cell without data. Dry in, dry out.

        Raises:
            ValueError: Fewer than two input frames.
        """
        if rain_rate.shape[1] < 2:
            raise ValueError(f"extrapolation needs at least 2 input frames, got {rain_rate.shape[1]}")
        frames = rain_rate.detach().cpu().float().numpy()
        sequences = frames.transpose(0, 2, 1, 3, 4).reshape(-1, frames.shape[1], *frames.shape[3:])
        forecasts = [advect(frames[-1], self.flow(frames), forecast_steps) for frames in sequences]
        stacked = torch.from_numpy(np.stack(forecasts)).to(rain_rate.device)
        batch, channels = rain_rate.shape[0], rain_rate.shape[2]
        return stacked.view(batch, channels, forecast_steps, *rain_rate.shape[3:]).transpose(1, 2)

    def flow(self, frames: Field) -> Field:
        """Motion of the last frames.

        Args:
            frames: (T, H, W) mm h-1, NaN = no data.

        Returns:
            (2, H, W) displacement (x, y) in cells per time step, y downwards; zero where there never was rain.
        """
        pictures = [_picture(frame) for frame in frames[-self.pairs - 1 :]]
        motion = np.zeros((*pictures[0].shape, 2), dtype=np.float32)
        weight = np.zeros(pictures[0].shape, dtype=np.float32)
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        for before, after in pairwise(pictures):
            if not (before.any() and after.any()):
                continue
            rain = before.astype(np.float32) / 255
            motion += rain[..., None] * estimator.calc(before, after, np.zeros_like(motion))
            weight += rain
        if not weight.any():
            return np.zeros((2, *weight.shape), dtype=np.float32)
        mean = motion.sum(axis=(0, 1)) / weight.sum()
        spread = [self._spread(plane) for plane in (motion[..., 0], motion[..., 1], weight)]
        return np.stack([(spread[axis] + FAINT * mean[axis]) / (spread[2] + FAINT) for axis in (0, 1)])

    def _spread(self, plane: Field) -> Field:
        # At a border the motion continues as it is inside.
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), self.smoothing_cells, borderType=cv2.BORDER_REPLICATE))


def _picture(rain_rate: Field) -> NDArray[np.uint8]:
    """Rain rate on a logarithmic scale as 8-bit picture; no rain and no data are black."""
    rate = np.clip(np.nan_to_num(rain_rate), 0, WETTEST)
    level = np.log(np.maximum(rate, DRIEST) / DRIEST) / np.log(WETTEST / DRIEST)
    return np.where(rate >= DRIEST, 1 + 254 * level, 0).astype(np.uint8)


def advect(last: Field, flow: Field, steps: int) -> Field:
    """Move a frame along a steady flow.

    Args:
        last: (H, W) mm h-1, NaN = no data.
        flow: (2, H, W) displacement (x, y) in cells per step.
        steps: Number of steps.

    Returns:
        (steps, H, W) mm h-1; NaN from outside the frame or from cells without data.
    """
    height, width = last.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    filled, valid = np.nan_to_num(last), np.isfinite(last).astype(np.float32)
    x, y = columns, rows
    result = np.empty((steps, height, width), dtype=np.float32)
    for step in range(steps):
        half_x, half_y = (_sample(component, x, y, cv2.BORDER_REPLICATE) / 2 for component in flow)
        u, v = (_sample(component, x - half_x, y - half_y, cv2.BORDER_REPLICATE) for component in flow)
        x, y = x - u, y - v
        moved = _sample(filled, x, y, cv2.BORDER_CONSTANT)
        known = _sample(valid, x, y, cv2.BORDER_CONSTANT)
        # A cell is known when most of what it is interpolated from is; its value is the mean of the known part.
        result[step] = np.where(known > 0.5, moved / np.maximum(known, 0.5), np.nan)
    return result


def _sample(field: Field, x: Field, y: Field, border: int) -> Field:
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=border))
