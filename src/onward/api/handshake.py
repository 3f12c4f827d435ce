"""The beginning of a WebSocket: who is refused gets an ordinary HTTP error, before there is a socket.

It must not know what is said on the socket afterwards.
"""

from typing import Final

from starlette.types import Message, Scope, Send

from onward.api.errors import error_body, error_headers
from onward.core.errors import OnwardError
from onward.core.ids import new_suffix

REFUSED: Final = 1008
"""Close code where the server below cannot send an HTTP answer: the policy does not allow the connection."""
FAULT: Final = 1011


class Handshake:
    """A `send` that gives the connection a request id, and knows whether it was accepted."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = b"req_" + new_suffix().encode()
        self.accepted = False
        self._closed = False
        self._answers = "websocket.http.response" in (scope.get("extensions") or {})
        self._send = send

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        elif kind == "websocket.close":
            self._closed = True
        await self._send(message)

    async def refuse(self, error: OnwardError) -> None:
        """Answer with an error, or end the socket where it was accepted already."""
        if self._closed:
            return
        if self.accepted:
            await self({"type": "websocket.close", "code": FAULT})
            return
        if not self._answers:
            await self({"type": "websocket.close", "code": REFUSED})
            return
        headers = [(b"content-type", b"application/json"), (b"x-request-id", self.request_id), *error_headers(error)]
        await self._send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": error_body(error)})
