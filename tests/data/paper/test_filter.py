"""The paper's pipeline, step by step."""

import math

import numpy as np
import pytest
from scipy.ndimage import convolve

from nowcast.data.paper.filter import PaperFilter, clutter_mask, disk_kernel


def test_the_disk_of_radius_one_is_matlabs():
    # The values that MATLAB's documentation prints for fspecial("disk", 1), to four digits.
    expected = [[0.0251, 0.1453, 0.0251], [0.1453, 0.3183, 0.1453], [0.0251, 0.1453, 0.0251]]
    np.testing.assert_allclose(disk_kernel(1), expected, atol=6e-5)


@pytest.mark.parametrize("radius", [0.4, 1.0, 2.5, 10.0])
def test_weights_are_the_area_inside_the_circle(radius):
    kernel = disk_kernel(radius)
    n = len(kernel) // 2
    fine = 200  # points per cell and axis
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    row, column = 0, n  # the upper edge, and a corner
    for i, j in ((row, column), (0, 0), (n, n), (n, 2 * n), (n // 2, n // 2)):
        y, x = i - n + offsets[:, None], j - n + offsets[None, :]
        share = (x**2 + y**2 <= radius**2).mean()
        assert kernel[i, j] == pytest.approx(share / (math.pi * radius**2), abs=2e-3 / (math.pi * radius**2))
    assert kernel.sum() == pytest.approx(1, abs=1e-6)


def test_the_papers_disk_is_21_cells_wide_and_symmetric():
    kernel = disk_kernel(10)
    assert kernel.shape == (21, 21)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-9)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-9)
    assert kernel[10, 10] == pytest.approx(1 / (math.pi * 100), rel=1e-6)


def test_crop_filter_and_resize_equal_a_slow_computation():
    grey = np.random.default_rng(0).random((50, 46)).astype(np.float32)
    ours = PaperFilter(crop=40, disk_radius=3, size=10)(grey)
    centre = grey[5:45, 3:43]
    smooth = convolve(centre.astype(np.float64), disk_kernel(3).astype(np.float64), mode="nearest")
    np.testing.assert_allclose(ours, smooth.reshape(10, 4, 10, 4).mean(axis=(1, 3)), atol=1e-6)
    assert ours.dtype == np.float32


def test_the_papers_sizes():
    ours = PaperFilter(crop=330, disk_radius=10, size=100)(np.full((480, 480), 0.25, dtype=np.float32))
    assert ours.shape == (100, 100)
    np.testing.assert_allclose(ours, 0.25, atol=1e-6)


def test_the_crop_is_central():
    grey = np.zeros((480, 480), dtype=np.float32)
    grey[75:405, 75:405] = 1  # 75 cells on every side of 330
    assert PaperFilter(crop=330, disk_radius=0, size=330)(grey).min() == 1
    grey[75, 75] = 0
    assert PaperFilter(crop=330, disk_radius=0, size=330)(grey)[0, 0] == 0


def test_missing_cells_have_no_part_in_the_means():
    grey = np.full((40, 40), 0.5, dtype=np.float32)
    grey[:, :8] = np.nan
    ours = PaperFilter(crop=40, disk_radius=2, size=10)(grey)
    assert np.isnan(ours[:, :1]).all()
    np.testing.assert_allclose(ours[:, 2:], 0.5, atol=1e-6)
    assert np.isnan(PaperFilter(crop=40, disk_radius=2, size=10)(np.full((40, 40), np.nan, np.float32))).all()


def test_no_filter_and_no_resize_change_nothing():
    grey = np.random.default_rng(1).random((20, 20)).astype(np.float32)
    np.testing.assert_allclose(PaperFilter(20, 0, 20)(grey), grey, atol=1e-6)


@pytest.mark.parametrize("settings", [(10, 1, 11), (10, -1, 5), (10, 1, 0)])
def test_impossible_sizes_are_refused(settings):
    with pytest.raises(ValueError, match="1 <= size <= crop"):
        PaperFilter(*settings)


def test_small_frames_are_refused():
    with pytest.raises(ValueError, match=r"480x300 cells is smaller than data\.archives\.crop=330"):
        PaperFilter(330, 10, 100)(np.zeros((480, 300), dtype=np.float32))


# -- clutter -----------------------------------------------------------------------------------------------


def weather(months=3, seed=0):
    return 0.1 + 0.05 * np.random.default_rng(seed).random((months, 20, 20))


def test_cells_that_are_bright_in_every_month_are_clutter():
    monthly = weather()
    monthly[:, 3:5, 7:9] = 0.8
    mask = clutter_mask(monthly, 4, 0.05)
    assert mask[3:5, 7:9].all()
    assert mask.sum() == 4
    np.testing.assert_array_equal(clutter_mask(monthly, 4, 0.05), mask)


def test_the_number_of_groups_decides_what_is_brightest():
    monthly = weather()
    monthly[:, 3:5, 7:9] = 0.9
    monthly[:, 12:14, 2:6] = 0.6
    bright, warm = np.zeros((20, 20), dtype=bool), np.zeros((20, 20), dtype=bool)
    bright[3:5, 7:9], warm[12:14, 2:6] = True, True
    np.testing.assert_array_equal(clutter_mask(monthly, 4, 0.05), bright)
    np.testing.assert_array_equal(clutter_mask(monthly, 2, 0.05), bright | warm)


def test_a_month_without_data_does_not_darken_clutter():
    monthly = weather()
    monthly[:, 3:5, 7:9] = 0.8
    clutter = clutter_mask(monthly, 4, 0.05)
    monthly[1:, 4, 8] = np.nan  # two of three months: taken for 0, it was as dark as weather
    np.testing.assert_array_equal(clutter_mask(monthly, 4, 0.05), clutter)


def test_what_was_rounded_makes_no_group():
    monthly = weather()
    monthly[:, 3:5, 7:9] = 0.8
    monthly[:, 4, 8] += 1e-15
    assert clutter_mask(monthly, 4, 0.05).sum() == 4


def test_a_group_that_runs_empty_leaves_the_others():
    monthly = np.random.default_rng(417).random((3, 4, 4))  # found by trying: K-means leaves one of six without a cell
    mask = clutter_mask(monthly, 6, 0.5)
    assert 0 < mask.sum() <= 8
    assert monthly.mean(axis=0)[mask].mean() > monthly.mean(axis=0)[~mask].mean()


def test_cells_that_never_have_data_take_no_group():
    monthly = weather()
    monthly[:, 3:5, 7:9] = 0.8
    monthly[:, 12:14, 2:6] = 0.5
    expected = clutter_mask(monthly, 3, 0.05)
    monthly[:, 15:] = np.nan
    np.testing.assert_array_equal(clutter_mask(monthly, 3, 0.05), expected)
    assert clutter_mask(monthly, 3, 0.013).sum() == 0  # 4 of the 300 cells with data, not of 400
    assert expected.sum() == 4


def test_a_large_bright_area_is_weather():
    monthly = weather()
    monthly[:, :5] = 0.8
    assert not clutter_mask(monthly, 4, 0.05).any()


def test_nothing_stands_out_of_a_constant_or_empty_field():
    assert not clutter_mask(np.zeros((2, 5, 5)), 4, 0.05).any()
    assert not clutter_mask(np.full((2, 5, 5), np.nan), 4, 0.05).any()
