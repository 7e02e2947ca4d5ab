"""Scores of neighbourhoods and of scales: fractions skill score and power spectra."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from nowcast.forecasting.forecast import Need
from nowcast.verification.scores.boxes import Counted, Places, count_windows
from nowcast.verification.scores.family import Axis, Best, in_order

Border = Literal["zero", "inside"]


class Fractions:
    """Fractions skill score: 1 - Σ(pf - po)² / (Σpf² + Σpo²), p the share of events in a square window.

    Sums run over all windows of all frames before the ratio is taken. In [0, 1], best 1; NaN without any event.

    Args:
        thresholds: K rain rates in mm h-1, rising; an event is rate >= threshold.
        windows: Sides of the windows in cells, rising; for border=zero odd, centred on each cell.
        border: "zero": a window at every cell, and what lies outside the frame is dry (as pysteps and many packages
            do); "inside": only windows that lie wholly inside the frame (as Roberts and Lean's and `scores` do).
            Cells that do not count are treated as what lies outside the frame.

    Raises:
        ValueError: Thresholds or windows do not rise, an even window with border=zero, or an unknown border.

    Source: Roberts and Lean 2008, doi:10.1175/2007MWR2123.1, eqs. 5 to 7.
    """

    needs: Need = "single"

    def __init__(self, thresholds: Sequence[float], windows: Sequence[int], border: Border) -> None:
        """Keep the settings."""
        self.thresholds = in_order(tuple(thresholds), "verification.thresholds")
        self.windows = in_order(tuple(windows), "windows")
        if border not in ("zero", "inside"):
            raise ValueError(f"border must be zero or inside, got {border!r}")
        if self.windows[0] < 1 or (border == "zero" and any(window % 2 == 0 for window in windows)):
            raise ValueError(f"windows must be at least 1 cell and, with border=zero, odd; got {list(windows)}")
        self.border = border

    @property
    def axes(self) -> dict[str, Axis]:
        """Thresholds in mm h-1, windows in cells."""
        return {"threshold": self.thresholds, "window": self.windows, "fraction_sum": ("error", "worst")}

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Σ(pf-po)² and Σpf² + Σpo²: (K, W, 2)."""
        return {"fractions": ("threshold", "window", "fraction_sum")}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """By threshold and window."""
        return {"fss": ("threshold", "window")}

    @property
    def best(self) -> dict[str, Best]:
        """Which values are good."""
        return {"fss": "highest"}

    def of_observed(self, observed: Tensor, mask: Tensor) -> Counted:
        """Counts of events, and their squares' sums."""
        thresholds: list[float] = torch.tensor(self.thresholds, dtype=observed.dtype).tolist()
        windows = tuple(int(window) for window in self.windows)
        return count_windows(observed, mask, Places(tuple(thresholds), windows, self.border == "zero"))

    def statistics(
        self, forecast: Tensor, observed: Tensor, mask: Tensor, seen: Counted | None = None
    ) -> dict[str, Tensor]:
        """Sums (B, K, W, 2) of each sample."""
        seen = self.of_observed(observed, mask) if seen is None else seen
        squares, products = seen.with_forecast(forecast)
        worst = squares + seen.squares
        areas = torch.tensor([float(window) ** 4 for window in self.windows], dtype=torch.float64, device=mask.device)
        return {"fractions": torch.stack([worst - 2 * products, worst], dim=-1) / areas[:, None]}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, K, W)."""
        error, worst = sums["fractions"].unbind(-1)
        return {"fss": 1 - error / worst}


class Spectrum:
    """Radially averaged power spectral density of rain rate, by bands of wavelength.

    power = |FFT|² / cells, averaged over the Fourier coefficients of a band and over frames (mm2 h-2); of an ensemble,
    the mean over members. spectral_ratio = forecast / observed power: below 1 at short waves, a forecast is blurred.
    Cells that do not count are 0 in both fields.

    Args:
        wavelengths: Edges of the bands in cells, rising, at least 2; a band holds its lower edge.

    Raises:
        ValueError: Fewer than two edges, or edges that do not rise from 2 or more.

    Source: Ruzanski and Chandrasekar 2011, doi:10.1175/2011JAS3642.1 (radial average); Ravuri et al. 2021,
    doi:10.1038/s41586-021-03854-z (as a score of nowcasts).
    """

    needs: Need = "members"

    def __init__(self, wavelengths: Sequence[float]) -> None:
        """Keep the edges."""
        self.edges = in_order(tuple(wavelengths), "wavelengths")
        if len(self.edges) < 2 or self.edges[0] < 2:
            raise ValueError(f"wavelengths must be two edges or more, from 2 cells, got {list(wavelengths)}")
        self._weights: dict[tuple[int, int], Tensor] = {}

    @property
    def axes(self) -> dict[str, Axis]:
        """Bands by the geometric mean of their edges in cells."""
        middles = tuple(math.sqrt(low * high) for low, high in zip(self.edges[:-1], self.edges[1:], strict=True))
        return {"wavelength": middles, "field": ("forecast", "observed")}

    @property
    def statistics_axes(self) -> dict[str, tuple[str, ...]]:
        """Power summed over coefficients, and how many there were."""
        return {"power": ("field", "wavelength"), "coefficients": ("wavelength",)}

    @property
    def score_axes(self) -> dict[str, tuple[str, ...]]:
        """By band."""
        return dict.fromkeys(self.best, ("wavelength",))

    @property
    def best(self) -> dict[str, Best]:
        """The ratio is good near one."""
        return {"spectral_ratio": "nearest one", "rapsd_forecast": "none", "rapsd_observed": "none"}

    def of_observed(self, observed: Tensor, mask: Tensor) -> Tensor:
        """Power (B, bands)."""
        weights = self._band_weights(observed.shape[-2], observed.shape[-1]).to(observed.device)
        mean: Tensor = (power(observed) @ weights).mean(dim=1)
        return mean

    def statistics(
        self, forecast: Tensor, observed: Tensor, mask: Tensor, seen: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Power (B, 2, bands) and coefficients (B, bands); none of a frame without any cell."""
        weights = self._band_weights(forecast.shape[-2], forecast.shape[-1]).to(forecast.device)
        counts = mask.flatten(1).any(1).double()[:, None]
        forecasts = (power(forecast) @ weights).mean(dim=(1, 2))  # (B, M, C, bands) → (B, bands)
        truth = self.of_observed(observed, mask) if seen is None else seen
        return {
            "power": torch.stack([forecasts, truth], dim=1).double(),
            "coefficients": weights.sum(0).double() * counts,
        }

    def _band_weights(self, height: int, width: int) -> Tensor:
        """(coefficients, bands) float32: how often a coefficient of the half plane belongs to a band."""
        if (height, width) not in self._weights:
            frequency = radial_frequency(height, width).flatten()
            # Rising frequency is falling wavelength; the tolerance keeps 1/2 in the band that begins at 2 cells.
            bands = torch.tensor([1 / edge for edge in self.edges], dtype=torch.float64)
            band = (frequency[:, None] <= bands[:-1] * (1 + 1e-9)) & (frequency[:, None] > bands[1:] * (1 + 1e-9))
            self._weights[height, width] = (band * half_plane(height, width).flatten()[:, None]).float()
        return self._weights[height, width]

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (…, bands); NaN where no coefficient lies in a band or nothing was observed."""
        forecast, observed = sums["power"].unbind(-2)
        return {
            "spectral_ratio": torch.where(observed > 0, forecast / observed, torch.nan),
            "rapsd_forecast": forecast / sums["coefficients"],
            "rapsd_observed": observed / sums["coefficients"],
        }


def power(fields: Tensor) -> Tensor:
    """Power of real fields (…, H, W) in the half plane of rfft2, flattened: (…, H·(W//2+1))."""
    spectrum: Tensor = torch.fft.rfft2(fields)
    return (spectrum.real.square() + spectrum.imag.square()).flatten(-2) / (fields.shape[-1] * fields.shape[-2])


def radial_frequency(height: int, width: int) -> Tensor:
    """(H, W//2+1) float64 cycles per cell of rfft2's coefficients."""
    return torch.hypot(
        torch.fft.fftfreq(height, dtype=torch.float64)[:, None], torch.fft.rfftfreq(width, dtype=torch.float64)
    )


def half_plane(height: int, width: int) -> Tensor:
    """(H, W//2+1): how many coefficients of the whole plane each of rfft2's stands for."""
    times = torch.full((height, width // 2 + 1), 2.0)
    times[:, 0] = 1
    if width % 2 == 0:
        times[:, -1] = 1
    return times
