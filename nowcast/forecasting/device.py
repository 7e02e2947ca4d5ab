"""The device that networks run on."""

import torch


def choose_device(name: str) -> torch.device:
    """The torch device.

    Raises:
        ValueError: Unknown, or a CUDA device where there is none.
    """
    if name not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda, but torch sees no CUDA device; use device=cpu")
    return torch.device(name)
