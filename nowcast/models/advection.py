"""Semi-Lagrangian advection in PyTorch: differentiable, in cells, without a value where nothing is known."""

import torch
import torch.nn.functional as F
from torch import Tensor


def departures(motion: Tensor, steps: int) -> Tensor:
    """Where the air over each cell comes from: displacements back along a steady motion.

    Args:
        motion: (B, 2, H, W) displacement (x, y) in cells per step, y downwards; finite.
        steps: How many steps back, at least 1.

    Returns:
        (B, steps, 2, H, W) displacement in cells from a cell to where it was 1, 2, … steps before.

    The motion at a border continues as it is there. Each step is one of the midpoint rule.
    Source: Germann and Zawadzki 2002, doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2.
    """
    total, found = torch.zeros_like(motion), []
    for _ in range(steps):
        half = sample(motion, total, beyond="border") / 2
        total = total - sample(motion, total - half, beyond="border")
        found.append(total)
    return torch.stack(found, dim=1)


def move(field: Tensor, valid: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Fields at the cells that a displacement leads to.

    Args:
        field: (B, C, H, W); what stands where nothing is known does not matter.
        valid: (B, 1, H, W) in [0, 1], how much of a cell is known.
        displacement: (B, …, 2, H, W) (x, y) in cells.

    Returns:
        The fields (B, C, …, H, W), each cell the mean of the known part of the four that it lies between, and how much
        of these is known, (B, 1, …, H, W); outside the grid nothing is.
    """
    told = torch.where(valid > 0, field, torch.zeros_like(field)) * valid
    found = sample(torch.cat([told, valid], dim=1), displacement, beyond="nothing")
    moved, known = found[:, :-1], found[:, -1:]
    return moved / known.clamp(min=torch.finfo(known.dtype).eps), known


def sample(field: Tensor, displacement: Tensor, *, beyond: str) -> Tensor:
    """Bilinear interpolation at displaced cells; exact where the displacement is of whole cells.

    Args:
        field: (B, C, H, W), finite.
        displacement: (B, …, 2, H', W') (x, y) in cells, from the cells of an equal or larger grid with the same corner;
            each of several (…) is of the same field.
        beyond: What lies outside the field: its "border", continued, or "nothing" (0).

    Returns:
        (B, C, …, H', W').
    """
    height, width = field.shape[2:]
    rows = torch.arange(displacement.shape[-2], dtype=displacement.dtype, device=displacement.device)[:, None]
    columns = torch.arange(displacement.shape[-1], dtype=displacement.dtype, device=displacement.device)
    x, y = columns + displacement[..., 0, :, :], rows + displacement[..., 1, :, :]  # (B, …, H', W')
    if beyond == "border":
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    # grid_sample wants (2·x + 1) / W - 1, and makes x of it again: without rounding only where W is a power of two.
    full = [1 << (side - 1).bit_length() for side in (height, width)]
    padded = F.pad(field, (0, full[1] - width, 0, full[0] - height))
    places = torch.stack([(2 * x + 1) / full[1] - 1, (2 * y + 1) / full[0] - 1], dim=-1)
    below = places.to(field.dtype).flatten(1, -3)  # one below the other
    found = F.grid_sample(padded, below, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.view(*field.shape[:2], *x.shape[1:])


def filled(field: Tensor, known: Tensor) -> Tensor:
    """A field whose unknown cells have the mean of the known ones around them, from ever larger blocks.

    Args:
        field: (B, C, H, W); what stands where nothing is known does not matter.
        known: (B, 1, H, W), 1 = known, 0 = not.

    Returns:
        (B, C, H, W); 0 where nothing is known in the whole field.
    """
    field = torch.where(known > 0, field, 0.0)
    if min(field.shape[2:]) < 2 or bool((known > 0).all()):
        return field
    pooled = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = F.avg_pool2d(field, 2, ceil_mode=True) / pooled.clamp(min=1e-6)
    around = filled(coarse, (pooled > 0).to(known))
    smooth = F.interpolate(around, size=field.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, field, smooth)


def smoothed(field: Tensor, width: Tensor) -> Tensor:
    """Means over blocks of about `width` cells, linear between the middles of blocks and between blocks of two sizes.

    Args:
        field: (B, C, H, W), finite.
        width: (1, 1, H, W) cells; of 1 and less the field is as it is.

    Returns:
        (B, C, H, W).
    """
    if min(field.shape[2:]) < 2 or bool((width <= 1).all()):
        return field
    halves = (F.avg_pool2d(part, 2, ceil_mode=True) for part in (field, width / 2))
    coarse = F.interpolate(smoothed(*halves), size=field.shape[2:], mode="bilinear", align_corners=False)
    return torch.lerp(field, coarse, (width - 1).clamp(0, 1))
