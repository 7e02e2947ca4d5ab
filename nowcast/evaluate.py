"""`nowcast evaluate checkpoint=<file>` or `nowcast evaluate model=<baseline>`: scores on radar archives."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from nowcast.config import build, from_plain, given_on_command_line, plain, program


@program("evaluate")
def main(config: DictConfig) -> None:
    """Score one checkpoint, raw and calibrated, beside the baselines; or one baseline alone."""
    if (config.checkpoint is None) == (config.model is None):
        raise ValueError("give either checkpoint=<file> or model=persistence|extrapolation|…, one of the two")
    from pathlib import Path

    from rich.console import Console

    from nowcast.progress import track
    from nowcast.run import make_counting
    from nowcast.verification import choose_device, report, score_models

    folder = Path(config.output).expanduser()
    if (folder / "scores.csv").exists():
        raise FileExistsError(f"{folder} holds scores already; choose another output=")
    device = choose_device(config.device)
    models, settings = choose_models(config)
    data = build(settings.data)
    counting = make_counting(settings, data)
    scores = score_models(models, data.ordered_loader(config.split), counting, device, track)
    console = Console()
    written = report(scores, folder, console)
    written.append(write_settings(folder, config, settings))
    if data.caveat:
        console.print(data.caveat, style="yellow", highlight=False)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def write_settings(folder: Any, config: DictConfig, settings: Any) -> Any:  # noqa: ANN401 (paths, imported late)
    """Write beside the scores what was scored on which data and how."""
    from nowcast.atomic import written_whole

    chosen = {"checkpoint": config.checkpoint, "model": config.model, "split": config.split}
    chosen |= {key: settings[key] for key in ("data", "verification", "metrics", "baselines")}
    with written_whole(folder / "settings.yaml") as partial:
        partial.write_text(OmegaConf.to_yaml(OmegaConf.create(chosen), resolve=True))
    return folder / "settings.yaml"


def choose_models(config: DictConfig) -> tuple[dict[str, Any], Any]:
    """Named forecasters, and the config that says on which data and how to score them."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from nowcast import checkpoint
    from nowcast.run import make_baselines

    if config.checkpoint is None:
        model = build(config.model)
        if getattr(model, "works_on", "grey") != "rain_rate":
            raise ValueError(
                f"model={HydraConfig.get().runtime.choices['model']} is a network: score a trained one with "
                "checkpoint=<file>"
            )
        return {HydraConfig.get().runtime.choices["model"]: model}, config
    loaded = checkpoint.load(Path(config.checkpoint).expanduser())
    name = str(loaded.config["model"]["_target_"]).rsplit(".", 1)[1].lower()
    models: dict[str, Any] = {name: loaded.forecaster}
    if (calibrated := loaded.calibrated()) is not None:
        models[f"{name}_calibrated"] = calibrated
    settings = like_training(config, loaded.config, loaded.data)
    return models | make_baselines(settings), settings


def like_training(config: DictConfig, trained: dict[str, Any], facts: dict[str, Any]) -> DictConfig:
    """The evaluation's config with data, scores and baselines as in training, unless the user typed others."""
    settings: DictConfig = from_plain({"data": plain(data_like_training(config.data, trained["data"], facts))})
    for key in ("verification", "metrics", "baselines"):
        typed = given_on_command_line(key) or given_on_command_line(f"model@{key}") or key not in trained
        settings[key] = config[key] if typed else from_plain(trained[key])
    return settings


def data_like_training(chosen: DictConfig, trained: dict[str, Any], facts: dict[str, Any]) -> DictConfig:
    """The training data's config with what the user typed for `data.…` on top.

    Time step and cell size stay those of training, since a network knows no other. Archives that the user
    names are scored whole unless data.split says otherwise.
    """
    merged: DictConfig = from_plain(trained)
    if len(facts.get("timesteps_seconds", [])) == 1:
        merged.timestep_minutes = facts["timesteps_seconds"][0] / 60
    if "cell_km" in facts:
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
