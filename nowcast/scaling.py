"""Physical values ↔ the grey values in [0, 1] that networks see; the transform travels in every checkpoint."""

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


class GreyScale(nn.Module):
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

    quantity = "rain_rate"
    constants: Tensor

    def __init__(self, zr_a: float, zr_b: float, min_dbz: float, max_dbz: float) -> None:
        """Check the constants and keep them as a buffer."""
        super().__init__()
        if not min_dbz < max_dbz:
            raise ValueError(f"scaling.min_dbz={min_dbz} must be below scaling.max_dbz={max_dbz}")
        ZR(zr_a, zr_b)
        constants = torch.tensor([zr_a, zr_b, min_dbz, max_dbz], dtype=torch.float64)
        self.register_buffer("constants", constants)
        self.zr = ZR(zr_a, zr_b)
        self.min_dbz, self.max_dbz = min_dbz, max_dbz

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:  # noqa: ANN401
        """Refuse the constants of another scaling, which weights were trained with (torch calls it while loading).

        Raises:
            ValueError: They are others.
        """
        stored = state_dict.get(f"{prefix}constants")
        if stored is not None:
            own = torch.tensor([self.zr.a, self.zr.b, self.min_dbz, self.max_dbz], dtype=torch.float64)
            if not torch.equal(own.to(stored.dtype), stored.cpu()):  # trainer.precision may have rounded them
                names = ("zr_a", "zr_b", "min_dbz", "max_dbz")
                pairs = zip(names, stored.tolist(), own.tolist(), strict=True)
                different = ", ".join(f"scaling.{name}: {old:g} → {new:g}" for name, old, new in pairs if old != new)
                raise ValueError(f"the weights were trained with another scaling than that of the config: {different}")
        super()._load_from_state_dict(state_dict, prefix, *others)

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


Scaling = GreyScale | Brightness
