"""`nowcast predict checkpoint=<file> input=<archive or provider files> output=<nowcast.nc>`."""

from omegaconf import DictConfig

from nowcast.config import build, plain, program


@program("predict")
def main(config: DictConfig) -> None:
    """Forecast from the newest complete frames, or from those that end at init_time."""
    from pathlib import Path

    from rich.console import Console

    from nowcast import checkpoint
    from nowcast.prediction import open_input, predict, write
    from nowcast.verification import choose_device

    output = Path(config.output).expanduser()
    if output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    device = choose_device(config.device)
    loaded = checkpoint.load(Path(config.checkpoint).expanduser())
    reader = None if config.source is None else build(config.source)
    inputs = config.input if isinstance(config.input, str) else plain(config.input)
    steps = loaded.data["forecast_steps"] if config.forecast_steps is None else config.forecast_steps
    with open_input(inputs, reader) as archive:
        result = predict(
            loaded,
            archive,
            init_time=config.init_time,
            forecast_steps=int(steps),
            calibrated=config.calibrated,
            device=device,
        )
    written = write(result, loaded, output, plot=config.plot, colour_blind_safe=config.colour_blind_safe)
    for path in written:
        Console().print(f"wrote {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
