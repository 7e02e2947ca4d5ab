"""The schema of each program's configuration.

They are the first entry of each program's defaults list, so that a misspelt key in any config file or on the command
line fails when the config is composed.
"""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING


@dataclass
class Verification:
    """How forecasts are scored."""

    thresholds: list[float] = MISSING  # mm h-1; an event is rate >= threshold; empty = no rain, no pooled scores
    main_threshold: float | None = MISSING  # mm h-1; its CSI chooses the best epoch
    common_mask: bool = MISSING  # leave out, for all models, cells where one has no forecast; else it is no rain there


@dataclass
class TrainConfig:
    """`nowcast train`."""

    name: str = MISSING
    seed: int = MISSING
    data: Any = MISSING
    model: Any = MISSING
    head: Any = MISSING  # what the network's outputs mean
    scaling: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING
    calibration: Any = MISSING  # how it is calibrated on validation windows; null = not
    verification: Verification = MISSING
    scores: Any = MISSING  # name → family of scores of rain
    strata: Any = MISSING  # how windows are grouped
    uncertainty: Any = MISSING  # intervals of scores
    frame_scores: Any = MISSING  # variant → further scores by lead time
    baselines: Any = MISSING  # name → model to score beside the network
    picture: bool = MISSING  # PNG and GIF of one forecast
    colour_blind_safe: bool = MISSING
    evaluate: bool = MISSING  # score and draw after training
    init: str | None = MISSING  # a checkpoint, or pretrained: what a new run begins with
    resume: str = MISSING  # never | auto (go on with the run in output) | a checkpoint
    allow_data_change: bool = MISSING  # resume on other data
    output: str | None = MISSING  # run directory; in `nowcast check` a JSON file or null


@dataclass
class CheckConfig(TrainConfig):
    """`nowcast check`."""

    checkpoint: str | None = None  # to be described, in place of a training
    statistics: str | None = None  # folder for the statistics of the archives
    suspects: Any = MISSING  # which cells their masks leave out


@dataclass
class TuneSettings:
    """Key `tune` of `nowcast tune`."""

    study: str = MISSING
    storage: str = MISSING  # URL of a database
    trials: int = MISSING  # in total
    jobs: int | None = MISSING  # at once
    space: Any = MISSING  # name → key, type, range or choices
    objectives: Any = MISSING  # name → metric and mode
    sampler: Any = MISSING
    pruner: Any = MISSING
    seed: int = MISSING
    diverged: str = MISSING  # failed | worst
    give_up_after: int = MISSING  # failed trials with none completed
    retries: int = MISSING  # of a trial whose worker died
    heartbeat_seconds: int = MISSING
    grace_seconds: int = MISSING
    poll_seconds: float = MISSING
    stop_seconds: float = MISSING
    fixed: list[str] = MISSING  # overrides of every trial


@dataclass
class TuneConfig(TrainConfig):
    """`nowcast tune`."""

    tune: TuneSettings = MISSING


@dataclass
class SummaryConfig:
    """`nowcast summary`."""

    runs: str = MISSING


@dataclass
class EvaluateConfig:
    """`nowcast evaluate`."""

    data: Any = None
    model: Any = None
    baselines: Any = MISSING  # name → model to score beside a checkpoint
    checkpoint: Any = None  # a file, a list of files, or name → file
    forecasts: Any = MISSING  # name → netCDF files or globs of another system's forecasts
    verification: Verification = MISSING
    scores: Any = MISSING  # name → family of scores of rain
    strata: Any = MISSING  # how windows are grouped
    uncertainty: Any = MISSING  # intervals of scores
    frame_scores: Any = MISSING  # variant → further scores by lead time
    split: str = MISSING  # test | val
    decide: str | None = MISSING  # bias | csi | area | a ratio of cost to loss
    html: bool = MISSING  # report.html with pictures
    examples: str = MISSING  # windows that it shows: ranked | events
    colour_blind_safe: bool = MISSING  # colours of the pictures
    device: str = MISSING
    output: str = MISSING


@dataclass
class PredictConfig:
    """`nowcast predict`."""

    checkpoint: str | None = MISSING
    model: Any = None  # in place of a checkpoint
    verification: Verification = MISSING
    input: Any = MISSING
    watch: str | None = None  # a folder that files arrive in, in place of an input
    poll_seconds: float = MISSING
    source: Any = None
    limits: Any = MISSING  # of provider files
    mask: Any = None  # files of cells that are no data
    output: str = MISSING
    init_time: str | None = None
    forecast_steps: int | None = None
    calibrated: bool = MISSING
    decide: str | None = MISSING  # bias | csi | area | a ratio of cost to loss
    cells: str | None = MISSING  # native | network
    plot: bool = MISSING
    pictures: Any = MISSING  # what they show of a forecast
    colour_blind_safe: bool = MISSING
    device: str = MISSING


@dataclass
class PlotConfig:
    """`nowcast plot`."""

    file: str = MISSING
    observed: str | None = None
    init_time: str | None = None
    frames: int = MISSING
    thresholds: list[float] = MISSING  # mm h-1
    members: int = MISSING
    unit: str = MISSING  # mm/h | dBZ
    zr: list[float] | None = None
    coastlines: str = MISSING
    formats: list[str] = MISSING
    every: int | None = None
    colour_blind_safe: bool = MISSING
    output: str | None = None


@dataclass
class PrepareConfig:
    """`nowcast prepare`."""

    source: Any = MISSING
    input: Any = MISSING
    output: str = MISSING
    limits: Any = MISSING
    on_error: str = MISSING  # stop | skip
    allow_overlapping_sums: bool = MISSING
    workers: int = MISSING
    engine: Any = MISSING
    attributes: Any = MISSING
    store: Any = MISSING


@dataclass
class BenchmarkConfig:
    """`nowcast benchmark`."""

    sizes: Any = MISSING  # name → model, frame_shape, input_steps, forecast_steps, batch_size
    run: list[str] = MISSING
    models: list[str] = MISSING
    of_models: Any = MISSING  # frame_shape, input_steps, forecast_steps, batch_size, settings
    growth: list[str] = MISSING
    loading: list[int] = MISSING  # cells
    stores: list[int] = MISSING  # cells
    archives: Any = MISSING  # what loading reads
    precisions: list[str] = MISSING
    modes: list[str] = MISSING
    compiled: list[bool] = MISSING
    rounds: int = MISSING
    device: str = MISSING
    clock: str = MISSING
    threads: int | None = MISSING
    seed: int = MISSING
    against: str | None = MISSING
    output: str | None = MISSING


@dataclass
class PaperReportConfig:
    """`python -m nowcast.commands.paper_report`."""

    printed: Any = MISSING  # the paper's numbers, and which run is which row
    runs: str = MISSING
    output: str = MISSING
    colour_blind_safe: bool = MISSING  # colours of the forecasts
    quick: bool = MISSING  # the runs are reduced: say so


@dataclass
class TuneBaselineConfig(TrainConfig):
    """`python -m nowcast.commands.tune_baseline`."""

    baseline: str = MISSING  # key under baselines
    same_settings: list[str] = MISSING  # other baselines that get what is best for it
    grid: Any = MISSING  # setting → values to try
    variant: str = MISSING  # key under frame_scores
    score: str = MISSING


@dataclass
class CompareConfig:
    """`nowcast compare`."""

    runs: Any = MISSING  # folders, or name → folder
    pool: bool = MISSING  # of other data, put together
    uncertainty: Any = MISSING  # intervals of scores
    main_threshold: float = MISSING  # mm h-1, of the summary
    html: bool = MISSING
    colour_blind_safe: bool = MISSING
    output: str = MISSING


SCHEMATA = {
    "train": TrainConfig,
    "check": CheckConfig,
    "tune": TuneConfig,
    "summary": SummaryConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
    "predict": PredictConfig,
    "plot": PlotConfig,
    "prepare": PrepareConfig,
    "benchmark": BenchmarkConfig,
    "paper_report": PaperReportConfig,
    "tune_baseline": TuneBaselineConfig,
}
