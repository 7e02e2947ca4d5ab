"""CSI of a run over its lead times, from its scores.csv: without what scores are made with, which imports torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nowcast.report.csv_files import read_records
from nowcast.verification.scores.lead_means import mean_where_defined


@dataclass(frozen=True)
class MeanScore:
    """A mean over the lead times where a score is defined.

    Args:
        value: NaN where it is undefined at all of them.
        defined: How many they are.
        lead_times: Of how many.
    """

    value: float
    defined: int
    lead_times: int

    @property
    def is_part(self) -> bool:
        """Whether it is the mean of some lead times and not of all."""
        return 0 < self.defined < self.lead_times


def mean_csi(path: Path, model: str, threshold: float | None) -> MeanScore | None:
    """CSI of a model at a threshold; None without threshold, file, or rows of it in the file."""
    if threshold is None or not path.is_file():
        return None
    rows = [row for row in read_records(path) if row["model"] == model and float(row["threshold"]) == threshold]
    if not rows:
        return None
    mean, defined = mean_where_defined(np.array([float(row["csi"]) for row in rows]))
    return MeanScore(float(mean[0]), int(defined[0]), len(rows))
