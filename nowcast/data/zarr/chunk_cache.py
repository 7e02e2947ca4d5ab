"""Chunks of stores at addresses, kept on the disk of this machine by all processes that read them.

A chunk is a file of its own: four bytes that say so, a checksum, and the bytes of the store. It is written beside
under a name that nobody else has and then renamed, so that it is whole or not there, whoever is killed when. What the
checksum does not fit is fetched again. The time of a file is that of its last use; the longest unused go first.
"""

import fcntl
import hashlib
import logging
import os
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

from nowcast.files import written_whole

log = logging.getLogger(__name__)

KIND = b"NWC1"
HEAD = len(KIND) + 4
FULL, EMPTIED = 1.0, 0.8  # of the limit: at the first, files are deleted down to the second
LOOK = 0.02  # of the limit: after a process wrote so much, it looks how much there is
ABANDONED = 3600  # seconds after which what a killed process was writing is deleted


class ChunkCache:
    """The cache as one process sees it. Threads may use it at once, and other processes use the same folder.

    Nothing is raised: what cannot be kept is fetched again, and where nothing can be written one warning says so.

    Args:
        folder: Of all stores.
        limit: Bytes that its files may have together, those aside that are written between two looks.
        store: What its chunks are known by: the fingerprint is in it, so that those of a store that changed are others.
    """

    def __init__(self, folder: Path, limit: int, store: str) -> None:
        """Nothing is looked at yet."""
        self.folder, self.limit, self.store = folder, limit, store
        self._writes, self._unseen = True, limit  # so that the first one to write looks
        self._lock = threading.Lock()

    def get(self, chunk: str) -> bytes | None:
        """A chunk's bytes, None where it is not kept.

        Args:
            chunk: Its key in the store and which bytes of it.
        """
        path = self._path(chunk)
        try:
            with path.open("rb") as file:
                content = file.read()
                with suppress(OSError):  # of a folder that may only be read
                    os.utime(path)
        except OSError:
            return None
        data = content[HEAD:]
        if content[:HEAD] == _head(data):
            return data
        log.debug("%s is damaged: fetched again", path)
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, chunk: str, data: bytes) -> None:
        """Keep a chunk's bytes, which could be decoded."""
        if not self._writes or len(data) > self.limit * EMPTIED:
            return
        try:
            with written_whole(self._path(chunk)) as partial:
                partial.write_bytes(_head(data) + data)
            with self._lock:
                self._unseen += len(data)
                looks = self._unseen >= self.limit * LOOK
                if looks:
                    self._unseen = 0
            if looks:
                self._look()
        except OSError as error:
            with self._lock:
                told, self._writes = not self._writes, False
            if not told:
                log.warning("%s: no more chunks can be kept (%s); they are fetched each time", self.folder, error)

    def _path(self, chunk: str) -> Path:
        name = hashlib.sha256(f"{self.store}\n{chunk}".encode()).hexdigest()[:40]
        return self.folder / name[:2] / name[2:]

    def _look(self) -> None:
        """Delete the longest unused files where there are too many bytes; one process at a time does."""
        with (self.folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            found = sorted(self._files())
            total = sum(size for _, size, _ in found)
            if total <= self.limit * FULL:
                return
            for _, size, path in found:
                path.unlink(missing_ok=True)
                total -= size
                if total <= self.limit * EMPTIED:
                    break

    def _files(self) -> list[tuple[float, int, Path]]:
        """Last use, bytes and path of all chunks; what is being written counts, what was abandoned is deleted."""
        found, now = [], time.time()
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):  # by another process
                state = path.stat()
                if path.suffix == ".partial" and now - state.st_mtime > ABANDONED:
                    path.unlink()
                else:
                    found.append((state.st_mtime, state.st_size, path))
        return found


def _head(data: bytes) -> bytes:
    return KIND + zlib.crc32(data).to_bytes(4, "little")
