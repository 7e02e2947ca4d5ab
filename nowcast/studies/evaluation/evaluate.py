"""Scores checkpoints, raw and calibrated, beside baselines and forecasts from files; or one baseline alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from nowcast.config.build import build, plain
from nowcast.config.command_line.arguments import decision_of
from nowcast.config.mistakes import as_typed
from nowcast.config.program import chosen
from nowcast.data.interface import as_data_module
from nowcast.forecasting.device import choose_device
from nowcast.forecasting.external import check_common_windows
from nowcast.forecasting.forecaster import untrained
from nowcast.forecasting.network import at_lead_times
from nowcast.progress import track
from nowcast.report.results import Output, Scored, write_results
from nowcast.studies.evaluation.models import (
    Models,
    beyond_thresholds,
    beyond_training,
    checkpoint_facts,
    file_forecasts,
    load_checkpoints,
    networks,
    refuse_other_quantity,
    with_baselines,
    with_forecasts,
)
from nowcast.studies.evaluation.settings import like_training, write_settings
from nowcast.verification.from_config import make_baselines, make_plan
from nowcast.verification.score_models import score_models


@dataclass(frozen=True, eq=False)
class Subject:
    """What is scored.

    Attributes:
        models: By name.
        settings: On which data and how.
        checkpoints: Facts of the checkpoints among them, plain types.
    """

    models: Models
    settings: DictConfig
    checkpoints: dict[str, dict[str, Any]]


def evaluate(config: DictConfig) -> list[Path]:
    """Score what the config of `nowcast evaluate` names; print tables, write everything, return what was written."""
    device, folder = choose_device(config.device), Path(config.output).expanduser()
    subject = choose_subject(config)
    settings = subject.settings
    data = as_data_module(build(settings.data))
    refuse_other_quantity(subject.models, data)
    models = at_lead_times(subject.models, data.lead_times(config.split))
    files = plain(config.forecasts) if config.forecasts else {}
    systems = file_forecasts(files, data)
    with as_typed():
        models = with_forecasts(models, systems, files)
    check_common_windows(systems, data, config.split)
    scored = Scored(models, data, config.split, make_plan(settings, data, config.split), device)
    scores = score_models(models, data.ordered_loader(config.split), scored.plan, device, track)
    caveat = "; ".join(
        text
        for text in (
            data.caveat,
            *beyond_training(subject.checkpoints, data.forecast_steps),
            *beyond_thresholds(models, list(settings.verification.thresholds)),
        )
        if text
    )
    facts = {
        "checkpoints": subject.checkpoints,
        "split": config.split,
        "caveat": caveat,
        "data": data.provenance(),
        "settings": plain(settings),
    }
    bootstrap = build(config.uncertainty)
    output = Output(folder, Console(), bootstrap, config.html, config.colour_blind_safe, config.examples)
    written = write_results(scores, scored, facts, output)
    if caveat:
        output.console.print(caveat, style="yellow", highlight=False)
    return [*written, write_settings(folder, config, settings)]


def choose_subject(config: DictConfig) -> Subject:
    """A model alone, baselines beside forecasts from files, or the networks of checkpoints beside baselines.

    Raises:
        ValueError: model= is a network, which needs a checkpoint.
    """
    if config.model is not None:
        name = chosen("model")
        return Subject({name: untrained(name, config.model)}, config, {})
    if config.checkpoint is None:
        return Subject(make_baselines(config), config, {})
    loaded = load_checkpoints(config.checkpoint)
    first = next(iter(loaded.values()))
    settings = like_training(config, first.config, first.data)
    models = with_baselines(networks(loaded, decision_of(config.decide)), make_baselines(settings), loaded)
    return Subject(models, settings, checkpoint_facts(loaded))
