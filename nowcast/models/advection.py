"""Semi-Lagrangian advection in PyTorch: differentiable, in cells, without a value where nothing is known."""

import torch
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
        displacement: (B, 2, H, W) (x, y) in cells.

    Returns:
        The fields, each cell the mean of the known part of the four that it lies between, and how much of these is
        known; outside the grid nothing is.
    """
    known = sample(valid, displacement, beyond="nothing")
    moved = sample(torch.where(valid > 0, field, torch.zeros_like(field)) * valid, displacement, beyond="nothing")
    return moved / known.clamp(min=torch.finfo(known.dtype).eps), known


def sample(field: Tensor, displacement: Tensor, *, beyond: str) -> Tensor:
    """Bilinear interpolation at displaced cells; exact where the displacement is of whole cells.

    Args:
        field: (B, C, H, W), finite.
        displacement: (B, 2, H, W) (x, y) in cells.
        beyond: What lies outside the grid: its "border", continued, or "nothing" (0).
    """
    channels, height, width = field.shape[1:]
    rows = torch.arange(height, dtype=displacement.dtype, device=displacement.device)[:, None]
    columns = torch.arange(width, dtype=displacement.dtype, device=displacement.device)
    x, y = columns + displacement[:, 0], rows + displacement[:, 1]  # (B, H, W)
    if beyond == "border":
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor(), y.detach().floor()
    flat, result = field.flatten(2), torch.zeros_like(field)
    for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            values = flat.gather(2, place.flatten(1)[:, None].expand(-1, channels, -1)).view_as(field)
            result = result + values * (across * down * inside)[:, None]
    return result
