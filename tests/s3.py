"""An S3 server on loopback that checks signatures and fails on demand, once for all tests of a process."""

import asyncio
import logging
import threading
import time
from collections import Counter
from contextlib import contextmanager

KEY, SECRET = "the-key-of-a-test", "the-s3cret-of-a-test"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "no_proxy": "127.0.0.1",
    "NO_PROXY": "127.0.0.1",
}


class S3:
    """The server.

    Attributes:
        folder: Its buckets are the folders of it.
        address: Of it.
        asked: How often each path was asked for.
        faults: Part of a path → what happens to the next requests for it: a status, or seconds to wait for.
    """

    def __init__(self, folder):
        self.folder, self.asked, self.faults, self.address = folder, Counter(), {}, ""

    @property
    def environment(self):
        """Of processes that read from it."""
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": self.address}

    def calm(self):
        """Forget what was asked, and faults."""
        self.asked.clear()
        self.faults.clear()

    @contextmanager
    def running(self):
        import uvicorn
        from nanio.app import build_app
        from nanio.auth.credentials import StaticCredentialResolver
        from nanio.config import Settings
        from starlette.middleware import Middleware

        (self.folder / "bucket").mkdir(parents=True)
        self._app = build_app(Settings(data_dir=self.folder, credentials=StaticCredentialResolver({KEY: SECRET})))
        self._app.user_middleware.append(Middleware(FromTheFront, folder=self.folder))  # behind that of signatures
        config = uvicorn.Config(
            self._answer, port=0, log_config=None, loop="asyncio", lifespan="off", interface="asgi3"
        )
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        self.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join()

    async def _answer(self, scope, receive, send):
        path = scope.get("path", "")
        self.asked[path] += 1
        queue = next((queue for part, queue in self.faults.items() if part in path and queue), [])
        fault = queue.pop(0) if queue else None
        if isinstance(fault, float):
            await asyncio.sleep(fault)
        elif fault is not None:
            headers = [(b"content-length", b"0"), (b"content-type", b"application/xml")]
            await send({"type": "http.response.start", "status": fault, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


class FromTheFront:
    """Ranges of the last bytes as such of the first: S3 knows both, this server one."""

    def __init__(self, app, folder):
        self.app, self.folder = app, folder

    async def __call__(self, scope, receive, send):
        headers, file = dict(scope.get("headers", [])), self.folder / scope.get("path", "").lstrip("/")
        if headers.get(b"range", b"").startswith(b"bytes=-"):
            last = int(headers.pop(b"range").removeprefix(b"bytes=-"))
            if file.is_file():
                size = file.stat().st_size
                headers[b"range"] = f"bytes={max(0, size - last)}-{size - 1}".encode()
        await self.app({**scope, "headers": list(headers.items())}, receive, send)
