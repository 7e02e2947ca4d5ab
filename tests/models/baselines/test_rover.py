"""ROVER: derivative, solver, known motions, weights, no data."""

import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from hydra import compose, initialize_config_dir
from scipy.ndimage import correlate1d, gaussian_filter, map_coordinates
from scipy.sparse.linalg import spsolve

from nowcast.config.build import build, plain
from nowcast.config.program import CONFIGS
from nowcast.models.baselines.persistence import Persistence
from nowcast.models.baselines.rover import Rover, derivative, equations, solve
from tests.models.baselines.test_baselines import cells, csi, forecast


def settings(number):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return plain(compose("train", [f"model=rover{number}"]).model)


ROVERS = {number: build(settings(number)) for number in (1, 2, 3)}


def changed(number, **values):
    return Rover(**{key: value for key, value in (settings(number) | values).items() if key != "_target_"})


def texture(size=160, seed=0):
    """(H, W) grey values of smooth rain with dry places."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 5)
    return np.clip(0.35 + 0.25 * noise / noise.std(), 0, 1)


def moved(displacements, size=100):
    """(T, H, W) grey values: the middle of a texture, each frame moved by its total (x, y), numbers or fields."""
    field = texture()
    y, x = np.mgrid[:size, :size] + (len(field) - size) / 2
    return np.stack(
        [map_coordinates(field, [y - dy, x - dx], order=3, mode="nearest") for dx, dy in displacements]
    ).astype(np.float32)


def rain(grey):
    """(1, T, 1, H, W) mm h-1."""
    return ROVERS[1].scaling.from_grey(torch.from_numpy(grey))[None, :, None]


def minimum(tensor, force):
    """The flow equations of one pair of frames, solved as one sparse system."""
    height, width = tensor.shape[2:]
    rows, columns = (sparse.diags([-1.0, 1.0], [0, 1], shape=(size - 1, size)) for size in (height, width))
    stiffness = sparse.kron(rows.T @ rows, sparse.eye(width)) + sparse.kron(sparse.eye(height), columns.T @ columns)
    xx, xy, yy = (sparse.diags(plane.ravel().astype(float)) for plane in tensor[:, 0])
    matrix = sparse.bmat([[xx + stiffness, xy], [xy, yy + stiffness]]).tocsc()
    return spsolve(matrix, force.astype(float).ravel()).reshape(force.shape)


def by_definition(before, after):
    """The flow between two grey pictures, every published step in double precision, with the published numbers."""
    first, second = (
        gaussian_filter(np.rint(255 * picture.astype(float)), 4.5, mode="nearest") for picture in (before, after)
    )
    taps = [1 / 12, -2 / 3, 0, 2 / 3, -1 / 12]
    x, y = (correlate1d(first, taps, axis=axis, mode="nearest") for axis in (1, 0))
    change = second - first
    products = (x * x, x * y, y * y, -x * change, -y * change)
    smooth = np.stack([gaussian_filter(product, 1.5, mode="nearest")[None] for product in products]) / 2000
    return minimum(smooth[:3], smooth[3:])[:, 0]


def test_the_settings_are_the_published_ones():
    constants = settings(1)
    names = ("levels", "pre_sweeps", "post_sweeps", "rho", "alpha", "sigma")
    assert tuple(constants[name] for name in names) == (6, 2, 2, 1.5, 2000, 4.5)
    weights = [settings(number).pop("weights") for number in (1, 2, 3)]
    assert weights == [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1]]
    for number in (2, 3):
        assert settings(number) | {"weights": [1.0]} == constants


def test_the_grey_values_are_those_of_the_papers_radar_data():
    constants = settings(1)
    names = ("zr_a", "zr_b", "min_dbz", "max_dbz")
    assert tuple(constants[name] for name in names) == (118.239, 1.5241, -10.0, 60.0)


def test_the_derivative_is_exact_for_cubics():
    y, x = np.mgrid[:12, :15].astype(np.float32) - 6
    picture = x**3 - 2 * x**2 * y + x * y + 3 * y**3 + 5
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(derivative(picture, 1)[inside], (3 * x**2 - 4 * x * y + y)[inside], atol=1e-3)
    np.testing.assert_allclose(derivative(picture, 0)[inside], (-2 * x**2 + x + 9 * y**2)[inside], atol=1e-3)


def test_the_derivative_of_a_constant_is_zero_up_to_the_border():
    np.testing.assert_allclose(derivative(np.full((8, 9), 200, dtype=np.float32), 1), 0, atol=1e-4)


def test_the_equations_of_a_plane_are_those_of_its_motion():
    y, x = np.mgrid[:20, :24].astype(np.float32)
    pictures = np.stack([3 * x + 2 * y, 3 * (x - 0.5) + 2 * (y + 1)])
    tensor, force = equations(pictures, 1.5)
    np.testing.assert_allclose(tensor[:, 0, 10, 12], [9, 6, 4], rtol=1e-4)
    u, v = 0.5, -1.0
    np.testing.assert_allclose(force[:, 0, 10, 12], [9 * u + 6 * v, 6 * u + 4 * v], rtol=1e-4)


@pytest.mark.parametrize("step", [(0.8, -0.6), (-2.0, 1.0)])
def test_the_flow_is_that_of_the_published_steps(step):
    grey = moved([(0, 0), step], size=72)
    expected = by_definition(*grey)
    assert np.hypot(*expected).max() > 0.5
    np.testing.assert_allclose(changed(1, tolerance=1e-5).flow(grey), expected, atol=2e-3)


def test_pictures_are_bytes():
    whole = np.rint(255 * moved([(0, 0), (1, 0)]))
    within = np.random.default_rng(0).uniform(-0.45, 0.45, whole.shape)  # less than half a step
    grey, exact = (np.clip((whole + part) / 255, 0, 1).astype(np.float32) for part in (within, 0))
    np.testing.assert_array_equal(ROVERS[1].flow(grey), ROVERS[1].flow(exact))
    assert not ROVERS[1].flow(np.stack([grey[0], exact[0]])).any()


@pytest.mark.parametrize("alpha", [100, 2000, 20000])
@pytest.mark.parametrize("shape", [(64, 64), (51, 78), (37, 24)])
def test_the_solver_finds_the_minimum(shape, alpha):
    pictures = 255 * moved([(0, 0), (0.8, -0.6)])[:, : shape[0], : shape[1]]
    tensor, force = (part / np.float32(alpha) for part in equations(pictures, 1.5))
    expected = minimum(tensor, force)
    coarse = np.abs(solve(tensor, force, 6, (2, 2), 0.01, 20) - expected)
    assert coarse.max() < 0.005
    fine = np.abs(solve(tensor, force, 6, (2, 2), 1e-5, 20) - expected)
    assert np.linalg.norm(fine) < 1e-3 * np.linalg.norm(expected)


def test_the_solution_depends_neither_on_the_grids_nor_on_the_sweeps():
    tensor, force = (part / 2000 for part in equations(255 * moved([(0, 0), (1, 0.5)])[:, :60, :60], 1.5))
    first = solve(tensor, force, 6, (2, 2), 1e-5, 50)
    for levels, sweeps in ((3, (2, 2)), (9, (1, 3)), (4, (1, 1))):
        np.testing.assert_allclose(solve(tensor, force, levels, sweeps, 1e-5, 50), first, atol=1e-3)


def test_pairs_are_solved_apart():
    tensor, force = (part / 2000 for part in equations(255 * moved([(0, 0), (1, 0.5), (0, 0), (-1, 1)]), 1.5))
    together = solve(tensor, force, 6, (2, 2), 1e-5, 20)
    for pair in range(3):
        one = solve(tensor[:, pair : pair + 1], force[:, pair : pair + 1], 6, (2, 2), 1e-5, 20)
        np.testing.assert_allclose(together[:, pair], one[:, 0], atol=1e-3)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "velocity", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.4), (0.0, -0.7), (1.0, 0.7), (-0.8, 1.0), (0.5, -0.5)]
)
def test_a_known_translation_is_found(velocity, number):
    grey = moved([(velocity[0] * k, velocity[1] * k) for k in range(4)])
    error = ROVERS[number].flow(grey) - np.array(velocity)[:, None, None]
    wet = grey[-1] > 0.3
    speed = np.hypot(*velocity)
    assert np.abs(error[:, wet].mean(axis=1)).max() < 0.1 * speed
    assert np.sqrt((error[:, wet] ** 2).sum(axis=0).mean()) < 0.15 * speed


def test_what_stands_still_has_no_motion():
    assert not ROVERS[3].flow(moved([(0, 0)] * 4)).any()


def test_a_shear_is_found():
    y = np.mgrid[:100, :100][0] - 49.5
    flow = ROVERS[1].flow(moved([(0, 0), (0.02 * y, 0)]))
    slope = np.polyfit(y[:, 0], flow[0].mean(axis=1), 1)[0]
    assert slope == pytest.approx(0.02, rel=0.15)
    assert np.abs(flow[1]).mean() < 0.1


def test_a_rotation_is_found():
    y, x = np.mgrid[:100, :100] - 49.5
    u, v = ROVERS[1].flow(moved([(0, 0), (-0.02 * y, 0.02 * x)]))
    vorticity = np.gradient(v, axis=1) - np.gradient(u, axis=0)
    assert vorticity[10:-10, 10:-10].mean() == pytest.approx(0.04, rel=0.2)


def test_the_newest_flow_has_the_largest_weight():
    grey = moved([(0, 0), (1, 0), (1, 1), (0, 1)])  # right, down, left
    oldest, middle, newest = (ROVERS[1].flow(grey[k : k + 2]) for k in range(3))
    for flow, (u, v) in zip((oldest, middle, newest), ((1, 0), (0, 1), (-1, 0)), strict=True):
        np.testing.assert_allclose(flow.mean(axis=(1, 2)), (u, v), atol=0.1)
    np.testing.assert_allclose(ROVERS[3].flow(grey), 0.7 * newest + 0.2 * middle + 0.1 * oldest, atol=1e-3)
    np.testing.assert_allclose(ROVERS[2].flow(grey), (newest + middle) / 2, atol=1e-3)
    np.testing.assert_allclose(ROVERS[1].flow(grey), newest, atol=1e-6)
    np.testing.assert_allclose(ROVERS[3].flow(grey).mean(axis=(1, 2)), (-0.6, 0.2), atol=0.1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_rain_is_followed_for_eight_steps(number):
    frames = cells(13, velocity=(1.2, 0.6))
    prediction = forecast(frames[:5], 8, ROVERS[number])
    assert csi(prediction, frames[5:]).min() > 0.9
    assert csi(forecast(frames[:5], 8, Persistence()), frames[5:])[-1] < 0.5
    assert np.nanmax(prediction[-1]) == pytest.approx(frames[4].max(), rel=0.1)


def test_the_forecast_is_the_advected_grey_value():
    grey = moved([(0, 0), (1, 0)])
    prediction = ROVERS[1].scaling.to_grey(ROVERS[1](rain(grey), 3))[0, :, 0].numpy()
    assert np.isnan(prediction[2, 20:-20, 0]).all()
    np.testing.assert_allclose(prediction[2, 10:-10, 13:-10], grey[1, 10:-10, 10:-13], atol=0.05)


def test_batches_and_channels_are_forecast_apart():
    steps = [[(vx * k, vy * k) for k in range(4)] for vx, vy in ((1, 0), (0, 1), (-1, 0.5), (0.5, -1))]
    frames = torch.cat([rain(moved(step, size=48)) for step in steps])
    together = ROVERS[3](frames.view(2, 2, 4, 48, 48).transpose(1, 2), 3)
    assert together.shape == (2, 3, 2, 48, 48)
    for k in range(4):
        alone = ROVERS[3](frames[k : k + 1], 3)[0, :, 0]
        torch.testing.assert_close(together[k // 2, :, k % 2], alone, equal_nan=True)


def test_a_rectangle_stays_one():
    assert ROVERS[2](rain(moved([(0, 0), (1, 0), (2, 0)])[:, :30, :61]), 4).shape == (1, 4, 1, 30, 61)


def test_only_the_last_frames_count():
    frames = rain(moved([(k, 0) for k in range(5)], size=48))
    for number, rover in ROVERS.items():
        torch.testing.assert_close(rover(frames, 2), rover(frames[:, -number - 1 :], 2), equal_nan=True)


def test_no_data_is_dry_for_the_flow_and_unknown_in_the_forecast():
    frames = rain(moved([(k, 0) for k in range(4)], size=60))
    holes, dry = frames.clone(), frames.clone()
    holes[..., 20:30, 20:30] = torch.nan
    dry[..., 20:30, 20:30] = 0
    for rover in ROVERS.values():
        grey = rover.scaling.to_grey(torch.cat([holes, dry]))[:, :, 0].numpy()
        np.testing.assert_array_equal(rover.flow(grey[0]), rover.flow(grey[1]))
        prediction = rover(holes, 2)[0, :, 0]
        assert prediction[0, 22:28, 23:29].isnan().all()
        assert prediction[:, 35:-5, 5:].isfinite().all()


def test_no_data_in_no_data_out():
    for rover in ROVERS.values():
        assert rover(torch.full((1, 4, 1, 32, 32), torch.nan), 2).isnan().all()


def test_dry_in_dry_out():
    for rover in ROVERS.values():
        assert torch.equal(rover(torch.zeros(1, 4, 1, 32, 40), 5), torch.zeros(1, 5, 1, 32, 40))


def test_beside_a_dry_frame_nothing_moves():
    grey = moved([(k, 0) for k in range(4)])
    grey[2] = 0
    assert not ROVERS[1].flow(grey).any()
    assert not ROVERS[2].flow(grey).any()
    np.testing.assert_allclose(ROVERS[3].flow(grey), 0.1 * ROVERS[1].flow(grey[:2]), atol=1e-3)


def test_motion_along_a_stripe_is_taken_as_zero():
    x = np.mgrid[:64, :64][1]
    frames = np.stack([0.4 + 0.3 * np.sin((x - k) / 8) for k in range(2)]).astype(np.float32)
    u, v = ROVERS[1].flow(frames)
    assert u.mean() == pytest.approx(1, abs=0.1)
    assert np.abs(v).max() < 0.01


@pytest.mark.parametrize("number", [1, 2, 3])
def test_too_few_frames_are_refused(number):
    frames = torch.zeros(1, number, 1, 16, 16)
    with pytest.raises(ValueError, match=f"{number} flow fields needs at least {number + 1} .* got {number}"):
        ROVERS[number](frames, 2)
    assert ROVERS[number](torch.zeros(1, number + 1, 1, 16, 16), 2).shape[1] == 2


@pytest.mark.parametrize("weights", [[], [0.5, 0.6], [1.5, -0.5]])
def test_weights_that_are_no_mean_are_refused(weights):
    with pytest.raises(ValueError, match="weights with sum 1"):
        changed(1, weights=weights)


@pytest.mark.parametrize("name", ["sigma", "rho", "alpha", "levels", "pre_sweeps", "tolerance", "max_cycles"])
def test_settings_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match=f"above 0, got .*{name}"):
        changed(1, **{name: 0})


def test_too_few_grids_for_a_large_picture_are_refused():
    with pytest.raises(ValueError, match="take more levels"):
        changed(1, levels=1).flow(moved([(0, 0), (1, 0)]))
