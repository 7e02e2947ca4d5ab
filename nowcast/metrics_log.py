"""metrics.csv: every line that was written stays, whenever the process is killed or the disk is full."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from nowcast.atomic import written_whole


class MetricsWriter(ExperimentWriter):
    """Appends lines, and writes a new file beside the old one where a column joins.

    Args:
        log_dir: The run directory.
    """

    def __init__(self, log_dir: str) -> None:
        """Begin an empty file."""
        super().__init__(log_dir)
        self.written: list[dict[str, Any]] = []
        self.columns: list[str] = []

    def save(self) -> None:
        """Write what was logged since the last time.

        Raises:
            OSError: It cannot be written; the file is as it was before.
        """
        if not self.metrics:
            return
        path, new = Path(self.metrics_file_path), self.metrics
        columns = sorted({*self.columns, *(name for row in new for name in row)})
        if columns == self.columns and path.exists():
            _append(path, columns, new)
        else:
            with written_whole(path) as partial, partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows([*self.written, *new])
        self.columns, self.metrics = columns, []
        self.written += new


def _append(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    size = path.stat().st_size
    try:
        with path.open("a", newline="") as file:
            csv.DictWriter(file, columns).writerows(rows)
    except OSError:
        os.truncate(path, size)
        raise


class MetricsLogger(CSVLogger):
    """Writes metrics.csv into the run directory.

    Args:
        folder: The run directory.
    """

    def __init__(self, folder: Path) -> None:
        """No folders of its own."""
        super().__init__(folder, name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> MetricsWriter:
        """The writer."""
        if not isinstance(self._experiment, MetricsWriter):
            self._experiment = MetricsWriter(self.log_dir)
        return self._experiment
