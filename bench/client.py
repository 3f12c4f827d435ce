"""The load client: raw HTTP/1.1 over asyncio streams, so that the client costs as little as it can."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        on_data: Callable[[bytes], None] | None = None,
        content_type: bytes = b"application/json",
    ) -> bytes:
        """Send a request and return the body; `on_data` sees chunks of a chunked body as they come."""
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        self._writer.write(
            b"%b %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: %b\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (method.encode(), path.encode(), content_type, len(data), data)
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in head:
            content = await self._chunks(on_data)
        else:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            content = await self._reader.readexactly(length)
        if status != 200:
            raise RuntimeError(f"{status}: {content[:300]!r}")
        return content

    async def _chunks(self, on_data: Callable[[bytes], None] | None) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int((await self._reader.readuntil(b"\r\n"))[:-2], 16)
            data = (await self._reader.readexactly(size + 2))[:-2]
            if not size:
                return b"".join(parts)
            if on_data is not None:
                on_data(data)
            parts.append(data)


async def timed(connection: Connection, body: object, path: str = "/v1/responses") -> tuple[float, bytes]:
    """Return (seconds, body) of one create call."""
    started = time.perf_counter()
    answer = await connection.request("POST", path, body)
    return time.perf_counter() - started, answer
