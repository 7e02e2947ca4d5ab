"""Synthetic radar echoes: a stochastic rain field that moves, turns, grows and decays.

A Gaussian field with a power-law spectrum is split into octave bands; each band is carried along a smooth flow and
follows an AR(2) process whose lifetime shrinks with scale, as in STEPS. The field is thresholded to a wet fraction
and its excess mapped to log-normal rain rates.

Sources: Seed 2003, doi:10.1175/1520-0450(2003)042<0381:ADASSA>2.0.CO;2 (spectral cascade); Bowler et al. 2006,
doi:10.1256/qj.04.100 (STEPS: AR(2) per cascade level, evolved along the motion).
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri

Field = NDArray[Any]  # float32; NumPy's own annotations lose the type in arithmetic
MARGIN = 1.5  # the periodic domain is this much larger than the frame, so that rain enters and leaves over its edge
EDDY_WAVES = 3  # largest wave number of the flow's perturbation


@dataclass(frozen=True)
class SyntheticRain:
    """The generator; `generate` makes one event.

    Args:
        shape: (H, W) cells of a frame, each at least 8.
        frames: Number of frames T, at least 1.
        timestep_minutes: Time between frames.
        cell_km: Side of a cell.
        wet_fraction: Share of cells with rain, in (0, 1), on average over events.
        spectral_slope: β of the power spectrum k^-β at scales below the outer scale, in [1, 5].
        outer_scale_km: Wavelength above which the spectrum is flat.
        decorrelation_minutes: Time after which the correlation along the motion has fallen to 1/e at the outer
            scale.
        decorrelation_exponent: The lifetime of a scale is proportional to scale^exponent, at least 0.
        speed_kmh: (lowest, highest) speed of the mean motion; direction and speed are drawn per event.
        eddy_kmh: Root-mean-square speed of the rotating and shearing part of the flow.
        turn_degrees_per_hour: Turning of the mean motion with time.
        growth_amplitude: Amplitude of growth and decay of the wet area, in logits of the wet fraction.
        growth_minutes: Period of growth and decay.
        median_rate: Median rain rate of wet cells in mm h-1.
        rate_sigma: Standard deviation of the logarithm of wet cells' rain rate.
        max_rate: Largest rain rate in mm h-1; higher values are clipped.

    Raises:
        ValueError: A parameter is outside its range.
    """

    shape: tuple[int, int]
    frames: int
    timestep_minutes: float
    cell_km: float
    wet_fraction: float
    spectral_slope: float
    outer_scale_km: float
    decorrelation_minutes: float
    decorrelation_exponent: float
    speed_kmh: tuple[float, float]
    eddy_kmh: float
    turn_degrees_per_hour: float
    growth_amplitude: float
    growth_minutes: float
    median_rate: float
    rate_sigma: float
    max_rate: float

    def __post_init__(self) -> None:
        """Check every parameter, and keep pairs as tuples so that equal settings have equal text."""
        object.__setattr__(self, "shape", tuple(int(side) for side in self.shape))
        object.__setattr__(self, "speed_kmh", tuple(float(speed) for speed in self.speed_kmh))
        allowed = {
            "shape": (len(self.shape) == 2 and min(self.shape) >= 8, "two sides of at least 8 cells"),
            "frames": (self.frames >= 1, ">= 1"),
            "wet_fraction": (0 < self.wet_fraction < 1, "in (0, 1)"),
            "spectral_slope": (1 <= self.spectral_slope <= 5, "in [1, 5]"),
            "decorrelation_exponent": (self.decorrelation_exponent >= 0, ">= 0"),
            "speed_kmh": (0 <= self.speed_kmh[0] <= self.speed_kmh[-1], "[lowest, highest] >= 0"),
            "eddy_kmh": (self.eddy_kmh >= 0, ">= 0"),
            "growth_amplitude": (self.growth_amplitude >= 0, ">= 0"),
            "rate_sigma": (self.rate_sigma >= 0, ">= 0"),
        }
        for name in (
            "timestep_minutes", "cell_km", "outer_scale_km", "decorrelation_minutes", "growth_minutes",
            "median_rate", "max_rate",
        ):  # fmt: skip
            allowed[name] = (getattr(self, name) > 0, "> 0")
        for name, (good, rule) in allowed.items():
            if not good:
                raise ValueError(f"synthetic rain: {name} must be {rule}, got {getattr(self, name)}")

    def generate(self, seed: int) -> Field:
        """One event: (T, H, W) rain rate in mm h-1, without NaN; the same for the same settings and seed."""
        gaussian = self.gaussian(seed)
        draw = np.random.default_rng((seed, 1))
        phase = draw.uniform(0, 2 * np.pi)
        minutes = np.arange(self.frames) * self.timestep_minutes
        growth = self.growth_amplitude * np.sin(2 * np.pi * minutes / self.growth_minutes + phase)
        wet = expit(logit(self.wet_fraction) + growth)[:, None, None]  # (T, 1, 1)
        return self._rain_rate(gaussian, wet)

    def _rain_rate(self, gaussian: Field, wet: NDArray[np.float64]) -> Field:
        """Log-normal rain rate where the field exceeds the level that a share `wet` of it exceeds."""
        # Of the wet cells, the share that is wetter still: 1 at the rim of the rain, 0 in its heart.
        share = ndtr(-gaussian.astype(np.float64)) / wet
        rain = share < 1
        rate = np.zeros(gaussian.shape)
        rate[rain] = self.median_rate * np.exp(self.rate_sigma * ndtri(1 - share[rain]))
        return np.minimum(rate, self.max_rate).astype(np.float32)

    def gaussian(self, seed: int) -> Field:
        """(T, H, W) the Gaussian field behind the rain, with mean 0 and variance 1 over many events."""
        draw = np.random.default_rng((seed, 0))
        size = [next_fast_len(int(side * MARGIN), real=True) for side in self.shape]
        filters = self.band_filters((size[0], size[1]))
        deviations = [_deviation(band, size[1]) for band in filters]
        total = float(np.sqrt(np.sum(np.square(deviations))))
        models = [self._autoregression(scale) for scale in self.band_scales_km((size[0], size[1]))]
        bands = [
            _Band(model, band / total, draw, (size[0], size[1])) for model, band in zip(models, filters, strict=True)
        ]
        flow = self._flow(draw, (size[0], size[1]))
        result = np.empty((self.frames, *self.shape), dtype=np.float32)
        for frame in range(self.frames):
            if frame:
                path = self._departure(flow, frame)
                for band in bands:
                    band.advance(draw, path)
            result[frame] = sum(band.now for band in bands)[: self.shape[0], : self.shape[1]]  # type: ignore[index]
        return result

    # -- spectrum and lifetimes ------------------------------------------------------------------------------

    def band_scales_km(self, size: tuple[int, int]) -> list[float]:
        """Central wavelength of each octave band, from the domain's size down to two cells."""
        largest = max(size) * self.cell_km
        count = max(1, round(np.log2(largest / (2 * self.cell_km))))
        return [largest / 2**band for band in range(count + 1)]

    def band_filters(self, size: tuple[int, int]) -> list[NDArray[np.float64]]:
        """Spectral amplitude of each band on the half plane of `rfft2`; their squares add up to the spectrum."""
        frequency = np.hypot(
            np.fft.fftfreq(size[0], self.cell_km)[:, None], np.fft.rfftfreq(size[1], self.cell_km)[None]
        )  # cycles per km
        power = (1 + (frequency * self.outer_scale_km) ** 2) ** (-self.spectral_slope / 2)
        power[0, 0] = 0
        octave = np.log2(np.maximum(frequency, 1e-12) * max(size) * self.cell_km)  # 0 at the largest scale
        count = len(self.band_scales_km(size))
        octave = np.clip(octave, 0, count - 1)
        # Neighbouring bands overlap with cos² and sin², which add up to one.
        weights = [np.cos(np.pi / 2 * np.clip(octave - band, -1, 1)) ** 2 for band in range(count)]
        return [np.sqrt(power * weight) for weight in weights]

    def _autoregression(self, scale_km: float) -> tuple[float, float, float]:
        """φ1, φ2 and the noise's deviation of the AR(2) process of a scale, with variance 1.

        Critically damped (φ1 = 2r, φ2 = -r²), so that the field changes smoothly, as echoes do. Its correlation at
        lag k is ρ(k) = (1 + k·(1-r²)/(1+r²))·r^k, from the Yule-Walker equations; r is such that ρ is 1/e at the
        scale's lifetime.
        """
        lifetime = self.decorrelation_minutes * min(scale_km / self.outer_scale_km, 1) ** self.decorrelation_exponent
        lag = lifetime / self.timestep_minutes

        def correlation(root: float, steps: float) -> float:
            return float((1 + steps * (1 - root**2) / (1 + root**2)) * root**steps)

        root = float(brentq(lambda r: correlation(r, lag) - np.exp(-1), 0, 1))
        phi1, phi2 = 2 * root, -(root**2)
        noise = 1 - phi1 * correlation(root, 1) - phi2 * correlation(root, 2)
        return phi1, phi2, float(np.sqrt(max(noise, 0)))

    # -- motion ----------------------------------------------------------------------------------------------

    def _flow(self, draw: np.random.Generator, size: tuple[int, int]) -> tuple[float, float, Field]:
        """Speed (km/h), direction (rad) and the divergence-free perturbation (2, H, W) in km/h as (v, u)."""
        speed, direction = draw.uniform(*self.speed_kmh), draw.uniform(0, 2 * np.pi)
        y, x = np.meshgrid(*(np.arange(side) / side for side in size), indexing="ij")
        eddies = np.zeros((2, *size))
        for wave_y in range(-EDDY_WAVES, EDDY_WAVES + 1):
            for wave_x in range(EDDY_WAVES + 1):
                length = np.hypot(wave_y, wave_x)
                amplitude, phase = draw.normal(), draw.uniform(0, 2 * np.pi)
                if 0 < length <= EDDY_WAVES:
                    # From a stream function of amplitude 1/length²: large eddies are the strong ones.
                    slope = np.cos(2 * np.pi * (wave_y * y + wave_x * x) + phase) * amplitude / length**2
                    eddies += np.stack([-wave_x / size[1] * slope, wave_y / size[0] * slope])
        eddies *= self.eddy_kmh / max(float(np.sqrt(np.mean(eddies**2) * 2)), 1e-12)
        return float(speed), float(direction), eddies.astype(np.float32)

    def _departure(self, flow: tuple[float, float, Field], frame: int) -> tuple[Field, Field]:
        """(x, y) in cells where the air of each cell was a time step ago; rows count downwards."""
        speed, direction, eddies = flow
        hours = self.timestep_minutes / 60
        direction = direction + np.deg2rad(self.turn_degrees_per_hour) * hours * (frame - 0.5)
        cells = hours / self.cell_km
        rows, columns = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in eddies.shape[1:]), indexing="ij")
        back_x, back_y = columns, rows
        for _ in range(3):  # mid-point of the trajectory by fixed-point iteration
            middle_x, middle_y = (columns + back_x) / 2, (rows + back_y) / 2
            v, u = (_sample(component, middle_x, middle_y) for component in eddies)
            back_x = (columns - (speed * np.cos(direction) + u) * cells).astype(np.float32)
            back_y = (rows - (speed * np.sin(direction) + v) * cells).astype(np.float32)
        return back_x, back_y


class _Band:
    """One octave of the field: its last two states, carried along the motion."""

    def __init__(
        self,
        model: tuple[float, float, float],
        amplitude: NDArray[np.float64],
        draw: np.random.Generator,
        size: tuple[int, int],
    ) -> None:
        self.phi1, self.phi2, self.noise = model
        self.amplitude, self.size = amplitude, size
        # A stationary start: correlation ρ1 = φ1 / (1 - φ2) between the two states.
        first = self.phi1 / (1 - self.phi2)
        self.before = self._innovation(draw)
        self.now = np.float32(first) * self.before + np.float32(np.sqrt(max(1 - first**2, 0))) * self._innovation(draw)

    def _innovation(self, draw: np.random.Generator) -> Field:
        noise = draw.standard_normal(self.size, dtype=np.float32)
        return np.asarray(irfft2(rfft2(noise) * self.amplitude, s=self.size), dtype=np.float32)

    def advance(self, draw: np.random.Generator, path: tuple[Field, Field]) -> None:
        """One time step: carry both states along, then the AR(2) update."""
        now, before = _carry(self.now, path), _carry(self.before, path)
        self.before = now
        self.now = self.phi1 * now + self.phi2 * before + self.noise * self._innovation(draw)


def _carry(field: Field, path: tuple[Field, Field]) -> Field:
    """The field moved along; interpolation smooths, so its variance is restored."""
    moved = _sample(field, *path)
    return moved * np.float32(field.std() / max(float(moved.std()), 1e-12))


def _sample(field: Field, x: Field, y: Field) -> Field:
    """Cubic interpolation on the periodic domain."""
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP))


def _deviation(amplitude: NDArray[np.float64], columns: int) -> float:
    """Standard deviation of a field made from white noise of variance 1 by this filter of the half plane."""
    power = amplitude**2
    doubled = power[:, 1 : (columns + 1) // 2].sum()  # conjugate columns are not stored
    cells = power.shape[0] * columns
    return float(np.sqrt((power.sum() + doubled) / cells))
