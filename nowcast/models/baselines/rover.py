"""ROVER: variational optical flow between radar frames, held constant, and semi-Lagrangian advection."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nowcast.models.baselines.extrapolation import advect
from nowcast.scaling import GreyScale

Field = NDArray[Any]  # float32; NumPy's own annotations lose the type in arithmetic
DERIVATIVE = np.array([1, -8, 0, 8, -1], dtype=np.float32) / 12  # of a row of samples, as a correlation
LARGEST_DIRECT = 1024  # cells of a grid whose equations are solved by a dense inverse


class Rover(nn.Module):
    """Moves the last grey picture along a weighted mean of the flow fields between the last frames.

    The flow minimises, over the whole picture, the departure from the linearised constancy of the grey value plus
    `alpha` times the squared gradient of both flow components. There are no warping steps: the equations are linear.

    Args:
        weights: Weight of each flow field, newest pair of frames first; positive, with sum 1.
        zr_a: Factor a of the Z-R relation of the grey values.
        zr_b: Its exponent b.
        min_dbz: dBZ of grey 0.
        max_dbz: dBZ of grey 1.
        sigma: Standard deviation in cells of the Gaussian that smooths the pictures.
        rho: Standard deviation in cells of the Gaussian that smooths the products of derivatives.
        alpha: Weight of the smoothness, for pictures with values from 0 to 255.
        levels: Grids of the multigrid solver.
        pre_sweeps: Gauss-Seidel sweeps before the correction from the coarser grid.
        post_sweeps: Gauss-Seidel sweeps after it.
        tolerance: Cells per step; a cycle that nowhere changes the flow by more is the last.
        max_cycles: Most cycles on the finest grid.

    Raises:
        ValueError: A setting is out of its range.

    Source: Bruhn et al. 2003 (combined local-global flow, quadratic), as in the ROVER of Shi et al. 2015 and 2017,
    arXiv:1506.04214 and arXiv:1706.03458.
    """

    needs_training = False
    reference = "Bruhn et al. 2003; Shi et al. 2015, arXiv:1506.04214; Shi et al. 2017, arXiv:1706.03458"

    def __init__(
        self,
        weights: Sequence[float],
        zr_a: float,
        zr_b: float,
        min_dbz: float,
        max_dbz: float,
        sigma: float,
        rho: float,
        alpha: float,
        levels: int,
        pre_sweeps: int,
        post_sweeps: int,
        tolerance: float,
        max_cycles: int,
    ) -> None:
        """Check and keep the settings."""
        super().__init__()
        self.weights = tuple(float(weight) for weight in weights)
        if not self.weights or min(self.weights) <= 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"rover needs positive weights with sum 1, newest pair first, got {list(self.weights)}")
        positive = {"sigma": sigma, "rho": rho, "alpha": alpha, "levels": levels, "pre_sweeps": pre_sweeps}
        positive |= {"post_sweeps": post_sweeps, "tolerance": tolerance, "max_cycles": max_cycles}
        if wrong := {name: value for name, value in positive.items() if value <= 0}:
            raise ValueError(f"rover needs settings above 0, got {wrong}")
        self.scaling = GreyScale(zr_a, zr_b, min_dbz, max_dbz)
        self.sigma, self.rho, self.alpha, self.levels = sigma, rho, alpha, levels
        self.sweeps = (pre_sweeps, post_sweeps)
        self.tolerance, self.max_cycles = tolerance, max_cycles

    @property
    def input_steps(self) -> int:
        """Frames that it looks at."""
        return len(self.weights) + 1

    def forward(self, rain_rate: Tensor, forecast_steps: int) -> Tensor:
        """Extrapolate every channel of every sequence.

        Args:
            rain_rate: (B, T_in, C, H, W) mm h-1, T_in above the number of weights, NaN = no data.
            forecast_steps: Frames to predict.

        Returns:
            (B, forecast_steps, C, H, W) mm h-1 on the input's device; NaN where the trajectory comes from outside
            the frame or from a cell without data. Dry in, dry out.

        Raises:
            ValueError: Too few input frames.
        """
        pairs, given = len(self.weights), rain_rate.shape[1]
        if given <= pairs:
            raise ValueError(f"rover with {pairs} flow fields needs at least {pairs + 1} input frames, got {given}")
        grey = self.scaling.to_grey(rain_rate[:, -pairs - 1 :].detach().cpu().float()).numpy()
        sequences = grey.transpose(0, 2, 1, 3, 4).reshape(-1, pairs + 1, *grey.shape[3:])
        forecasts = [advect(frames[-1], self.flow(frames), forecast_steps) for frames in sequences]
        moved = self.scaling.from_grey(torch.from_numpy(np.stack(forecasts)))
        moved = moved.view(len(rain_rate), -1, forecast_steps, *rain_rate.shape[3:]).transpose(1, 2)
        return moved.to(rain_rate.device)

    def flow(self, grey: Field) -> Field:
        """Weighted mean of the flow fields of the last pairs of frames.

        Args:
            grey: (T, H, W) grey values in [0, 1], T above the number of weights, NaN = no data.

        Returns:
            (2, H, W) displacement (x, y) in cells per time step, y downwards.
        """
        flows = self.pair_flows(grey[-len(self.weights) - 1 :])[:, ::-1]
        return np.asarray(np.einsum("p,cphw->chw", np.array(self.weights, dtype=np.float32), flows))

    def pair_flows(self, grey: Field) -> Field:
        """Flow field of every pair of successive frames.

        Args:
            grey: (T, H, W) grey values in [0, 1]; NaN counts as 0.

        Returns:
            (2, T - 1, H, W) displacement (x, y) in cells per time step, oldest pair first; zero for a pair with a
            dry frame.
        """
        frames = np.rint(255 * np.nan_to_num(grey)).astype(np.float32)
        pictures = np.stack([_smooth(frame, self.sigma) for frame in frames])
        tensor, force = equations(pictures, self.rho)
        wet = frames.any(axis=(1, 2))[:, None, None]
        scale = (wet[:-1] & wet[1:]) / np.float32(self.alpha)
        return solve(scale * tensor, scale * force, self.levels, self.sweeps, self.tolerance, self.max_cycles)


def derivative(picture: Field, axis: int) -> Field:
    """Derivative with five samples, exact for cubics; at a border the picture continues with its last row or column.

    Args:
        picture: (H, W).
        axis: 0 for y (rows, downwards), 1 for x.

    Returns:
        (H, W), per cell.
    """
    one = np.ones(1, dtype=np.float32)
    along_x, along_y = (DERIVATIVE, one) if axis == 1 else (one, DERIVATIVE)
    return np.asarray(cv2.sepFilter2D(picture, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REPLICATE))


def equations(pictures: Field, rho: float) -> tuple[Field, Field]:
    """Locally averaged products of the derivatives, the data of the flow equations.

    Args:
        pictures: (T, H, W) smoothed grey values.
        rho: Standard deviation in cells of the averaging Gaussian.

    Returns:
        The motion tensor (J11, J12, J22), (3, T - 1, H, W), and the right-hand side (-J13, -J23), (2, T - 1, H, W).
    """
    products = []
    for before, after in pairwise(pictures):
        x, y, change = derivative(before, 1), derivative(before, 0), after - before
        terms = (x * x, x * y, y * y, -x * change, -y * change)
        products.append([_smooth(term, rho) for term in terms])
    stacked = np.array(products, dtype=np.float32).swapaxes(0, 1)
    return stacked[:3], stacked[3:]


def solve(tensor: Field, force: Field, levels: int, sweeps: tuple[int, int], tolerance: float, cycles: int) -> Field:
    """Solve J w - Δw = f with no flux over the border, for several pairs of frames at once.

    Full multigrid: the solution on the coarsest grid, a V-cycle on every finer one, several on the finest.

    Args:
        tensor: (3, N, H, W) J11, J12, J22, divided by the weight of the smoothness.
        force: (2, N, H, W) right-hand side f, divided likewise.
        levels: Most grids; each has half the rows and columns of the one before.
        sweeps: Gauss-Seidel sweeps before and after the correction from the coarser grid.
        tolerance: Largest change of w by the last cycle.
        cycles: Most cycles on the finest grid.

    Returns:
        w, (2, N, H, W).

    Raises:
        ValueError: The coarsest grid is too large for its direct solution.
    """
    grids, forces = [_Grid(tensor, (1.0, 1.0))], [force]
    while len(grids) < levels and min(grids[-1].shape) > 2:
        grids.append(grids[-1].coarser())
        forces.append(_resize(forces[-1], grids[-1].shape, cv2.INTER_AREA))
    flow = grids[-1].direct(forces[-1])
    for level in range(len(grids) - 2, -1, -1):
        flow = _resize(flow, grids[level].shape, cv2.INTER_LINEAR)
        for _ in range(cycles if level == 0 else 1):
            before, flow = flow, _cycle(grids[level:], flow, forces[level], sweeps)
            if np.abs(flow - before).max() <= tolerance:
                break
    return flow


def _smooth(plane: Field, sigma: float) -> Field:
    # Of OpenCV's borders the one with the smallest error of the flow where rain moves over the border.
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _cycle(grids: "Sequence[_Grid]", flow: Field, force: Field, sweeps: tuple[int, int]) -> Field:
    """The flow after one V-cycle; exact on the coarsest grid."""
    grid, coarser = grids[0], grids[1:]
    if not coarser:
        return grid.direct(force)
    flow = grid.sweep(flow, force, sweeps[0])
    rest = _resize(grid.residual(flow, force), coarser[0].shape, cv2.INTER_AREA)
    correction = _cycle(coarser, np.zeros_like(rest), rest, sweeps)
    return grid.sweep(flow + _resize(correction, grid.shape, cv2.INTER_LINEAR), force, sweeps[1])


def _resize(planes: Field, shape: tuple[int, int], how: int) -> Field:
    """(…, H, W) on another grid over the same area."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    result = np.empty((len(flat), *shape), dtype=np.float32)
    for source, target in zip(flat, result, strict=True):
        cv2.resize(source, shape[::-1], dst=target, interpolation=how)
    return result.reshape(*planes.shape[:-2], *shape)


class _Grid:
    """The equations on one grid: the averaged tensor and the Laplacian of its own spacing.

    `couplings` weigh the neighbours above and below, and those beside: 1 / spacing², in cells of the finest grid.
    """

    def __init__(self, tensor: Field, couplings: tuple[float, float]) -> None:
        self.tensor, self.couplings = tensor, couplings
        self.shape = (tensor.shape[2], tensor.shape[3])
        neighbours = np.zeros(self.shape, dtype=np.float32)
        self._add_neighbours(neighbours, np.ones(self.shape, dtype=np.float32))
        self.diagonal, self.mixed = tensor[::2] + neighbours, tensor[1]
        # Inverse of the 2 × 2 block of a cell, zero on cells of the other colour.
        determinant = self.diagonal[0] * self.diagonal[1] - self.mixed**2
        colour = np.add.outer(*(np.arange(size) for size in self.shape)) % 2
        masks = [np.where(colour == k, 1 / determinant, 0) for k in (0, 1)]
        self.inverses = [(mask * self.diagonal[::-1], -mask * self.mixed) for mask in masks]
        self.work = np.empty_like(self.diagonal)  # allocating anew costs more than the arithmetic
        self.inverse: Field | None = None

    def coarser(self) -> "_Grid":
        """The same equations on a grid with half the rows and columns."""
        rows, columns = ((size + 1) // 2 for size in self.shape)
        ratios = (rows / self.shape[0], columns / self.shape[1])
        couplings = (self.couplings[0] * ratios[0] ** 2, self.couplings[1] * ratios[1] ** 2)
        return _Grid(_resize(self.tensor, (rows, columns), cv2.INTER_AREA), couplings)

    def residual(self, flow: Field, force: Field) -> Field:
        """What the equations lack, (2, N, H, W)."""
        rest = force - np.multiply(self.diagonal, flow, out=self.work)
        rest -= np.multiply(self.mixed, flow[::-1], out=self.work)
        self._add_neighbours(rest, flow)
        return rest

    def sweep(self, flow: Field, force: Field, times: int) -> Field:
        """The flow after coupled red-black Gauss-Seidel sweeps."""
        flow = flow.copy()
        for own, other in self.inverses * times:
            rest = self.residual(flow, force)
            flow += np.multiply(own, rest, out=self.work)
            flow += np.multiply(other, rest[::-1], out=self.work)
        return flow

    def direct(self, force: Field) -> Field:
        """Solution by the dense inverse."""
        if self.inverse is None:
            self.inverse = self._invert()
        unknowns = force.swapaxes(0, 1).reshape(len(self.inverse), -1, 1)
        solution = (self.inverse @ unknowns).reshape(-1, 2, *self.shape)
        return np.ascontiguousarray(solution.swapaxes(0, 1), dtype=np.float32)

    def _invert(self) -> Field:
        cells = self.shape[0] * self.shape[1]
        if cells > LARGEST_DIRECT:
            raise ValueError(
                f"rover: coarsest grid {self.shape} has more than {LARGEST_DIRECT} cells, take more levels"
            )
        steps = [np.diff(np.eye(size), axis=0) for size in self.shape]
        vertical, horizontal = (weight * step.T @ step for weight, step in zip(self.couplings, steps, strict=True))
        stiffness = np.kron(vertical, np.eye(self.shape[1])) + np.kron(np.eye(self.shape[0]), horizontal)
        matrix = np.kron(np.eye(2), stiffness) + np.zeros((self.tensor.shape[1], 1, 1))
        xx, xy, yy = self.tensor.reshape(3, -1, cells).astype(float)
        # Without gradients in some direction the motion in it is undefined; this much stiffness makes it zero.
        little = 1e-4 * (xx + yy).mean(axis=1, keepdims=True) + 1e-12
        at = np.arange(cells)
        matrix[:, at, at] += xx + little
        matrix[:, at + cells, at + cells] += yy + little
        matrix[:, at, at + cells] = matrix[:, at + cells, at] = xy
        return np.asarray(np.linalg.inv(matrix))

    def _add_neighbours(self, total: Field, values: Field) -> None:
        vertical, horizontal = (values if weight == 1 else weight * values for weight in self.couplings)
        total[..., 1:, :] += vertical[..., :-1, :]
        total[..., :-1, :] += vertical[..., 1:, :]
        total[..., 1:] += horizontal[..., :-1]
        total[..., :-1] += horizontal[..., 1:]
