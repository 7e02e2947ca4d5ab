"""Run directories of commands that were refused before anything came about: they are removed again."""

import atexit
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nowcast.files import written_by_one

HYDRA = (".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml")


class RemoveUnused(Callback):
    """Hydra's callback: at the end of this process its run directory goes, if it made it and it holds no run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 (Hydra's)
        """Remember what is not there yet; Hydra tells of the end only of commands that are not refused."""
        try:
            folder = Path(config.hydra.run.dir).absolute()
        except OmegaConfBaseException:  # no path: Hydra refuses it next, and makes nothing
            return
        made = [path for path in (folder, *folder.parents) if not os.path.exists(path)]  # noqa: PTH110 (never raises)
        if made:
            atexit.register(remove_unused, made, f"{config.hydra.job.name}.log")


def remove_unused(made: list[Path], log: str) -> None:
    """Remove a run directory that holds nothing but what Hydra leaves, and directories above that are empty then.

    A process that has yet to begin its run in it makes it again.

    Args:
        made: The run directory and those above it that this process made, from the inside out.
        log: Name of the log in it; it counts as nothing if it is empty or tells of errors only.
    """
    folder = made[0]
    if not folder.is_dir():
        return
    with suppress(OSError), written_by_one(folder):  # another process may have begun its run there
        held = sorted(folder.rglob("*"), reverse=True)  # from the inside out
        if not {str(path.relative_to(folder)) for path in held} <= {*HYDRA, ".lock", log}:
            return
        if (folder / log).exists() and not all("[ERROR]" in line for line in (folder / log).read_text().splitlines()):
            return
        for path in held:
            path.rmdir() if path.is_dir() else path.unlink()
        for path in made:
            path.rmdir()
