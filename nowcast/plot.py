"""`nowcast plot <file.nc>`: pictures of a forecast or of an archive."""

from omegaconf import DictConfig

from nowcast.config import program


@program("plot")
def main(config: DictConfig) -> None:
    """Draw what a file holds."""
    from pathlib import Path

    from rich.console import Console

    from nowcast.colours import RainColours
    from nowcast.drawing import Wish, draw_file
    from nowcast.units import ZR

    law = None if config.zr is None else list(config.zr)
    if law is not None and len(law) != 2:
        raise ValueError(f"zr must be [a, b] of Z = a·R^b, such as [200, 1.6]; got {law}")
    RainColours(unit=config.unit)  # refuses an unknown unit before anything is read
    wish = Wish(
        observed=None if config.observed is None else Path(config.observed).expanduser(),
        init_time=config.init_time,
        frames=config.frames,
        members=config.members,
        unit=config.unit,
        zr=None if law is None else ZR(*law),
        coastlines=config.coastlines,
        formats=list(config.formats),
        every=config.every,
        colour_blind_safe=config.colour_blind_safe,
    )
    file = Path(config.file).expanduser()
    stem = file.with_suffix("") if config.output is None else Path(config.output).expanduser()
    written, remark = draw_file(file, stem, wish)
    console = Console()
    if remark:
        console.print(remark, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
