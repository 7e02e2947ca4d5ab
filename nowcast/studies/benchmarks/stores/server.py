"""A server of files on loopback, in a process of its own, that answers late: an object store far away."""

import http.server
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Served:
    """What a running server is asked for by those who measure.

    Attributes:
        address: http://127.0.0.1:port
        sent: Bytes of files it has sent.
        answers: Requests it has answered.
        delay: Seconds that it waits before an answer; may be set.
    """

    address: str
    sent: "Synchronized[int]"
    answers: "Synchronized[int]"
    delay: "Synchronized[float]"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    folder: Path
    told: tuple[Any, Any, Any]


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave together

    def do_HEAD(self) -> None:
        """Size of a file."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """A file or a range of it."""
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        server = cast(_Server, self.server)
        sent, answers, delay = server.told
        time.sleep(delay.value)
        path = server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        there = path.is_file()
        size = path.stat().st_size if there else 0
        first, last = _range(self.headers.get("Range"), size)
        part = _part(path, first, last) if there else b""
        with sent.get_lock(), answers.get_lock():
            sent.value += len(part) if body else 0
            answers.value += 1
        self.send_response(404 if not there else 200 if len(part) == size else 206)
        self.send_header("Content-Length", str(len(part)))
        if there:
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
            self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
            if len(part) < size:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if body:
            self.wfile.write(part)
        self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def _range(asked: str | None, size: int) -> tuple[int, int]:
    """First and last byte."""
    if asked is None:
        return 0, size - 1
    low, high = asked.removeprefix("bytes=").split("-")
    if not low:
        return max(0, size - int(high)), size - 1
    return int(low), min(int(high or size - 1), size - 1)


def _part(path: Path, first: int, last: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first)
        return file.read(last + 1 - first)


def _serve(folder: Path, port: Any, told: tuple[Any, Any, Any]) -> None:  # noqa: ANN401 (a connection)
    server = _Server(("127.0.0.1", 0), _Answer)
    server.folder, server.told = folder, told
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve the files of a folder until the block ends."""
    context = multiprocessing.get_context("spawn")
    told = context.Value("q", 0), context.Value("q", 0), context.Value("d", 0.0)
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(folder, its, told), daemon=True)
    process.start()
    try:
        if not mine.poll(60):
            raise TimeoutError("the server of the benchmark did not start within a minute")
        yield Served(f"http://127.0.0.1:{mine.recv()}", *told)
    finally:
        process.terminate()
        process.join()
