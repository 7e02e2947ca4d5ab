"""A small tree laid out like HKO-7."""

import os
import zlib

import numpy as np
from PIL import Image

from nowcast.data.paper.archives import PaperArchives
from nowcast.data.paper.hko import HkoTree


def day_folder(root, date):
    return root / "radarPNG" / date[:4] / date[5:7] / date[8:]


def names(date, count=240):
    stamp = date.replace("-", "")[2:]
    return [f"RAD{stamp}{minute // 60:02}{minute % 60:02}00.png" for minute in range(0, 6 * count, 6)]


def write_day(root, date, rain=0.3, side=16, count=240, distinct=4):
    """A day of `count` frames, of which only a few differ: the others are links to them."""
    folder = day_folder(root, date)
    folder.mkdir(parents=True)
    draw = np.random.default_rng(int(date.replace("-", "")))
    for k, name in enumerate(names(date, count)):
        if k < distinct:
            grey = (255 * rain * draw.random((side, side))).astype(np.uint8)
            Image.fromarray(grey).save(folder / name)
        else:
            os.link(folder / names(date)[k % distinct], folder / name)
    return folder


def write_mask(root, date, time, usable):
    folder = root / "radarPNG_mask" / date[:4] / date[5:7] / date[8:]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"RAD{date.replace('-', '')[2:]}{time}00.mask").write_bytes(zlib.compress(usable.astype(bool).tobytes()))


def archives(source, folder, **changes):
    settings = {
        "crop": 12, "disk_radius": 1.0, "size": 6, "clutter": "none", "clutter_clusters": 4,
        "clutter_largest_share": 0.05, "zr_a": 118.239, "zr_b": 1.5241, "min_dbz": -10.0, "max_dbz": 60.0,
    }  # fmt: skip
    return PaperArchives(source, str(folder), **(settings | changes))


def tree(root, **changes):
    settings = {"folder": str(root), "years": (2011, 2013), "day_count": 2, "day_list": None, "masks": "ignore"}
    return HkoTree(**(settings | changes))


def save_over(path, picture):
    path.unlink()  # frames of a day are links to a few files
    picture.save(path)


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
