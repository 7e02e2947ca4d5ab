"""Provider files that arrive in a folder: which are complete, and of what times their frames are."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nowcast.data.archive.frame import DataFormatError, Reader
from nowcast.data.prepare.files import names_below
from nowcast.data.recent_files import in_order_of_names

log = logging.getLogger(__name__)
State = tuple[int, int, int]  # size, time of the last change and number of a file: another one has another


@dataclass
class Arrivals:
    """The newest frames of a folder that files arrive in, looked at again and again.

    A file is read once it is as it was at the look before, and so no longer written. One that cannot be read is said,
    and read again when it has changed. One that is replaced is read again, too, as long as its frames are among the
    newest. Of the files that are there at the first look only the newest are read, by the times in their names; where
    names hold none, all are.

    Args:
        folder: The folder; subfolders are looked into, too.
        reader: Format of the files.
        count: Frames that are wanted at least.
        span: Time before the newest frame that is wanted at least.

    Attributes:
        frames: Time of each frame (UTC) → the file that holds it, of the newest ones.
    """

    folder: Path
    reader: Reader
    count: int
    span: np.timedelta64
    frames: dict[np.datetime64, Path] = field(default_factory=dict)
    _last: dict[str, State] = field(default_factory=dict)  # at the last look
    _read: dict[str, State] = field(default_factory=dict)  # when it was read
    _old: set[str] = field(default_factory=set)  # not looked at any more

    def look(self) -> list[np.datetime64]:
        """Look once; times of the frames that are new, or newly written, rising."""
        names = names_below(self.folder, self.reader.pattern)
        self._forget_all_but(set(names))
        new: set[np.datetime64] = set()
        first = not self.frames
        for name in reversed(in_order_of_names(names) or names):
            if name in self._old:
                continue
            if first and self._enough():
                self._old.add(name)
            elif self._is_complete(name):
                new.update(self._times(name))
        self._let_go_of_old()
        return sorted(new & self.frames.keys())

    def _is_complete(self, name: str) -> bool:
        """Whether a file that is not read yet, or changed since, is as it was at the last look."""
        try:
            found = Path(name).stat()
        except FileNotFoundError:  # it went after the folder was listed
            return False
        state = (found.st_size, found.st_mtime_ns, found.st_ino)
        before = self._last.get(name)
        self._last[name] = state
        return state == before != self._read.get(name)

    def _times(self, name: str) -> list[np.datetime64]:
        """Times of the frames of a file; none if it cannot be read."""
        self._read[name], path = self._last[name], Path(name)
        self.frames = {time: other for time, other in self.frames.items() if other != path}
        try:
            times = [frame.time for frame in self.reader.read(path)]
        except (DataFormatError, OSError) as error:
            log.warning("%s; it is read again when it has changed", error)
            return []
        self.frames |= dict.fromkeys(times, path)
        return times

    def _enough(self) -> bool:
        return len(self.frames) >= self.count and bool(max(self.frames) - min(self.frames) >= self.span)

    def _let_go_of_old(self) -> None:
        """Keep as many of the newest frames as are wanted, and those of the time that is wanted."""
        times = sorted(self.frames)
        if len(times) <= self.count:
            return
        begin = min(times[-self.count], times[-1] - self.span)
        files = {str(path) for path in self.frames.values()}
        self.frames = {time: path for time, path in self.frames.items() if time >= begin}
        self._old |= files - {str(path) for path in self.frames.values()}

    def _forget_all_but(self, names: set[str]) -> None:
        """Forget files that are gone."""
        self.frames = {time: path for time, path in self.frames.items() if str(path) in names}
        for known in (self._last, self._read):
            for name in known.keys() - names:
                del known[name]
        self._old &= names
