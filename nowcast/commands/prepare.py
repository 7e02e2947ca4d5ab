"""`nowcast prepare source=<name> input=<folder, glob or file> output=<archive.nc>`."""

import json
from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.mistakes import UsageError
from nowcast.config.program import program


@program("prepare")
def main(config: DictConfig) -> None:
    """Prepare one archive."""
    inputs, output = config.input, Path(config.output).expanduser()
    if output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from nowcast.data.archive.limits import as_plain, limits_of
    from nowcast.data.archive.prepare import prepare_archive
    from nowcast.progress import track

    if config.on_error not in ("stop", "skip"):
        raise UsageError(f"on_error must be stop or skip, got {config.on_error!r}")
    name = HydraConfig.get().runtime.choices["source"]
    reader = build(config.source)
    limits = limits_of(config.limits)
    report = prepare_archive(
        reader,
        plain(inputs) if not isinstance(inputs, str) else inputs,
        output,
        limits=limits,
        on_error=config.on_error,
        allow_overlapping_sums=config.allow_overlapping_sums,
        workers=config.workers,
        attributes={
            "title": f"Radar sequence prepared from {name} files",
            "institution": reader.provider,
            "source": f"weather radar, format {name}",
            "license": reader.licence,
            "limits": json.dumps(as_plain(limits)),
        },
        track=track,
    )
    console = Console()
    for line in report.lines(limits):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"wrote {report.output}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
