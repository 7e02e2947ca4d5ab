"""Palette pictures, read such that every defect is reported with the file's name."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nowcast.data.archive.damage import damage
from nowcast.data.archive.frame import DataFormatError, check_shape


def read_palette(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """First picture of a GIF.

    Returns:
        (H, W) palette indices, and the palette as (256, 3) RGB; unused entries are 0.

    Raises:
        FileNotFoundError: No such file.
        DataFormatError: Not a palette GIF, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with damage(path, "not a readable GIF", "PIL"), Image.open(path, formats=["GIF"]) as picture:
        check_shape(path, picture.height, picture.width)
        if picture.mode != "P":
            raise DataFormatError(path, f"picture mode {picture.mode}, expected a palette (P)")
        picture.load()
        index = np.asarray(picture, dtype=np.uint8)
        colours = np.asarray(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(colours)] = colours[:256]
    return index, palette
