"""`nowcast predict watch=<folder>`: a forecast for each frame that arrives, until the process is told to end."""

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nowcast.config.command_line.watched import names_of_forecasts
from nowcast.data.archive.frame import Reader
from nowcast.data.arrivals import Arrivals
from nowcast.forecasting.forecaster import Forecaster
from nowcast.forecasting.predict import open_files, wanted
from nowcast.progress import silent
from nowcast.report.forecast import write
from nowcast.report.prediction import Draw, Work, say

log = logging.getLogger(__name__)
NAP = 0.2  # seconds after which a wait looks whether it is to end
Times = NDArray[np.datetime64]


def forecast_arrivals(config: Mapping[str, Any], *, model: str, limits_typed: bool, draw: Draw | None) -> list[Path]:
    """Forecast whenever a new frame completes an input, until SIGTERM; what is written is logged, file by file.

    Forecasts go forward: one is made when the newest time with a complete input is later than that of the last
    forecast. A frame that comes late makes none, unless it completes such an input. After a gap the forecast waits
    until enough frames in a row have come; what is missing is said. What cannot be forecast from is said, too, and the
    next frame is waited for. A forecast that is in its place already is not made again.

    Args:
        config: Of `nowcast predict`.
        model: What the model is called that stands in place of a checkpoint.
        limits_typed: Whether the user typed `limits`, which else are those of the training archives.
        draw: Draws a forecast beside its file; None = it is not drawn.

    Raises:
        ValueError: What is given does not forecast rain.
        KeyboardInterrupt: Ctrl-C; no unfinished file stays.
    """
    work = Work.of(config, model=model, limits_typed=limits_typed)
    folder, reader = Path(config["watch"]).expanduser(), cast(Reader, work.reader)
    watch = Watch(work, Arrivals(folder, reader, *wanted(work.forecaster)), names_of_forecasts(config["output"]), draw)
    say(work.forecaster, [])
    sys.stdout.flush()
    log.info("watching %s for %s every %g s", folder, reader.pattern, config["poll_seconds"])
    with termination() as received:
        while not received:
            watch.look()
            wait(config["poll_seconds"], received)
    log.info("ended by SIGTERM")
    return []


@dataclass
class Watch:
    """What stays between two looks into a folder.

    Args:
        work: What forecasts.
        arrivals: The frames of the folder.
        names: Names of forecasts, in which strftime's marks stand for the time of the last input.
        draw: Draws a forecast beside its file; None = it is not drawn.
        last: Time of the last input of the last forecast.
        there: Whether the folder was there at the last look.
        said: What was said of forecasts, which is not said of each.
    """

    work: Work
    arrivals: Arrivals
    names: str
    draw: Draw | None
    last: np.datetime64 | None = None
    there: bool = True
    said: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Look once, and forecast if there is something new to forecast from."""
        self._say_whether_there()
        new = self.arrivals.look()
        if not new:
            return
        try:
            self._say_what_is_late(new)
            times = self._newest_input()
            if times is not None and (self.last is None or times[-1] > self.last):
                self._forecast(times)
        except (ValueError, OSError) as error:  # of one frame, or of a disk that has no room now: the next may do
            log.error("no forecast: %s", error)

    def _say_whether_there(self) -> None:
        there, self.there = self.there, self.arrivals.folder.is_dir()
        if there and not self.there:
            log.warning("%s is not there: it is waited for", self.arrivals.folder)
        elif self.there and not there:
            log.info("%s is there again", self.arrivals.folder)

    def _say_what_is_late(self, new: Sequence[np.datetime64]) -> None:
        for moment in new:
            if self.last is not None and moment < self.last:
                log.info("the frame of %s came after the forecast from %s", moment, self.last)

    def _newest_input(self) -> Times | None:
        """Times of the newest complete input, None if there is none; a gap up to the newest frame is said."""
        frames = self.arrivals.frames
        known = np.sort(np.array(list(frames), dtype="datetime64[s]"))
        count = max(self.work.forecaster.input_steps, 2)  # one frame alone says no time step
        if len(known) < 2:
            log.info("%d frame so far; the model needs %d in a row", len(known), count)
            return None
        native = int(np.diff(known).min().astype(np.int64))
        step = step_of(str(self.arrivals.folder), native, self.work.forecaster)
        for end in known[::-1]:
            times = end - np.arange(count)[::-1] * np.timedelta64(step, "s")
            if missing := [str(time) for time in times if time not in frames]:
                if end == known[-1]:
                    log.warning("no forecast from %s: no frame at %s", end, ", ".join(missing))
                continue
            return cast(Times, times)
        return None

    def _forecast(self, times: Times) -> None:
        began, end = time.monotonic(), times[-1]
        output = Path(end.astype("datetime64[s]").astype(datetime).strftime(self.names))
        if output.exists():
            log.info("%s is there already", output)
            self.last = end
            return
        work, folder = self.work, self.arrivals.folder
        files = list(dict.fromkeys(self.arrivals.frames[time] for time in times))
        with open_files(files, cast(Reader, work.reader), work.limits, str(folder), silent) as source:
            result = work.predict(source, str(end))
            write(result, work.forecaster, work.limits, output)
            if self.draw is not None:
                self.draw(result, work.forecaster.name, output)
        self.last = end
        for remark in sorted(set(result.remarks) - self.said):
            log.warning("%s", remark)
        self.said.update(result.remarks)
        log.info("wrote %s in %.1f s", output, time.monotonic() - began)


def step_of(given: str, native: int, forecaster: Forecaster) -> int:
    """The time step to forecast with, in seconds, where frames have come every `native` seconds at the closest.

    A model that takes no such step, but knows finer ones, is not refused here: frames may be missing so far.

    Raises:
        ValueError: None that the model knows fits.
    """
    finer = [step for step in forecaster.timesteps if native % step == 0]
    return max(finer) if finer and not forecaster.takes_step(native) else forecaster.step_for(given, native)


@contextmanager
def termination() -> Iterator[list[int]]:
    """A list that holds SIGTERM as soon as it has come: what is being written is finished first."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def wait(seconds: float, received: Sequence[int]) -> None:
    """Sleep so long, or until a signal was received."""
    until = time.monotonic() + seconds
    while not received and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, NAP))
