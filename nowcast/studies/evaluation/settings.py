"""On which data a checkpoint is scored and how: as in its training, unless the user typed otherwise."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nowcast.config.build import from_plain, plain
from nowcast.config.checks.settings import check_settings
from nowcast.config.program import given_on_command_line
from nowcast.config.trusted import trusted
from nowcast.files import written_whole


def like_training(config: DictConfig, trained: dict[str, Any], facts: dict[str, Any]) -> DictConfig:
    """The evaluation's config with data, scores and baselines as in training, unless the user typed others."""
    settings: DictConfig = from_plain({"data": plain(data_like_training(config.data, trained["data"], facts))})
    settings.verification = OmegaConf.merge(plain(config.verification), trained.get("verification", {}))
    for text in given_on_command_line("verification."):
        key = text.lstrip("+~").split("=")[0].removeprefix("verification.")
        settings.verification[key] = config.verification[key]
    for key in ("frame_scores", "baselines"):
        typed = given_on_command_line(key) or given_on_command_line(f"model@{key}") or key not in trained
        settings[key] = config[key] if typed else trusted(trained[key], f"{key} of the checkpoint's config")
    settings.scores, settings.strata = config.scores, config.strata
    check_settings(from_plain({"data": plain(settings.data)}))
    return settings


def data_like_training(chosen: DictConfig, trained: dict[str, Any], facts: dict[str, Any]) -> DictConfig:
    """The training data's config with what the user typed for `data.…` on top; with `data=<group>`, that group's.

    Steps, time step and cell size stay those of training, since a network knows no other, and so does the seed, which
    decides what was trained on. Archives that the user names are scored whole unless data.split.method says otherwise.
    """
    known = trusted(trained, "data of the checkpoint's config")
    merged = known
    if given_on_command_line("data="):
        merged = from_plain(plain(chosen))
        settled = facts | plain(known)  # data of others may say steps in its facts alone
        merged.update(
            {key: settled[key] for key in ("input_steps", "forecast_steps", "seed") if key in merged and key in settled}
        )
    pinned = {"cell_km": facts["cell_km"]} if "cell_km" in facts else {}
    if len(facts.get("timesteps_seconds", [])) == 1:
        pinned["timestep_minutes"] = facts["timesteps_seconds"][0] / 60
    for settings in (merged, merged.get("windows")):
        if isinstance(settings, DictConfig):  # others' data has its own step and cells
            settings.update({key: value for key, value in pinned.items() if key in settings})
    typed = {text.lstrip("+~").split("=")[0].removeprefix("data.") for text in given_on_command_line("data.")}
    for key in typed:
        OmegaConf.update(merged, key, OmegaConf.select(chosen, key), merge=False)
    if "crop" in typed and "eval_crop" not in typed:
        merged.eval_crop = merged.crop
    if "archives" in typed and not typed & {"split", "split.method"}:
        OmegaConf.update(merged, "split.method" if isinstance(merged.get("split"), DictConfig) else "split", "all")
    return merged


def write_settings(folder: Path, config: DictConfig, settings: DictConfig) -> Path:
    """Write beside the scores what was scored on which data and how."""
    chosen = {key: config[key] for key in ("checkpoint", "model", "forecasts", "split", "decide", "uncertainty")}
    chosen |= {key: settings[key] for key in ("data", "verification", "scores", "strata", "frame_scores", "baselines")}
    with written_whole(folder / "settings.yaml") as partial:
        partial.write_text(OmegaConf.to_yaml(OmegaConf.create(chosen), resolve=True))
    return folder / "settings.yaml"
