"""Train neural networks that predict the next hours of rain from radar echoes.

What is public in Python: `load_forecaster`, `open_archive`, and the points of extension of docs/extending.md. Three
lines from a checkpoint and frames to a forecast:

    from nowcast import load_forecaster, open_archive
    frames = open_archive("radar.nc")
    forecast = load_forecaster("outputs/run/checkpoints/best.ckpt").forecast(frames)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nowcast.forecasting.api import load_forecaster as load_forecaster
    from nowcast.forecasting.api import open_archive as open_archive

__version__ = "0.1.0"
__all__ = ["__version__", "load_forecaster", "open_archive"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever is asked for)
    """What is public, when it is asked for: PyTorch loads in seconds, and `nowcast --help` does without."""
    if name not in __all__:
        raise AttributeError(f"module 'nowcast' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module("nowcast.forecasting.api"), name)
