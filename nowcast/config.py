"""What every program shares: the schema of its configuration, building objects from it, and plain errors.

The schemata are the first entry of each program's defaults list, so that a misspelt key in any config file or
on the command line fails when the config is composed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from traceback import clear_frames
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nowcast.mistakes import UsageError, ended_by, in_words
from nowcast.overrides import readable
from nowcast.settings import check_settings
from nowcast.start import begin, wants_tracebacks

CONFIGS = Path(__file__).parents[1] / "configs"
MISTAKES = (ValueError, OSError, ModuleNotFoundError, OmegaConfBaseException)  # of the user, as errors


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
    scaling: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING
    calibration: str = MISSING  # none | frequency
    verification: Verification = MISSING
    scores: Any = MISSING  # name → family of scores of rain
    strata: Any = MISSING  # how windows are grouped
    uncertainty: Any = MISSING  # intervals of scores
    metrics: Any = MISSING  # variant → further scores by lead time
    baselines: Any = MISSING  # name → model to score beside the network
    picture: bool = MISSING  # PNG and GIF of one forecast
    colour_blind_safe: bool = MISSING
    evaluate: bool = MISSING  # calibrate, score and draw after training
    resume: str = MISSING  # never | auto (go on with the run in output) | a checkpoint
    allow_data_change: bool = MISSING  # resume on other data
    cuda_graphs: bool = MISSING  # replay training steps as recorded
    output: str | None = MISSING  # run directory; in `nowcast check` a JSON file or null


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
    metrics: Any = MISSING  # variant → further scores by lead time
    split: str = MISSING  # test | val
    html: bool = MISSING  # report.html with pictures
    colour_blind_safe: bool = MISSING  # colours of the pictures
    device: str = MISSING
    output: str = MISSING


@dataclass
class PredictConfig:
    """`nowcast predict`."""

    checkpoint: str | None = MISSING
    model: Any = None  # in place of a checkpoint
    input: Any = MISSING
    source: Any = None
    limits: Any = MISSING  # of provider files
    output: str = MISSING
    init_time: str | None = None
    forecast_steps: int | None = None
    calibrated: bool = MISSING
    plot: bool = MISSING
    colour_blind_safe: bool = MISSING
    device: str = MISSING


@dataclass
class PlotConfig:
    """`nowcast plot`."""

    file: str = MISSING
    observed: str | None = None
    init_time: str | None = None
    frames: int = MISSING
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


@dataclass
class BenchmarkConfig:
    """`nowcast benchmark`."""

    sizes: Any = MISSING  # name → model, frame_shape, input_steps, forecast_steps, batch_size
    run: list[str] = MISSING
    growth: list[str] = MISSING
    loading: list[int] = MISSING  # cells
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
    """`python -m nowcast.paper_report`."""

    printed: Any = MISSING  # the paper's numbers, and which run is which row
    runs: str = MISSING
    output: str = MISSING
    colour_blind_safe: bool = MISSING  # colours of the forecasts
    quick: bool = MISSING  # the runs are reduced: say so


@dataclass
class TuneBaselineConfig(TrainConfig):
    """`python -m nowcast.tune_baseline`."""

    baseline: str = MISSING  # key under baselines
    same_settings: list[str] = MISSING  # other baselines that get what is best for it
    grid: Any = MISSING  # setting → values to try
    variant: str = MISSING  # key under metrics
    score: str = MISSING


@dataclass
class CompareConfig:
    """`nowcast compare`."""

    runs: Any = MISSING  # folders, or name → folder
    uncertainty: Any = MISSING  # intervals of scores
    main_threshold: float = MISSING  # mm h-1, of the summary
    html: bool = MISSING
    colour_blind_safe: bool = MISSING
    output: str = MISSING


SCHEMATA = {
    "train": TrainConfig,
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
for _name, _schema in SCHEMATA.items():
    ConfigStore.instance().store(name=f"{_name}_schema", node=_schema)


def program(name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Turn a function of the composed config into the command `nowcast <name>`.

    Mistakes of the user end with one message and exit code 2 where what was typed cannot be run, and 1 where it was
    begun and failed (wrong data, full disk); HYDRA_FULL_ERROR=1 shows the traceback. Ctrl-C ends with one line and 130.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        def run(config: DictConfig) -> None:
            try:
                check_settings(config)
                main(config)
            except MISTAKES as error:
                clear_frames(error.__traceback__)  # ends progress bars of loops that it left: others would wait
                if wants_tracebacks() or in_multirun():  # Hydra says of which job
                    raise
                raise ended_by(error, name, CONFIGS / f"{name}.yaml") from error

        command: Callable[[], None] = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(run)

        def start() -> None:
            begin()
            if any(text in ("-sc", "--shell-completion") for text in sys.argv[1:]):
                sys.argv[0] = "nowcast"  # what the shell is to complete, in place of this file
            sys.argv[1:] = [readable(text) for text in sys.argv[1:]]
            try:
                command()
            except (HydraException, *MISTAKES) as error:
                if wants_tracebacks():
                    raise
                raise ended_by(error, name, CONFIGS / f"{name}.yaml") from error
            except KeyboardInterrupt as end:
                clear_frames(end.__traceback__)
                sys.stderr.write(f"nowcast {name}: interrupted\n")
                sys.exit(130)

        return start

    return decorate


def in_multirun() -> bool:
    """Whether this process runs jobs of `-m`."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def build(node: Any, **arguments: Any) -> Any:  # noqa: ANN401 (whatever `_target_` makes)
    """Build the object that a config node describes, with plain containers inside.

    Raises:
        ValueError: A key is missing, unknown or refused; the message names the config key.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (ValueError, OSError, ModuleNotFoundError)):
            raise cause from error
        words = " ".join(str(cause or error).split())
        raise UsageError(f"{words} (config: {_describe(node)})") from error


def _describe(node: Any) -> str:  # noqa: ANN401
    if isinstance(node, DictConfig):
        return f"{node._get_full_key(None) or 'root'} → {node.get('_target_')}"
    return str(node)


def plain(config: Any) -> Any:  # noqa: ANN401
    """The resolved config as dicts, lists and scalars, as it is stored in checkpoints and beside runs."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def from_plain(values: Any) -> Any:  # noqa: ANN401
    """A config from plain values, as read from a checkpoint."""
    return OmegaConf.create(values)


def compose_train(overrides: list[str]) -> DictConfig:
    """The config of `nowcast train` with these overrides, from within another program.

    Raises:
        ValueError: An override is refused; the message names it.
    """
    try:
        return hydra.compose("train", overrides)
    except HydraException as error:
        words = in_words(error, CONFIGS / "train.yaml")
        raise ValueError(f"nowcast train {' '.join(overrides)}: {words}") from error


def standalone(overrides: list[str], name: str) -> str:
    """The same config as the text of one file, which `nowcast train --config-dir=… --config-name=…` runs."""
    composed = hydra.compose("train", overrides, return_hydra_config=True)
    directories = {key: composed.hydra[key] for key in ("run", "sweep", "output_subdir", "callbacks")}
    with open_dict(composed):
        del composed["hydra"]
        composed.name = name
    head = {"defaults": ["train_schema", "_self_"], "hydra": {**directories, "job": {"name": "train"}}}
    return OmegaConf.to_yaml(OmegaConf.create(head)) + OmegaConf.to_yaml(composed)


def config_folders() -> list[str]:
    """The option --config-dir, if the user gave it."""
    sources = HydraConfig.get().runtime.config_sources
    return [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]


def given_on_command_line(prefix: str) -> list[str]:
    """Overrides that the user typed for keys below `prefix`, such as "data.crop=null"."""
    overrides = HydraConfig.get().overrides.task
    return [text for text in overrides if text.lstrip("+~").startswith(prefix)]
