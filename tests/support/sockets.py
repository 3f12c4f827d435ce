"""A plain WebSocket to `/v1/responses`, without the SDK: what is sent and what comes, as JSON."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI
from servers import Server
from websockets.sync.client import connect
from websockets.sync.connection import Connection

ENDED = ("response.completed", "response.incomplete", "response.failed", "error", "response.steer.failed")


class Socket:
    """One connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def create(self, **body: Any) -> None:
        """Send a `response.create` for the scripted model."""
        self.send({"type": "response.create", "model": "m"} | body)

    def send(self, message: object) -> None:
        """Send a message as JSON."""
        self.connection.send(json.dumps(message))

    def receive(self, timeout: float = 20) -> Any:
        """Return the next message."""
        message = self.connection.recv(timeout=timeout)
        assert isinstance(message, str), "messages are text"
        return json.loads(message)

    def turn(self, stream_id: str | None = None) -> list[Any]:
        """Return the messages of one lane up to the end of a response, or the error in place of one."""
        found: list[Any] = []
        while not found or found[-1]["type"] not in ENDED:
            message = self.receive()
            if message.get("stream_id") == stream_id:
                found.append(message)
        return found

    def ask(self, **body: Any) -> Any:
        """Create a response and return it as it ended, or the error."""
        self.create(**body)
        last = self.turn(body.get("stream_id"))[-1]
        return last.get("response", last)


@contextmanager
def open_socket(to: Server | OpenAI, *, path: str = "/v1/responses", **options: Any) -> Generator[Socket]:
    """Open a WebSocket to a server, or where a client points; `options` are those of the client library."""
    port = to.port if isinstance(to, Server) else to.base_url.port
    url = f"ws://127.0.0.1:{port}{path}"
    with connect(url, max_size=None, compression=None, **options) as connection:
        yield Socket(connection)
