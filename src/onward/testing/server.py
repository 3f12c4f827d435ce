"""Runs the scripted upstream beside a test: a real HTTP server on a free port of the loopback, in a thread of its
own."""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import uvicorn

from onward.testing.app import Received, ScriptedApp
from onward.testing.script import Script


class ScriptedUpstream:
    """A running scripted upstream. `url` is what OPENAI_BASE_URL takes."""

    def __init__(self, app: ScriptedApp, url: str) -> None:
        self.url = url
        self._app = app

    @property
    def requests(self) -> Sequence[Received]:
        """Chat requests received so far, oldest first."""
        return tuple(self._app.requests)

    @property
    def disconnects(self) -> int:
        """Clients that left before their stream ended."""
        return self._app.disconnects

    def play(self, script: Script) -> None:
        """Begin another script."""
        self._app.play(script)


class _Server(uvicorn.Server):
    """Tells when it accepts connections, so that nobody has to wait and poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def serve_upstream(script: Script | None = None) -> Generator[ScriptedUpstream]:
    """Serve `script` until the context ends. Raises RuntimeError where the server does not start within ten seconds."""
    app = ScriptedApp(script)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        if not server.ready.wait(10):
            raise RuntimeError("The scripted upstream did not start.")
        yield ScriptedUpstream(app, f"http://127.0.0.1:{port}/v1")
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
