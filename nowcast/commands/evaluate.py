"""`nowcast evaluate checkpoint=<file> …`: scores of several forecasters on the same windows of radar archives."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from nowcast.config.build import build, from_plain, plain
from nowcast.config.checks.settings import check_settings
from nowcast.config.mistakes import UsageError, as_typed, refuse_missing_checkpoint
from nowcast.config.program import given_on_command_line, program
from nowcast.config.trusted import trusted


@program("evaluate")
def main(config: DictConfig) -> None:
    """Score checkpoints, raw and calibrated, beside baselines and forecasts from files; or one baseline alone."""
    if config.checkpoint is not None and config.model is not None:
        raise UsageError("give either checkpoint=<file> or model=persistence|extrapolation|…, not both")
    if config.checkpoint is None and config.model is None and not config.forecasts:
        raise UsageError("nothing to score: give checkpoint=<file>, model=persistence|… or forecasts={name: files.nc}")
    if config.split not in ("test", "val"):
        why = ": windows of training move and turn at random, and some are left out" if config.split == "train" else ""
        raise UsageError(f"split must be test or val, got {config.split!r}{why}")
    folder = Path(config.output).expanduser()
    if (folder / "scores.csv").exists():
        raise FileExistsError(f"{folder} holds scores already; choose another output=")
    for file in checkpoint_files(config.checkpoint):
        refuse_missing_checkpoint(file)
    from rich.console import Console

    from nowcast.data.interface import as_data_module
    from nowcast.forecasting.checkpoint import at_lead_times
    from nowcast.forecasting.device import choose_device
    from nowcast.forecasting.external import check_common_windows
    from nowcast.progress import track
    from nowcast.report.results import write_results
    from nowcast.training.run import make_plan
    from nowcast.verification.score_models import score_models

    device = choose_device(config.device)
    models, settings, facts = choose_models(config)
    data = as_data_module(build(settings.data))
    refuse_other_quantity(models, data)
    models = at_lead_times(models, data.lead_times(config.split))
    systems = file_forecasts(config, data)
    with as_typed():
        models = with_forecasts(models, systems, config)
    check_common_windows(systems, data, config.split)
    plan = make_plan(settings, data, config.split)
    loader = data.ordered_loader(config.split)
    scores = score_models(models, loader, plan, device, track)
    caveat = "; ".join(
        text for text in (data.caveat, *beyond_training(facts["checkpoints"], data.forecast_steps)) if text
    )
    facts |= {"split": config.split, "caveat": caveat, "data": data.provenance(), "settings": plain(settings)}
    console = Console()
    written = write_results(
        scores,
        models,
        data,
        config.split,
        plan,
        build(config.uncertainty),
        facts,
        folder,
        console,
        device,
        html=config.html,
        colour_blind_safe=config.colour_blind_safe,
    )
    written.append(write_settings(folder, config, settings))
    if caveat:
        console.print(caveat, style="yellow", highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def write_settings(folder: Any, config: DictConfig, settings: Any) -> Any:  # noqa: ANN401 (paths, imported late)
    """Write beside the scores what was scored on which data and how."""
    from nowcast.files import written_whole

    chosen = {key: config[key] for key in ("checkpoint", "model", "forecasts", "split", "uncertainty")}
    chosen |= {key: settings[key] for key in ("data", "verification", "scores", "strata", "frame_scores", "baselines")}
    with written_whole(folder / "settings.yaml") as partial:
        partial.write_text(OmegaConf.to_yaml(OmegaConf.create(chosen), resolve=True))
    return folder / "settings.yaml"


def choose_models(config: DictConfig) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Named forecasters, the config that says on which data and how to score them, and facts about them."""
    from hydra.core.hydra_config import HydraConfig

    from nowcast.training.run import make_baselines

    if config.model is not None:
        model = build(config.model)
        name = HydraConfig.get().runtime.choices["model"]
        if getattr(model, "works_on", "grey") != "rain_rate":
            raise ValueError(f"model={name} is a network: score a trained one with checkpoint=<file>")
        return {name: model}, config, {"checkpoints": {}}
    if config.checkpoint is None:
        return make_baselines(config), config, {"checkpoints": {}}
    loaded = load_checkpoints(config.checkpoint)
    first = next(iter(loaded.values()))
    settings = like_training(config, first.config, first.data)
    models = with_baselines(networks(loaded), make_baselines(settings), loaded)
    return models, settings, {"checkpoints": checkpoint_facts(loaded)}


def networks(loaded: dict[str, Any]) -> dict[str, Any]:
    """Each network as it is and, where it has a calibration, calibrated.

    Raises:
        ValueError: One is called as another one calibrated.
    """
    from nowcast.forecasting.named_models import as_typed, joined, renamed

    models: dict[str, Any] = {}
    for name, one in loaded.items():
        versions = {name: one.forecaster} | ({f"{name}_calibrated": one.calibrated()} if one.calibration else {})
        files = {known: str(other.path) for known, other in loaded.items()}
        way = f"Type {as_typed('checkpoint', renamed(files, name, models))}"
        models = joined(models, versions, f"the checkpoint {one.path}", way)
    return models


def with_baselines(models: dict[str, Any], baselines: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """Networks and baselines.

    Raises:
        ValueError: A network is called as a baseline.
    """
    from nowcast.forecasting.named_models import as_typed, joined, renamed

    files = {name: str(one.path) for name, one in loaded.items()}
    for name in [name for name in files if {name, f"{name}_calibrated"} & baselines.keys()]:
        files = renamed(files, name, {**models, **baselines})
    return joined(models, baselines, "a baseline (baselines.<name>)", f"Type {as_typed('checkpoint', files)}")


def with_forecasts(models: dict[str, Any], systems: dict[str, Any], config: DictConfig) -> dict[str, Any]:
    """Models and forecasts from files.

    Raises:
        ValueError: A system is called as a model.
    """
    from nowcast.forecasting.named_models import RESERVED, as_typed, joined, renamed

    files = plain(config.forecasts) if config.forecasts else {}
    for name in [name for name in systems if name in models or name in RESERVED]:
        files = renamed(files, name, models)
    return joined(models, systems, "a system of forecasts=", f"Type {as_typed('forecasts', files)}")


def refuse_other_quantity(models: dict[str, Any], data: Any) -> None:  # noqa: ANN401 (imported late)
    """Refuse to score networks of pictures on rain, or those of rain on pictures.

    Raises:
        ValueError: Naming the network.
    """
    for name, model in models.items():
        known = getattr(getattr(model, "scaling", None), "quantity", data.quantity)
        if known != data.quantity:
            raise ValueError(
                f"{name} was trained on {known} (scaling of its config), and the data is {data.quantity}; leave data= "
                "to the checkpoint, or choose data like that of its training"
            )


def checkpoint_files(given: Any) -> list[Path]:  # noqa: ANN401 (as below)
    """The files that checkpoint= names."""
    several = given.values() if isinstance(given, DictConfig) else given if isinstance(given, ListConfig) else [given]
    return [Path(path).expanduser() for path in several if path is not None]


def load_checkpoints(given: Any) -> dict[str, Any]:  # noqa: ANN401 (a file, a list of files, or a mapping)
    """Name → checkpoint.

    Raises:
        ValueError: They cannot see the same windows.
    """
    from nowcast.forecasting import checkpoint
    from nowcast.forecasting.named_models import free_name, model_name

    if isinstance(given, DictConfig):
        loaded = {str(name): checkpoint.load(Path(path).expanduser()) for name, path in given.items()}
    elif isinstance(given, ListConfig):
        loaded = {}
        for path in given:
            one = checkpoint.load(Path(path).expanduser())
            loaded[free_name(one.config.get("name", "network"), loaded)] = one
    else:
        one = checkpoint.load(Path(given).expanduser())
        loaded = {model_name(one.config): one}
    first = next(iter(loaded.values()))
    for one in loaded.values():
        for key in ("input_steps", "timesteps_seconds", "cell_km"):
            if one.data.get(key) != first.data.get(key):
                raise ValueError(
                    f"{one.path} was trained with {key}={one.data.get(key)}, {first.path} with {first.data.get(key)}: "
                    "they do not see the same windows; evaluate them one by one"
                )
    return loaded


def checkpoint_facts(loaded: dict[str, Any]) -> dict[str, Any]:
    """Where each checkpoint comes from, in plain types."""
    import hashlib

    return {
        name: {
            "file": str(one.path),
            "sha256": hashlib.sha256(one.path.read_bytes()).hexdigest(),
            "run": one.config.get("name"),
            "nowcast": one.version,
            "training_data": one.data.get("archives", {}),
            "training_split": one.data.get("split"),
            "forecast_steps": one.data.get("forecast_steps"),
        }
        for name, one in loaded.items()
    }


def beyond_training(checkpoints: dict[str, Any], forecast_steps: int) -> list[str]:
    """What is to be said of networks that are scored on more steps than they were trained on."""
    return [
        f"{name} was trained on {facts['forecast_steps']} steps: its later ones of {forecast_steps} were never trained"
        for name, facts in checkpoints.items()
        if facts["forecast_steps"] is not None and facts["forecast_steps"] < forecast_steps
    ]


def file_forecasts(config: DictConfig, data: Any) -> dict[str, Any]:  # noqa: ANN401 (imported late)
    """Forecasts of other systems by name.

    Raises:
        ValueError: The data is no rain.
    """
    from nowcast.forecasting.external import FileForecasts

    if config.forecasts and data.quantity != "rain_rate":
        raise ValueError(f"forecasts= are of rain, and the data is {data.quantity}; choose data=radar")
    given = config.forecasts or {}
    files = {name: [one] if isinstance(one, str) else list(one) for name, one in given.items()}
    return {str(name): FileForecasts(patterns, data) for name, patterns in files.items()}


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
    decides what was trained on. Archives that the user names are scored whole unless data.split says otherwise.
    """
    known = trusted(trained, "data of the checkpoint's config")
    merged = known
    if given_on_command_line("data="):
        merged = from_plain(plain(chosen))
        settled = facts | plain(known)  # data of others may say steps in its facts alone
        merged.update(
            {key: settled[key] for key in ("input_steps", "forecast_steps", "seed") if key in merged and key in settled}
        )
    if len(facts.get("timesteps_seconds", [])) == 1 and "timestep_minutes" in merged:  # others' data has its own step
        merged.timestep_minutes = facts["timesteps_seconds"][0] / 60
    if "cell_km" in facts and "cell_km" in merged:
        merged.cell_km = facts["cell_km"]
    typed = {text.lstrip("+~").split("=")[0].removeprefix("data.") for text in given_on_command_line("data.")}
    for key in typed:
        OmegaConf.update(merged, key, OmegaConf.select(chosen, key), merge=False)
    if "crop" in typed and "eval_crop" not in typed:
        merged.eval_crop = merged.crop
    if "archives" in typed and "split" not in typed:
        merged.split = "all"
    return merged


if __name__ == "__main__":
    main()
