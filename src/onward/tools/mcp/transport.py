"""The HTTP transport of the MCP SDK over the guarded client, so that every one of its requests is checked.

The SDK hides why a request failed; what was seen on the wire is kept here for the error that a client reads.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final

import httpx2

from onward.ports.egress import Egress, EgressError, Receiving, Sending

READ_SECONDS: Final = 120.0
"""Silence that is waited out: a tool may work for long before it answers."""
_STATUSES: Final = frozenset(status.value for status in HTTPStatus)
_DECODED: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class EgressTransport(httpx2.AsyncBaseTransport):
    """Sends requests of the SDK through the guarded client; `status` and `fault` are those of the last failure."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self.status: int | None = None
        self.fault: EgressError | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. Raises httpx2.ConnectError where the guarded client refuses or fails."""
        sending = Sending(
            method=request.method,
            url=str(request.url),
            headers=tuple(request.headers.multi_items()),
            body=await request.aread(),
            read_seconds=READ_SECONDS,
        )
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._egress.send(sending))
            except EgressError as error:
                self.fault = error
                raise httpx2.ConnectError(error.message) from error
            if answer.status >= 400:
                self.status = answer.status
            headers = [(name, value) for name, value in answer.headers if name not in _DECODED]
            body = _Body(self, answer, stack.pop_all())
            return httpx2.Response(answer.status, headers=headers, stream=body, request=request)
        raise AssertionError("an exit stack hides no error")

    def forget(self) -> None:
        """Forget failures so far: they belong to what was asked before."""
        self.status = None
        self.fault = None

    def reason(self) -> tuple[int, str] | None:
        """Return status and sentence of the last failure on the wire; None where the wire was well."""
        if self.fault is not None:
            return HTTPStatus.FAILED_DEPENDENCY.value, self.fault.message
        if self.status is None:
            return None
        phrase = HTTPStatus(self.status).phrase if self.status in _STATUSES else "Unknown"
        return self.status, f"Http status code: {self.status} ({phrase})"


class _Body(httpx2.AsyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, transport: EgressTransport, answer: Receiving, held: AsyncExitStack) -> None:
        self._transport = transport
        self._answer = answer
        self._held = held

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._answer.chunks():
                yield block
        except EgressError as error:
            self._transport.fault = error
            raise httpx2.ReadError(error.message) from error

    async def aclose(self) -> None:
        await self._held.aclose()
