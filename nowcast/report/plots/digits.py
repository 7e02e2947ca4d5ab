"""A picture of sequences that are brightness, such as moving digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nowcast.files import written_whole

MAX_FRAMES = 10


def plot_brightness(rows: Mapping[str, NDArray[Any]], title: str, path: Path) -> Path:
    """Write a PNG with one row of frames per name.

    Args:
        rows: Name → (T, H, W) in [0, 1]; the lengths may differ.
        title: Above the picture.
        path: File to write.
    """
    columns = min(MAX_FRAMES, max(len(frames) for frames in rows.values()))
    figure = Figure((1.4 + 0.85 * columns, 0.5 + 0.9 * len(rows)), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for axes, (name, frames) in zip(grid, rows.items(), strict=True):
        for panel, frame in zip(axes, frames, strict=False):
            panel.imshow(frame, cmap="gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
        for panel in axes[len(frames) :]:
            panel.axis("off")
        axes[0].set_ylabel(name.replace("_", "\n"), fontsize=8, rotation=0, ha="right", va="center")
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", bbox_inches="tight")
    return path
