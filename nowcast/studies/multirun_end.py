"""The end of `nowcast train -m`: a callback that costs no import before a multirun begins.

Hydra makes it for every training, for `--help` and `--cfg` as well.
"""

import atexit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SummaryAtEnd(Callback):
    """Hydra's callback for the end of `nowcast train -m`: tables, also after a job failed, and a report of scores."""

    _compare_all: Callable[[Path, DictConfig], None]

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 (Hydra's)
        """Hydra tells of the end only when no job failed, and there what reads files can no longer be imported."""
        from nowcast.studies import summary

        self._compare_all = summary.compare_all
        atexit.register(summary.summarise_if_any, Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 (Hydra's)
        """Now, since at the very end what reads files can no longer be imported."""
        self._compare_all(Path(config.hydra.sweep.dir), config)
