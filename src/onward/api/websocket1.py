"""uvicorn's WebSocket protocol with an answer to handshakes that cannot be read: it would leave them open.

Imported with the first connection that becomes a WebSocket, because most processes never have one.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from onward.api.errors import error_body
from onward.core.errors import RequestError


class SocketProtocol(WebSocketsSansIOProtocol):
    """The protocol of a WebSocket."""

    def data_received(self, data: bytes) -> None:
        """Take what the peer sends; answer with a 400 where it cannot be read as the beginning of a WebSocket."""
        super().data_received(data)
        fault = self.conn.handshake_exc
        if self.handshake_initiated or fault is None or self.transport.is_closing():
            return
        fault = fault.__cause__ or fault
        body = error_body(RequestError(f"This is no request for a WebSocket: {fault}.", code="invalid_handshake"))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
        )
        self.transport.write(head % len(body) + b"\r\n" + body)
        self.transport.close()
