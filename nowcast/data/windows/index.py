"""Which frames make a window, which windows make a split, which tiles cover a grid: index arithmetic only."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class NoWindowError(ValueError):
    """A split is empty.

    Args:
        split: Which.
        how: data.split.method.
        length: Frames of a window.
        found: Name, frames and windows of each archive, before windows are left out for their rain or data.
        way_out: Overrides that leave no split empty; "" where none are known.
    """

    def __init__(
        self, split: Split, how: str, length: int, found: Iterable[tuple[str, int, int]], way_out: str = ""
    ) -> None:
        """Say how many frames and windows there are, and what to do."""
        self.way_out, archives = way_out, list(found)
        lines = [f"no {split} window of {length} frames (data.split.method={how}):"]
        lines += [f"  {name}: {frames} frames, {windows} windows" for name, frames, windows in archives]
        if how == "all" and split != "test":
            way = ", with split=test" if split == "val" else ""
            lines.append(
                f"data.split.method=all is for evaluation{way}; train with data.split.method=blocks or archives"
            )
        elif any(windows for _, _, windows in archives):
            left_out = (
                "too little rain or data for data.sampling.min_rain_fraction and data.sampling.min_valid_fraction"
            )
            lines.append(f"all windows have {left_out if split == 'train' else 'no data'}")
        else:
            lines.append(f"no part of them that is {split} holds that many frames in a row")
        if way_out:
            lines.append(f"with these settings no split is empty: {way_out}")
        elif how != "all" or split == "test":
            lines.append(
                "choose other archives, shares (data.split.val_fraction, data.split.test_fraction), shorter windows "
                "(data.input_steps, data.forecast_steps) or other blocks (data.split.block_minutes, "
                "data.split.gap_minutes)"
            )
        super().__init__("\n".join(lines))


def frames_per_step(archive_step: int, step: int) -> int:
    """How many archive frames lie in one time step of the windows.

    >>> frames_per_step(archive_step=300, step=600)
    2

    Args:
        archive_step: Seconds between frames of the archive.
        step: Seconds between frames of a window.

    Raises:
        ValueError: `step` is not a whole multiple of `archive_step`.
    """
    if step % archive_step:
        raise ValueError(
            f"a time step of {step / 60:g} min is not a whole multiple of the archive's {archive_step / 60:g} min"
        )
    return step // archive_step


def window_starts(times: NDArray[np.datetime64], length: int, step: int, every: int, stride: int) -> NDArray[np.int64]:
    """First frames of all windows without a gap.

    Args:
        times: (N,) rising times, possibly with gaps.
        length: Frames in a window.
        step: Seconds between two frames of a window.
        every: Archive frames per window step (window frames are start, start+every, …).
        stride: Archive frames between two starts, counted from the first complete window.

    Returns:
        (M,) indices into `times`, rising; empty when no window is complete.
    """
    reach = (length - 1) * every
    if len(times) <= reach:
        return np.empty(0, dtype=np.int64)
    seconds = times.astype("datetime64[s]").astype(np.int64)
    count = len(times) - reach
    complete = np.ones(count, dtype=bool)
    for k in range(1, length):
        complete &= seconds[k * every : k * every + count] - seconds[:count] == k * step
    starts = np.flatnonzero(complete)
    if len(starts) == 0:
        return starts
    on_stride: NDArray[np.int64] = starts[(starts - starts[0]) % stride == 0]
    return on_stride


@dataclass(frozen=True)
class BlockSplit:
    """Time blocks drawn at random into training, validation and test; settings.SplitSettings checks the values.

    Args:
        block_minutes: Length of a block; whole blocks go to one split.
        val_fraction: Share of blocks for validation, 0 ≤ share < 1.
        test_fraction: Share of blocks for the test, 0 ≤ share < 1.
        gap_minutes: Time on either side of a border between different splits that belongs to none, so that
            frames of neighbouring splits are not nearly the same.
        seed: Seed of the draw.
    """

    block_minutes: float
    val_fraction: float
    test_fraction: float
    gap_minutes: float
    seed: int

    def assign(self, times: NDArray[np.datetime64]) -> NDArray[np.int8]:
        """Split of every frame: 0 train, 1 val, 2 test, -1 none (in a gap between splits)."""
        seconds = times.astype("datetime64[s]").astype(np.int64)
        blocks, block_of_frame = np.unique(self.block_of_frame(times), return_inverse=True)
        return self._open_gaps(seconds, self.draw(len(blocks))[block_of_frame])

    def block_of_frame(self, times: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Number of the block that each frame lies in, counted from the first frame."""
        seconds = times.astype("datetime64[s]").astype(np.int64)
        number: NDArray[np.int64] = (seconds - seconds[0]) // round(self.block_minutes * 60)
        return number

    def draw(self, count: int) -> NDArray[np.int8]:
        """Split of each of `count` things, drawn at random: 0 train, 1 val, 2 test."""
        order = np.random.default_rng(self.seed).permutation(count)
        val, test = (_share(count, share) for share in (self.val_fraction, self.test_fraction))
        split = np.zeros(count, dtype=np.int8)
        split[order[:val]] = 1
        split[order[val : val + test]] = 2
        return split

    def of_archive(self, name: str) -> "BlockSplit":
        """The same shares with a draw of the archive's own."""
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        return replace(self, seed=int.from_bytes(digest[:6], "big"))

    def _open_gaps(self, seconds: NDArray[np.int64], split: NDArray[np.int8]) -> NDArray[np.int8]:
        gap = self.gap_minutes * 60
        result = split.copy()
        for border in np.flatnonzero(np.diff(split)):
            near = (seconds > seconds[border] - gap) & (seconds < seconds[border + 1] + gap)
            result[near] = -1
        return result


def _share(blocks: int, fraction: float) -> int:
    """Blocks for a share: at least one when the share is not zero and there are three blocks or more."""
    count = round(blocks * fraction)
    return max(count, 1) if fraction > 0 and blocks >= 3 else count


def windows_of_split(
    starts: NDArray[np.int64], length: int, every: int, split_of_frame: NDArray[np.int8], split: int
) -> NDArray[np.int64]:
    """Starts of the windows whose archive frames, used or skipped over, all belong to one split."""
    reach = (length - 1) * every + 1
    foreign = np.concatenate([[0], np.cumsum(split_of_frame != split)])
    inside: NDArray[np.int64] = starts[foreign[starts + reach] == foreign[starts]]
    return inside


def windows_within(
    starts: NDArray[np.int64], length: int, every: int, block_of_frame: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Starts of the windows that begin and end in the same block."""
    inside: NDArray[np.int64] = starts[block_of_frame[starts] == block_of_frame[starts + (length - 1) * every]]
    return inside


def whole_archives(names: Sequence[str], shares: BlockSplit) -> dict[str, int]:
    """Split of each archive, drawn at random: 0 train, 1 val, 2 test."""
    return dict(zip(sorted(names), shares.draw(len(names)).tolist(), strict=True))


def split_by_name(name: str, patterns_of: Mapping[Split, Sequence[str]]) -> Split | None:
    """Split of a whole archive by names or globs, those of "test" first, then "val", then "train".

    None of one that is not named where no validation archive is: time blocks part it.
    """
    for split in reversed(SPLITS):
        patterns = patterns_of[split]
        if any(fnmatch(name, pattern) for pattern in patterns):
            return split
    return "train" if patterns_of["val"] else None


def tile_corners(size: int, tile: int) -> list[int]:
    """Where tiles of `tile` cells begin so that they cover `size` cells; the last one ends at the edge.

    A grid smaller than the tile gets one tile at 0, which sticks out.
    """
    if size <= tile:
        return [0]
    return [*range(0, size - tile, tile), size - tile]


def owned_from(corners: Sequence[int], index: int, tile: int) -> int:
    """First cell of tile `index`, counted from its own corner, that no earlier tile holds."""
    return 0 if index == 0 else corners[index - 1] + tile - corners[index]


def sides(name: str, crop: int | Sequence[int] | None) -> tuple[int, int] | None:
    """(H, W) of the tiles that `data.<name>` asks for; None = whole grids.

    Raises:
        ValueError: It is neither a side nor two.
    """
    if crop is None:
        return None
    both = (crop, crop) if isinstance(crop, int) else tuple(crop)
    if len(both) != 2 or min(both) < 1:
        raise ValueError(f"data.{name} must be a side, [height, width], each at least 1, or null; got {crop}")
    return both[0], both[1]


def as_typed(sides: Sequence[int]) -> str:
    """Sides of tiles as one types them: one number for a square."""
    return str(sides[0]) if sides[0] == sides[1] else f"[{sides[0]},{sides[1]}]"
