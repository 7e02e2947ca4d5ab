"""A study: what it is for, its database, and its folder."""

import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from nowcast.config.differences import differences
from nowcast.config.moved import as_now
from nowcast.studies.search.process import Row
from nowcast.studies.search.slots import queue_again

SECONDS = "seconds"  # the objective that is not a column of metrics.csv
OPENING_SECONDS = 30.0  # that another process may take to create tables or study


def quieten() -> None:
    """Let Optuna and matplotlib say only what a user can act on."""
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("matplotlib.category").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Objective:
    """What a search makes large or small.

    Attributes:
        name: In tables and plots.
        metric: A column of metrics.csv, of which the best epoch counts, or "seconds", the trial's duration.
        mode: max | min.
    """

    name: str
    metric: str
    mode: str

    def __post_init__(self) -> None:
        """Refuse another mode."""
        if self.mode not in ("max", "min"):
            raise ValueError(f"tune.objectives.{self.name}.mode must be max or min, got {self.mode!r}")

    @property
    def direction(self) -> str:
        """Optuna's word for the mode."""
        return {"max": "maximize", "min": "minimize"}[self.mode]

    @property
    def worst(self) -> float:
        """The value behind all others."""
        return -math.inf if self.mode == "max" else math.inf

    def value(self, rows: Sequence[Row], seconds: float) -> float:
        """The trial's value; NaN where no epoch has one."""
        if self.metric == SECONDS:
            return seconds
        values = [row.values[self.metric] for row in rows if not math.isnan(row.values.get(self.metric, math.nan))]
        return (max if self.mode == "max" else min)(values, default=math.nan)


def open_storage(url: str, heartbeat_seconds: int, grace_seconds: int, retries: int) -> RDBStorage:
    """The database, with its tables.

    Raises:
        ValueError: It cannot be reached, or its driver is missing; the message hides the password.
    """
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    arguments = {"connect_args": {"timeout": OPENING_SECONDS}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    until = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            return RDBStorage(
                url,
                engine_kwargs=arguments,
                heartbeat_interval=heartbeat_seconds,
                grace_period=grace_seconds,
                heartbeat_stale_trial_callback=lambda study, trial: queue_again(study, trial, retries),
            )
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
            if time.monotonic() > until:  # else another process creates the same tables at this moment
                raise ValueError(f"tune.storage={hidden(url)}: {error}") from error
            time.sleep(0.5)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            raise ValueError(f"tune.storage={hidden(url)}: {error.__cause__ or error}") from error


def hidden(url: str) -> str:
    """A database URL without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "(not a database URL; such as sqlite:///study.db or postgresql+psycopg://user@host/database)"


def open_study(
    name: str,
    storage: RDBStorage,
    objectives: Sequence[Objective],
    definition: dict[str, Any],
    queued: list[dict[str, Any]],
) -> optuna.Study:
    """The study with this name, created where there is none.

    Args:
        name: In the database.
        storage: The database.
        objectives: What the search is for.
        definition: What must not change between two starts: plain values.
        queued: Parameters of the trials to begin with (a grid).

    Raises:
        ValueError: The study was begun with another definition; the message says what differs.
    """
    try:
        directions = [optuna.study.StudyDirection[objective.direction.upper()] for objective in objectives]
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage)
        changed = differences(as_now(_definition(study)), definition)
        if changed:
            raise ValueError(
                f"study {name} was begun with other settings, and going on would mix the two: "
                f"{'; '.join(changed[:8])}. Give those it was begun with, or another tune.study="
            ) from None
        return study
    study.set_metric_names([objective.name for objective in objectives])
    for point in queued:
        study.enqueue_trial(point)
    study.set_user_attr("definition", definition)
    return study


def _definition(study: optuna.Study) -> dict[str, Any]:
    until = time.monotonic() + OPENING_SECONDS
    while "definition" not in study.user_attrs:
        if time.monotonic() > until:
            raise ValueError(
                f"study {study.study_name} was created, but never completely: its process died. "
                "Choose another tune.study="
            )
        time.sleep(0.2)
    found: dict[str, Any] = study.user_attrs["definition"]
    return found


def trial_folder(folder: Path, number: int) -> Path:
    """Run directory of a trial."""
    return folder / f"trial_{number:04d}"


def log_file(folder: Path, number: int) -> Path:
    """What a trial printed; beside its directory, which `nowcast train` wants for itself."""
    return folder / "logs" / f"trial_{number:04d}.log"
