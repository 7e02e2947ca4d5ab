"""`nowcast plot <file.nc>`: pictures of a forecast or of an archive."""

from pathlib import Path

from omegaconf import DictConfig

from nowcast.config.command_line.arguments import moment, refuse_missing_archive, refuse_no_picture, refuse_unknown_unit
from nowcast.config.mistakes import as_typed
from nowcast.config.program import program
from nowcast.units import ZR


@program("plot")
def main(config: DictConfig) -> list[Path]:
    """Draw what a file holds."""
    file = Path(config.file).expanduser()
    observed = None if config.observed is None else Path(config.observed).expanduser()
    relation = None if config.zr is None else list(config.zr)
    with as_typed():  # before anything is imported or read
        refuse_no_picture(file)
        if observed is not None:
            refuse_missing_archive(observed)
        if config.init_time is not None:
            moment(config.init_time)
        refuse_unknown_unit(config.unit)
        if relation is not None and len(relation) != 2:
            raise ValueError(f"zr must be [a, b] of Z = a·R^b, such as [200, 1.6]; got {relation}")
    from nowcast.report.plots.drawing import DrawingOptions, draw_file, say

    options = DrawingOptions(
        observed=observed,
        init_time=config.init_time,
        frames=config.frames,
        thresholds=list(config.thresholds),
        members=config.members,
        unit=config.unit,
        zr=None if relation is None else ZR(*relation),
        coastlines=config.coastlines,
        formats=list(config.formats),
        every=config.every,
        colour_blind_safe=config.colour_blind_safe,
    )
    stem = file.with_suffix("") if config.output is None else Path(config.output).expanduser()
    written, remark = draw_file(file, stem, options)
    if remark:
        say(remark)
    return written


if __name__ == "__main__":
    main()
