"""What is set of Moving-MNIST: which digits move, how many sequences each split has, and files in place of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from nowcast.data.windows.settings import check_pair


@dataclass(frozen=True)
class DigitSettings:
    """Which digits move in a sequence: `data.digits`, and `data.test_digits` of the test.

    Args:
        images: [first, end) of the MNIST training images that are drawn from.
        per_sequence: How many move in one sequence.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    images: Sequence[int]
    per_sequence: int

    def __post_init__(self) -> None:
        """Check the values."""
        check_pair("data.digits.images", self.images, "[first, end]")
        if not 0 <= self.images[0] < self.images[1]:
            raise ValueError(
                "data.digits.images and data.test_digits.images must be [first, end) with 0 <= first < end, got "
                f"{list(self.images)}"
            )
        if self.per_sequence < 1:
            raise ValueError(
                "data.digits.per_sequence and data.test_digits.per_sequence must be at least 1, got "
                f"{self.per_sequence}"
            )


@dataclass(frozen=True)
class SequenceCounts:
    """How many sequences an epoch of each split has: `data.sequences`.

    Args:
        train: Training.
        val: Validation.
        test: Test.

    Raises:
        ValueError: One has none; the message names the key.
    """

    train: int
    val: int
    test: int

    def __post_init__(self) -> None:
        """Check the values."""
        for split, count in vars(self).items():
            if count < 1:
                raise ValueError(f"data.sequences.{split} must be at least 1, got {count}")


@dataclass(frozen=True)
class SequenceFiles:
    """Files (.npz or .npy) with sequences in place of generated ones: `data.files`.

    Args:
        train: Of training; None = generated.
        val: Of validation.
        test: Of the test.
    """

    train: str | None
    val: str | None
    test: str | None
