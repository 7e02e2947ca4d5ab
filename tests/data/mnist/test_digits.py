"""The generator of moving digits against a loop that moves one digit by one frame at a time."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nowcast.data.mnist.digits import MovingDigits, corners
from nowcast.data.mnist.settings import DigitSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (1000, 28, 28)).astype(np.uint8)


def bounce(position, velocity):
    """One frame further between walls at 14 and 50: reflected at the wall, velocity turned, as often as it takes."""
    position += velocity
    while not 14 <= position <= 50:
        wall = 14 if position < 14 else 50
        position, velocity = 2 * wall - position, -velocity
    return position, velocity


@given(
    st.floats(14, 50, exclude_max=True),
    st.floats(-5, 5) | st.floats(-200, 200),
    st.integers(1, 25),
)
def test_reflection_equals_a_walk_step_by_step(start, velocity, frames):
    ours = corners(np.float64(start), np.float64(velocity), np.arange(frames))
    position, speed, walked = start, velocity, []
    for _ in range(frames):
        walked.append(position - 14)
        position, speed = bounce(position, speed)
    # On a whole pixel, rounding of the last bit may put the two on either side of it.
    apart = ours != np.trunc(walked).astype(int)
    assert np.all(np.abs(np.array(walked) - np.rint(walked))[apart] < 1e-9)


def test_a_hand_worked_bounce():
    # Centre 48 at 4 px/frame: 48, 52 → 48, 44, 40; corners are centre - 14, truncated.
    assert corners(np.float64(48), np.float64(4), np.arange(4)).tolist() == [34, 34, 30, 26]
    assert corners(np.float64(15.5), np.float64(-3.25), np.arange(3)).tolist() == [1, 1, 5]  # 15.5, 15.75, 19.0


def oracle(draw, generator, sequences, frames):
    """The documented order of draws, then everything one pixel block at a time."""
    shape = (sequences, generator.digits_per_sequence)
    chosen = draw.integers(*generator.digits, shape)
    angle = draw.random(shape) * 2 * np.pi
    low, high = generator.speed
    speed = draw.random(shape) * (high - low) + low
    start = 14 + draw.random((2, *shape)) * 36
    canvas = np.zeros((sequences, frames, 64, 64), dtype=np.uint8)
    for s in range(sequences):
        for d in range(shape[1]):
            y, x = start[:, s, d]
            v_y, v_x = speed[s, d] * np.sin(angle[s, d]), speed[s, d] * np.cos(angle[s, d])
            for t in range(frames):
                top, left = int(y - 14), int(x - 14)
                for i in range(28):
                    for j in range(28):
                        pixel = IMAGES[chosen[s, d], i, j]
                        canvas[s, t, top + i, left + j] = max(canvas[s, t, top + i, left + j], pixel)
                y, v_y = bounce(y, v_y)
                x, v_x = bounce(x, v_x)
    return canvas


@pytest.mark.parametrize(("digits", "count", "speed"), [((0, 500), 2, (3.0, 5.0)), ((500, 1000), 3, (0.0, 5.0))])
def test_sequences_equal_the_loop(digits, count, speed):
    generator = MovingDigits(digits, count, speed)
    ours = generator.generate(IMAGES, 3, 6, np.random.default_rng(7))
    np.testing.assert_array_equal(ours, oracle(np.random.default_rng(7), generator, 3, 6))


def test_digits_speeds_and_places_are_those_of_the_paper():
    # White digits whose number is written in their brightness: what is drawn can be read off the first frame.
    images = np.ones((500, 28, 28), dtype=np.uint8) * 255
    frames = MovingDigits((0, 500), 1, (3.0, 5.0)).generate(images, 2000, 2, np.random.default_rng(1))
    rows = (frames > 0).any(axis=3).argmax(axis=2)  # (S, T) top edge
    columns = (frames > 0).any(axis=2).argmax(axis=2)
    assert rows[:, 0].min() == 0
    assert rows[:, 0].max() == 35  # int(centre - 14), centre < 50
    assert abs(rows[:, 0].mean() - 17.5) < 1
    inside = (rows > 5) & (rows < 30) & (columns > 5) & (columns < 30)
    free = inside.all(axis=1)  # no wall near
    moved = np.hypot(np.diff(rows[free]), np.diff(columns[free]))
    assert moved.min() > 3 - 1.5  # whole pixels: each axis is off by less than 1
    assert moved.max() < 5 + 1.5
    assert 3.5 < moved.mean() < 4.5


def test_only_the_named_digits_appear():
    images = np.repeat(np.arange(1000) // 500 * 100 + 50, 784).reshape(1000, 28, 28).astype(np.uint8)
    main = MovingDigits((0, 500), 2, (3.0, 5.0)).generate(images, 200, 1, np.random.default_rng(2))
    other = MovingDigits((500, 1000), 3, (3.0, 5.0)).generate(images, 200, 1, np.random.default_rng(2))
    assert set(np.unique(main)) == {0, 50}
    assert set(np.unique(other)) == {0, 150}


def test_overlap_shows_the_brighter_pixel_and_every_digit_stays_inside():
    images = np.full((10, 28, 28), 9, dtype=np.uint8)
    frames = MovingDigits((0, 10), 3, (3.0, 5.0)).generate(images, 50, 40, np.random.default_rng(3))
    assert frames.max() == 9
    area = (frames > 0).sum(axis=(2, 3))
    assert area.min() >= 784
    assert area.max() <= 3 * 784


def test_a_seed_gives_the_same_bytes_everywhere():
    frames = MovingDigits((0, 500), 2, (3.0, 5.0)).generate(IMAGES, 600, 20, np.random.default_rng((1000, 0)))
    assert frames.dtype == np.uint8
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    assert digest == "1f650337fc1802143744e3d0194e7fc4156bf9901dee385e1221d3ec130b7fd9"
    other = MovingDigits((0, 500), 2, (3.0, 5.0)).generate(IMAGES, 600, 20, np.random.default_rng((1001, 0)))
    assert hashlib.sha256(other.tobytes()).hexdigest() != digest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DigitSettings((5, 5), 2), "data.digits.images"),
        (lambda: DigitSettings((-1, 5), 2), "data.digits.images"),
        (lambda: DigitSettings((0, 5), 0), "data.digits.per_sequence"),
        (lambda: MovingDigits((0, 5), 1, (5.0, 3.0)), "data.speed"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match=r"data.digits.images=\[0, 500\], but MNIST holds 10 images"):
        MovingDigits((0, 500), 2, (3.0, 5.0)).generate(IMAGES[:10], 1, 1, np.random.default_rng(0))
