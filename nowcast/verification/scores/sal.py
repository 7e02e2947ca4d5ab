"""Structure, amplitude and location of rain areas."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.family import Axis, Best

Field = NDArray[np.float64]
COMPONENTS = ("structure", "amplitude", "location")


class StructureAmplitudeLocation:
    """SAL of each frame, averaged over the frames where it is defined.

    A = (D_f - D_o) / ½(D_f + D_o), D the mean rain of a frame; S the same of the rain-weighted scaled volumes of its
    objects, R_n / max(R_n); L = |x_f - x_o| / d + 2|r_f - r_o| / d, x the centre of mass, r the rain-weighted distance
    of the objects from it, d the diagonal of the frame. S and A are in [-2, 2], L in [0, 2], best 0: S > 0 is too
    large or flat, A > 0 too much rain. sal_s, sal_a and sal_l are means; sal_abs_s and sal_abs_a means of |S| and |A|.
    A frame that is dry in forecast or observation has no SAL and is not counted; sal_frames says how many are, and
    models are compared where they are as many. Runs on the CPU, frame by frame.

    Args:
        factor: Objects are connected (by sides) cells with at least factor × the quantile of the frame's rain.
        quantile: Quantile of the frame's rain ≥ wet.
        wet: mm h-1 from which a cell is rain.

    Source: Wernli et al. 2008, doi:10.1175/2008MWR2415.1; threshold of Wernli et al. 2009,
    doi:10.1175/2009WAF2222271.1 (1/15 of the 95th percentile).
    """

    needs: Need = "single"
    frames = "frames"
    axes: dict[str, Axis] = {"component": COMPONENTS}  # noqa: RUF012 (a constant)
    statistics_axes: dict[str, tuple[str, ...]] = {  # noqa: RUF012
        "signed": ("component",), "absolute": ("component",), "frames": (),
    }  # fmt: skip
    best: dict[str, Best] = {  # noqa: RUF012
        "sal_s": "nearest zero", "sal_a": "nearest zero", "sal_l": "lowest", "sal_abs_s": "lowest",
        "sal_abs_a": "lowest", "sal_frames": "none",
    }  # fmt: skip

    def __init__(self, factor: float, quantile: float, wet: float) -> None:
        """Keep the settings."""
        self.factor, self.quantile, self.wet = factor, quantile, wet

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """One number per lead time."""
        return dict.fromkeys(self.best, ())

    def statistics(self, forecast: Tensor, observed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Sums over the channels of S, A and L (B, 3), of their absolute values, and the frames (B,) that have them."""
        pairs = zip(forecast.double().cpu().numpy(), observed.double().cpu().numpy(), strict=True)
        every = np.array([[self.of_frame(f, o) for f, o in zip(*pair, strict=True)] for pair in pairs])  # (B, C, 3)
        values = torch.from_numpy(every)
        return {
            name: part.to(forecast.device)
            for name, part in {
                "signed": values.nan_to_num(0.0).sum(1),
                "absolute": values.nan_to_num(0.0).abs().sum(1),
                "frames": values[..., 0].isfinite().sum(1).double(),
            }.items()
        }

    def of_frame(self, forecast: Field, observed: Field) -> tuple[float, float, float]:
        """S, A and L of one frame (H, W) in mm h-1; NaN where either is dry."""
        if not (forecast >= self.wet).any() or not (observed >= self.wet).any():
            return (np.nan,) * 3
        f, o = _Objects(forecast, self._threshold(forecast)), _Objects(observed, self._threshold(observed))
        diagonal = float(np.hypot(*forecast.shape))
        apart = float(np.hypot(*np.subtract(f.centre, o.centre))) / diagonal
        scatter = 2 * abs(f.scatter - o.scatter) / diagonal
        amplitude = _relative(float(forecast.mean()), float(observed.mean()))
        return _relative(f.volume, o.volume), amplitude, apart + scatter

    def _threshold(self, field: Field) -> float:
        return self.factor * float(np.quantile(field[field >= self.wet], self.quantile))

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means (…)."""
        frames = sums["frames"][..., None]
        s, a, location = (sums["signed"] / frames).unbind(-1)
        absolute = sums["absolute"] / frames
        counted = torch.where(sums["frames"] > 0, sums["frames"], torch.nan)
        return {
            "sal_s": s,
            "sal_a": a,
            "sal_l": location,
            "sal_abs_s": absolute[..., 0],
            "sal_abs_a": absolute[..., 1],
            "sal_frames": counted,
        }


class _Objects:
    """Rain areas of one frame, as SAL describes them."""

    def __init__(self, field: Field, threshold: float) -> None:
        labels, count = ndimage.label(field >= threshold)
        numbers = np.arange(1, count + 1)
        rain: NDArray[Any] = np.asarray(ndimage.sum_labels(field, labels, numbers))
        highest = np.asarray(ndimage.maximum(field, labels, numbers))
        centres = np.asarray(ndimage.center_of_mass(field, labels, numbers))
        self.centre = ndimage.center_of_mass(field)
        self.volume = float((rain * rain / highest).sum() / rain.sum())
        self.scatter = float((rain * np.hypot(*(centres - self.centre).T)).sum() / rain.sum())


def _relative(forecast: float, observed: float) -> float:
    return (forecast - observed) / (0.5 * (forecast + observed))
