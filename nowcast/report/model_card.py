"""What a checkpoint is, in short: what it takes and says, what it was trained on, and what is known of its worth."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from nowcast.config.command_line.arguments import PRETRAINED
from nowcast.files import of_project
from nowcast.forecasting.checkpoint import Checkpoint
from nowcast.forecasting.forecaster import of_checkpoint
from nowcast.forecasting.network import thresholds_of
from nowcast.verification.worth import with_worth

CARD = of_project("weights/pretrained.md", Path("docs/pretrained.md"))  # of the weights that come with the project


def print_card(loaded: Checkpoint, console: Console) -> None:
    """Print it, and of the weights that come with the project what the documents say of their data.

    Raises:
        ValueError: It was trained on something else than radar archives.
    """
    for line in card(loaded):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if loaded.path == PRETRAINED and CARD.is_file():
        console.print(Markdown(section(CARD.read_text(encoding="utf-8"), "Data")))
        console.print(f"more: {CARD}", highlight=False, soft_wrap=True)


def card(loaded: Checkpoint) -> list[str]:
    """A fact a line, all of them out of the checkpoint.

    Raises:
        ValueError: It was trained on something else than radar archives.
    """
    known = with_worth(of_checkpoint(loaded, calibrated=loaded.calibration is not None), loaded)
    net = loaded.forecaster.net
    weights = sum(parameter.numel() for parameter in net.parameters())
    steps = " or ".join(f"{step / 60:g}" for step in known.timesteps)
    others = (
        "" if known.any_step is None else " (any of {:g} to {:g} is taken)".format(*(s / 60 for s in known.any_step))
    )
    longest = (known.forecast_steps or 0) * max(known.timesteps) / 60
    lines = [
        f"{known.name} of {loaded.config.get('name')}: {weights:,} weights, nowcast {loaded.version}",
        f"takes: {known.input_steps} frames, every {steps} min{others}; cells of {known.cell_km:.3g} km, or finer ones "
        "that can be averaged to that",
        f"trained to forecast: {known.forecast_steps} steps, up to {longest:g} min",
    ]
    if thresholds := thresholds_of(loaded.forecaster):
        lines.append(f"says probabilities of {', '.join(f'{one:g}' for one in thresholds)} mm/h or more")
    if loaded.calibration is None:
        lines.append("not calibrated")
    return [*lines, f"trained on: {', '.join(counted(loaded.data.get('archives', {})))}", *known.worth]


def counted(archives: Iterable[str]) -> list[str]:
    """Names of archives, those that a number tells apart as one, such as "train_wide (8)"."""
    kinds = Counter(re.sub(r"_\d{1,3}$", "", name) for name in archives)
    return [name if count == 1 else f"{name} ({count})" for name, count in kinds.items()]


def section(text: str, title: str) -> str:
    """Of Markdown what stands under "## title"; "" if there is no such title."""
    found = re.search(rf"^## {title}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""
