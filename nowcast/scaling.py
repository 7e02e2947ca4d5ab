"""Physical values ↔ the grey values in [0, 1] that networks see; the transform travels in every checkpoint."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from nowcast.units import ZR


class Brightness(nn.Module):
    """For pictures that are grey values already, such as Moving-MNIST."""

    quantity = "brightness"

    def to_grey(self, brightness: Tensor) -> Tensor:
        """The same values, in [0, 1]."""
        return brightness

    def from_grey(self, grey: Tensor) -> Tensor:
        """The same values."""
        return grey


class _RainScale(nn.Module):
    """Rain rate ↔ grey value by constants, which travel in the state: weights that saw others are refused."""

    quantity = "rain_rate"
    constants: Tensor

    def __init__(self, **constants: float) -> None:
        """Keep the constants as a buffer."""
        super().__init__()
        self.own = constants  # the buffer may be rounded
        self.register_buffer("constants", torch.tensor(list(constants.values()), dtype=torch.float64))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:  # noqa: ANN401
        """Refuse the constants of another scaling, which weights were trained with (torch calls it while loading).

        Raises:
            ValueError: They are others.
        """
        stored = state_dict.get(f"{prefix}constants")
        own = torch.tensor(list(self.own.values()), dtype=torch.float64)
        if stored is not None and stored.shape != own.shape:
            raise ValueError(f"the weights were trained with another scaling than {type(self).__name__} of the config")
        if stored is not None and not torch.equal(
            own.to(stored.dtype), stored.cpu()
        ):  # precision may have rounded them
            pairs = zip(self.own, stored.tolist(), own.tolist(), strict=True)
            different = ", ".join(f"scaling.{name}: {old:g} → {new:g}" for name, old, new in pairs if old != new)
            raise ValueError(f"the weights were trained with another scaling than that of the config: {different}")
        super()._load_from_state_dict(state_dict, prefix, *others)


class GreyScale(_RainScale):
    """Grey value P = (dBZ - min_dbz) / (max_dbz - min_dbz), clipped to [0, 1], with dBZ from Z = a·R^b.

    Args:
        zr_a: Factor a of the Z-R relation.
        zr_b: Exponent b.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.

    Raises:
        ValueError: An empty range or an impossible Z-R relation.

    Source: Shi et al. 2015 (min-max scaling of the logarithmic radar map, -10 to 60 dBZ).
    """

    def __init__(self, zr_a: float, zr_b: float, min_dbz: float, max_dbz: float) -> None:
        """Check the constants."""
        if not min_dbz < max_dbz:
            raise ValueError(f"scaling.min_dbz={min_dbz} must be below scaling.max_dbz={max_dbz}")
        ZR(zr_a, zr_b)
        super().__init__(zr_a=zr_a, zr_b=zr_b, min_dbz=min_dbz, max_dbz=max_dbz)
        self.zr = ZR(zr_a, zr_b)
        self.min_dbz, self.max_dbz = min_dbz, max_dbz

    def to_dbz(self, grey: Tensor) -> Tensor:
        """Reflectivity in dBZ of a grey value; grey 0 is min_dbz."""
        return grey * (self.max_dbz - self.min_dbz) + self.min_dbz

    def to_grey(self, rain_rate: Tensor) -> Tensor:
        """Grey in [0, 1] of a rain rate in mm h-1; 0 mm h-1 → 0, NaN stays NaN."""
        grey = (self.zr.reflectivity(rain_rate) - self.min_dbz) / (self.max_dbz - self.min_dbz)
        return grey.clamp(0.0, 1.0)

    def from_grey(self, grey: Tensor) -> Tensor:
        """Rain rate in mm h-1 of a grey value; grey 0 and below → 0 mm h-1 (no rain), NaN stays NaN."""
        rate = self.zr.rain_rate(self.to_dbz(grey))
        return torch.where(grey <= 0, torch.zeros_like(rate), rate)


class LogAmount(_RainScale):
    """Grey value P = ln(1 + x / offset) / ln(1 + top / offset), clipped to [0, 1], of what falls in a while, x.

    A linear function of ln(x + offset): 0 where nothing falls.

    Args:
        minutes: The while.
        offset: mm that are added.
        largest: Rain rate in mm h-1 of grey 1; `top` is what falls at this rate.

    Raises:
        ValueError: A number that is not above 0.

    Source: Ayzel et al. 2020, doi:10.5194/gmd-13-2631-2020: ln(x + 0.01), x in mm per 5 minutes.
    """

    def __init__(self, minutes: float, offset: float, largest: float) -> None:
        """Check the constants."""
        if min(minutes, offset, largest) <= 0:
            raise ValueError(
                f"scaling.minutes, scaling.offset and scaling.largest must be above 0, got {minutes}, {offset}, "
                f"{largest}"
            )
        super().__init__(minutes=minutes, offset=offset, largest=largest)
        self.hours, self.offset = minutes / 60, offset
        self.range = math.log1p(largest * self.hours / offset)  # of ln(x + offset)

    def to_grey(self, rain_rate: Tensor) -> Tensor:
        """Grey in [0, 1] of a rain rate in mm h-1; NaN stays NaN."""
        return ((rain_rate * (self.hours / self.offset)).log1p() / self.range).clamp(0.0, 1.0)

    def from_grey(self, grey: Tensor) -> Tensor:
        """Rain rate in mm h-1 of a grey value; grey 0 and below → 0 mm h-1, NaN stays NaN."""
        return (grey.clamp(min=0.0) * self.range).expm1() * (self.offset / self.hours)


Scaling = GreyScale | LogAmount | Brightness
