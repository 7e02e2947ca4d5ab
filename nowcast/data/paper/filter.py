"""The radar pipeline of Shi et al. 2015, step by step: crop, disk filter, resize, clutter mask.

The paper gives order and sizes. What it does not give is chosen here, and docs/protocol.md lists it: the filter
continues the border cell beyond the edge; resizing is by area; clutter is found as `clutter_mask` says.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

Field = NDArray[Any]  # float32; NumPy's own annotations lose the type in arithmetic


@dataclass(frozen=True)
class PaperFilter:
    """Crop, disk filter and resize of one frame.

    Args:
        crop: Side of the central square in cells.
        disk_radius: Radius of the disk filter in cells; 0 = no filter.
        size: Side of the result in cells.

    Raises:
        ValueError: A size below 1, or a result larger than the crop.
    """

    crop: int
    disk_radius: float
    size: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not (1 <= self.size <= self.crop and self.disk_radius >= 0):
            raise ValueError(
                f"the paper's pipeline needs 1 <= size <= crop and disk_radius >= 0, got size={self.size}, "
                f"crop={self.crop}, disk_radius={self.disk_radius}"
            )

    def __call__(self, grey: Field) -> Field:
        """Filter one frame.

        Args:
            grey: (H, W) float32 in [0, 1]; NaN = no data.

        Returns:
            (size, size) float32 in [0, 1]. No data has no part in the means; a cell most of which is no data is NaN.

        Raises:
            ValueError: The frame is smaller than the crop.
        """
        height, width = grey.shape
        if min(height, width) < self.crop:
            raise ValueError(
                f"a frame of {height}x{width} cells is smaller than data.archives.crop={self.crop}; give "
                f"data.archives.crop={min(height, width)} or less, and data.archives.size no larger than that"
            )
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        cropped = grey[top : top + self.crop, left : left + self.crop]
        valid = np.isfinite(cropped)
        if valid.all():
            return self._smooth(cropped)
        known = self._smooth(valid.astype(np.float32))
        mean = self._smooth(np.where(valid, cropped, np.float32(0))) / np.maximum(known, 1e-6)
        return np.where(known >= 0.5, mean.clip(0, 1), np.float32(np.nan)).astype(np.float32)

    def _smooth(self, field: Field) -> Field:
        if self.disk_radius > 0:
            field = cv2.filter2D(field, cv2.CV_32F, disk_kernel(self.disk_radius), borderType=cv2.BORDER_REPLICATE)
        resized = cv2.resize(field, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(resized).clip(0, 1)  # filtering by Fourier transform leaves -1e-8


def disk_kernel(radius: float) -> Field:
    """Mean over a disk: weights are the area of each cell inside the circle.

    Args:
        radius: In cells, > 0.

    Returns:
        (2n+1, 2n+1) float32 that sums to 1, n = ceil(radius - 0.5): MATLAB's fspecial("disk", radius).
    """
    n = int(np.ceil(radius - 0.5))
    edges = np.arange(-n, n + 2) - 0.5  # (2n+2,)
    corner = _area_to(edges[:, None], edges[None, :], radius)
    area = np.maximum(corner[1:, 1:] - corner[:-1, 1:] - corner[1:, :-1] + corner[:-1, :-1], 0)  # not -1e-14
    return np.asarray(area / area.sum(), dtype=np.float32)


def _area_to(y: Field, x: Field, radius: float) -> Field:
    """Area of the circle within the rectangle from the centre to (x, y), negative where one of them is."""
    side_x, side_y = np.minimum(np.abs(x), radius), np.minimum(np.abs(y), radius)
    # The rectangle's upper edge leaves the circle at x = turn; beyond it the circle itself is the upper edge.
    turn = np.minimum(np.sqrt(radius**2 - side_y**2), side_x)
    area = side_y * turn + _under_arc(side_x, radius) - _under_arc(turn, radius)
    return np.asarray(np.sign(x) * np.sign(y) * area)


def _under_arc(x: Field, radius: float) -> Field:
    """∫ sqrt(r² - t²) dt from 0 to x, 0 ≤ x ≤ r."""
    chord, angle = np.sqrt(np.maximum(radius**2 - x**2, 0)), np.arcsin(np.minimum(x / radius, 1))
    return np.asarray((x * chord + radius**2 * angle) / 2)


def clutter_mask(monthly_mean: Field, clusters: int, largest_share: float) -> NDArray[np.bool_]:
    """Cells whose monthly mean grey value stands out: ground clutter and other fixed noise.

    K-means groups the cells by their means of all months. The brightest group is clutter, unless it holds more than
    `largest_share` of the cells: then it is weather. The paper names K-means on the monthly mean and no more. A month
    in which a cell has no data counts as the mean of its other months; cells that never have any are in no group.

    Args:
        monthly_mean: (months, H, W) grey; NaN = no data.
        clusters: Number of groups K.
        largest_share: Largest share of the cells with data that can be clutter.

    Returns:
        (H, W) bool, True = clutter.
    """
    mask = np.zeros(monthly_mean.shape[1:], dtype=np.bool_)
    seen = np.isfinite(monthly_mean).any(axis=0)  # (H, W)
    if not seen.any():
        return mask
    cells = monthly_mean[:, seen].T.astype(np.float64).round(9)  # (cells, months); no groups of what was rounded
    brightness = np.nanmean(cells, axis=1).round(9)
    cells = np.where(np.isnan(cells), brightness[:, None], cells)
    # The groups start evenly spread over the range of brightness: no random start, the same mask every time.
    wanted = np.linspace(brightness.min(), brightness.max(), clusters)
    starts = np.unique(np.abs(brightness[:, None] - wanted).argmin(axis=0))
    if len(starts) < 2:
        return mask
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")  # then there are fewer groups
        centres, group = kmeans2(cells, cells[starts], minit="matrix", missing="warn")
    groups = np.unique(group)
    brightest = group == groups[centres[groups].mean(axis=1).argmax()]
    if brightest.mean() <= largest_share:
        mask[seen] = brightest
    return mask
