"""What one window is, to those who train and verify with it."""

from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nowcast.data.windows.settings import Augmentation
from nowcast.units import Spacing


class Sample(TypedDict):
    """One window (of a batch: with a leading B axis)."""

    inputs: Tensor  # (T_in, 1, H, W) float32, mm h-1, NaN = no data
    targets: Tensor  # (T_out, 1, H, W) float32, mm h-1, NaN = no data
    mask: Tensor  # (T_out, 1, H, W) bool, True = observed, and not in an earlier tile of the same window
    init_time: Tensor  # () int64, seconds since 1970 of the last input frame
    archive: Tensor  # () int64, index into the dataset's archives
    step_minutes: NotRequired[Tensor]  # () float32, between two frames; of rain only
    cell_km: NotRequired[Tensor]  # (2,) float32, height and width of a cell; of rain only


def spacing_of(batch: Sample) -> Spacing | None:
    """How far apart frames and cells of a batch are; None where that is not known."""
    if "step_minutes" not in batch or "cell_km" not in batch:
        return None
    return Spacing(batch["step_minutes"], batch["cell_km"])


class Distances(TypedDict):
    """What a sample says of its spacing."""

    step_minutes: Tensor
    cell_km: Tensor


def turn(draw: np.random.Generator, augment: Augmentation, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Arrays (T, H, W), all flipped and turned in the same random way."""
    if augment == "none":
        return arrays
    flip_y, flip_x, turns = draw.integers(0, (2, 2, 4)).tolist()
    axes = tuple(axis for axis, flip in ((1, flip_y), (2, flip_x)) if flip)
    quarter_turns = turns if augment == "flips_rotations" else 0
    return tuple(np.rot90(np.flip(array, axes), quarter_turns, axes=(1, 2)) for array in arrays)
