"""`nowcast prepare source=<name> input=<folder, glob or file> output=<archive.nc, or store.zarr>`."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.build import build, plain
from nowcast.config.command_line.arguments import refuse_address_as_output
from nowcast.config.mistakes import UsageError
from nowcast.config.program import chosen, program


@program("prepare")
def main(config: DictConfig) -> list[Path]:
    """Prepare one archive."""
    inputs, output = config.input, Path(config.output).expanduser()
    refuse_address_as_output(config.output)
    if output.suffix != ".zarr" and output.exists():
        raise FileExistsError(f"{output} exists; remove it or choose another output=")
    if config.on_error not in ("stop", "skip"):
        raise UsageError(f"on_error must be stop or skip, got {config.on_error!r}")
    from nowcast.data.prepare.either import prepare

    name, reader = chosen("source"), build(config.source)
    report, lines = prepare(
        reader,
        inputs if isinstance(inputs, str) else plain(inputs),
        output,
        limits=plain(config.limits),
        on_error=config.on_error,
        allow_overlapping_sums=config.allow_overlapping_sums,
        engine=build(config.engine),
        attributes={
            "title": f"Radar sequence prepared from {name} files",
            "institution": reader.provider,
            "source": f"weather radar, format {name}",
            "license": reader.licence,
            **{key: str(value) for key, value in plain(config.attributes).items() if value is not None},
        },
        store=plain(config.store),
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return [report.output]


if __name__ == "__main__":
    main()
