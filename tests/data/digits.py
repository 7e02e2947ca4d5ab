"""A stand-in for MNIST: random pictures in the idx format."""

import gzip
import struct

import numpy as np


def write_images(folder, count=40, seed=0, compress=True):
    """Write train-images-idx3-ubyte(.gz) with `count` random 28×28 images; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    content = struct.pack(">IIII", 0x00000803, count, 28, 28) + images.tobytes()
    name = "train-images-idx3-ubyte"
    if compress:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
        (folder / name).write_bytes(content)
    return images
