"""The time step of the windows of each archive."""

from collections.abc import Sequence
from pathlib import Path

from nowcast.data.archive.archive import Archive, describe_steps
from nowcast.data.windows.index import frames_per_step


def with_irregular_steps(archive: Archive) -> str:
    """An archive's name, and what is irregular in its time steps."""
    steps = describe_steps(archive.times)
    return f"{archive.name} ({steps})" if steps.startswith("irregular") else archive.name


def choose_steps(archives: Sequence[Archive], minutes: float | None, allow_mixed: bool) -> tuple[list[int], list[int]]:
    """Seconds between the frames of a window, and archive frames per such step, of each archive.

    Args:
        archives: The archives.
        minutes: data.windows.timestep_minutes; None = that of the archives.
        allow_mixed: data.windows.allow_mixed_timesteps.

    Raises:
        ValueError: An archive has one frame, or steps differ or do not divide `minutes`.
    """
    steps = [_step(archive, minutes) for archive in archives]
    if len(set(steps)) > 1 and not allow_mixed:
        found = ", ".join(f"{archive.name} {step / 60:g} min" for archive, step in zip(archives, steps, strict=True))
        raise ValueError(
            f"time steps differ: {found}. Set data.windows.timestep_minutes to a common multiple, or "
            "data.windows.allow_mixed_timesteps=true"
        )
    return steps, [_every(archive, step) for archive, step in zip(archives, steps, strict=True)]


def _step(archive: Archive, minutes: float | None) -> int:
    native = archive.timestep
    if native is None:
        raise ValueError(f"{archive.path}: one frame only; windows need a sequence")
    return native if minutes is None else round(minutes * 60)


def _every(archive: Archive, step: int) -> int:
    assert archive.timestep is not None  # _step refused it
    try:
        return frames_per_step(archive.timestep, step)
    except ValueError as error:
        raise ValueError(f"{archive.path}: data.windows.timestep_minutes: {error}") from error


def common_lead_times(
    split: str, how: str, paths: Sequence[Path | str], steps: Sequence[int], forecast_steps: int
) -> tuple[float, ...]:
    """Lead times in minutes of the forecast frames of a split.

    Args:
        split: Its name, for the message.
        how: data.split.method, for the message.
        paths: The archives that have windows in it.
        steps: Seconds between the frames of their windows.
        forecast_steps: How many lead times there are.

    Raises:
        ValueError: The time steps differ.
    """
    different = sorted(set(steps))
    if len(different) > 1:
        found = [[path for path, one in zip(paths, steps, strict=True) if one == step] for step in different]
        names = "; ".join(
            f"{step / 60:g} min in {', '.join(Path(path).stem for path in of_step)}"
            for step, of_step in zip(different, found, strict=True)
        )
        apart = " and ".join(f"data.archives=[{','.join(map(str, of_step))}]" for of_step in found)
        # By day whole archives are drawn: of fewer it would draw others.
        kept = (
            f"data.split.method={how}"
            if how != "by_day"
            else "data.split.method=all" + " split=test" * (split != "test")
        )
        raise ValueError(
            f"{split} windows have different time steps: {names}. Scores by lead time need one: `nowcast evaluate` "
            f"them apart, with {apart}, both with {kept} (`nowcast train evaluate=false` trains without "
            "scores), or set data.windows.timestep_minutes to a common multiple"
        )
    return tuple(different[0] * (k + 1) / 60 for k in range(forecast_steps))
