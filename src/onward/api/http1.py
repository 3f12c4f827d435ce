"""uvicorn's HTTP/1.1 protocol with the head of an answer and the beginning of its body in one write.

Two writes are two system calls, and wake the client twice.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


class _Joining:
    """A transport that holds back a head until something follows it, at the latest in the loop's next round."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._write = transport.write
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send `data`, after a head that was held back; hold `data` back where it is a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._write(data)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """The protocol of a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))

    def _should_upgrade(self) -> bool:
        """Tell whether a request becomes a WebSocket; one with a body never does: its answer would be waited for."""
        if self.scope["method"] != "GET" or any(name in _OF_BODIES for name, _ in self.scope["headers"]):
            return False
        return super()._should_upgrade()


def websocket_protocol(**connection: Any) -> asyncio.Protocol:
    """Return the protocol of a connection that becomes a WebSocket."""
    from onward.api.websocket1 import SocketProtocol

    return SocketProtocol(**connection)
