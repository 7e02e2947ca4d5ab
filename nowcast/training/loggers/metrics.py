"""metrics.csv: every line that was written stays, whenever the process is killed or the disk is full."""

from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from nowcast.report.csv_files import append_records, write_records

LINE_END = "\r\n"  # as Lightning's own logger writes it


class MetricsWriter(ExperimentWriter):
    """Appends lines, and writes a new file beside the old one where a column joins or a line gets more values.

    What is logged at one step of an epoch is one line: the loss of its last batch, its learning rate and its scores.

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
        end = joined([*self.written[-1:], *new])
        if columns == self.columns and path.exists() and end[:1] == self.written[-1:]:
            append_records(path, columns, end[1:], line_end=LINE_END)
        else:
            write_records(path, columns, [*self.written[:-1], *end], line_end=LINE_END)
        self.columns, self.metrics = columns, []
        self.written[-1:] = end


def joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows, each one with that before it if it is of the same step, or if that holds learning rates alone."""
    result: list[dict[str, Any]] = []
    for row in rows:
        if result and _belong_together(result[-1], row):
            result[-1] = {**result[-1], **row}
        else:
            result.append(row)
    return result


def _belong_together(last: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether two rows are one: learning rates are logged when an epoch begins, and with no number of an epoch."""
    if "epoch" not in row:
        return False
    if all(name == "step" or name.startswith("lr-") for name in last):
        return True
    same = all(last[name] == value for name, value in row.items() if name in last)
    return same and "epoch" in last


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
