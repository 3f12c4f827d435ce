"""A connection to one MCP server for the length of a turn, by the official SDK.

The SDK lives in a task of its own: whatever breaks inside it ends that task and never cancels the turn. Calls of a turn
come one after the other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any, Final, TypeVar, cast

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation

from onward.core.tools import Access
from onward.ports.egress import Egress
from onward.tools.mcp.transport import EgressTransport

CLOSE_SECONDS: Final = 2.0
"""How long a server is given to hear that its session is over."""
MAX_EVENT: Final = 4 * 1024 * 1024
"""Bytes of one event: of one result."""
OLD_TRANSPORT: Final = frozenset({404, 405})
"""Answers of a server that may speak the older transport of two addresses."""

for _name in ("mcp", "client", "httpx2", "httpcore2"):
    # These tell addresses, sessions and contents of messages, which are the client's secrets.
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_T = TypeVar("_T")
_Job = tuple[Callable[[Client], Awaitable[Any]], asyncio.Future[Any]]


class ServerFault(Exception):
    """The server did not do what it was asked. `kind` is `http_error` or `mcp_protocol_error`, `code` its number."""

    def __init__(self, kind: str, code: int, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message


class Connection:
    """One server. It is opened by the first request and opened again after a failure."""

    def __init__(self, access: Access, egress: Egress) -> None:
        self._access = access
        self._egress = egress
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._transport = EgressTransport(egress)

    async def request(self, work: Callable[[Client], Awaitable[_T]], *, seconds: float) -> _T:
        """Do `work` with the client of an open session. Raises ServerFault."""
        if self._task is None or self._task.done():
            self._jobs = asyncio.Queue()
            self._transport = EgressTransport(self._egress)
            self._task = asyncio.create_task(self._serve(), name="mcp")
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((work, answer))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        except BaseException as error:
            answer.cancel()
            await self._end(seconds=0)
            if isinstance(error, TimeoutError):
                raise ServerFault("http_error", 504, f"The server did not answer within {seconds:g} s.") from error
            raise
        if answer.done():
            try:
                return answer.result()
            except Exception as error:
                raise self._told(error) from error
        answer.cancel()
        raise self._told(None if self._task.cancelled() else self._task.exception())

    async def aclose(self) -> None:
        """End the session and its task."""
        await self._end(seconds=CLOSE_SECONDS)

    async def _end(self, *, seconds: float) -> None:
        """End the task: politely within `seconds`, then by force."""
        task = self._task
        self._task = None
        if task is None:
            return
        self._jobs.put_nowait(None)
        if seconds:
            await asyncio.wait((task,), timeout=seconds)
        task.cancel()
        await asyncio.wait((task,), timeout=CLOSE_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # it was told where it mattered

    async def _serve(self) -> None:
        opened = asyncio.Event()
        url = self._access.url
        async with httpx2.AsyncClient(
            transport=self._transport, headers=list(self._access.headers), timeout=None, trust_env=False
        ) as http:
            try:
                await self._session(
                    streamable_http_client(url, http_client=http, max_sse_event_size=MAX_EVENT), "auto", opened
                )
            except Exception:
                if opened.is_set() or self._transport.status not in OLD_TRANSPORT:
                    raise
                self._transport.status = None
                await self._session(sse_client(url, httpx_client_factory=self._client), "legacy", opened)

    def _client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        del timeout, auth
        mine = [*self._access.headers, *(headers or {}).items()]
        return httpx2.AsyncClient(transport=self._transport, headers=mine, timeout=None, trust_env=False)

    async def _session(self, transport: AbstractAsyncContextManager[Any], mode: str, opened: asyncio.Event) -> None:
        who = Implementation(name="onward", version=version("onward"))
        async with Client(transport, mode=mode, cache=None, client_info=who) as client:
            opened.set()
            while (job := await self._jobs.get()) is not None:
                work, answer = job
                self._transport.forget()
                try:
                    result = await work(client)
                except Exception as error:  # noqa: BLE001 - told to the one who waits
                    if not answer.done():
                        answer.set_exception(error)
                else:
                    if not answer.done():
                        answer.set_result(result)

    def _told(self, error: BaseException | None) -> ServerFault:
        """Return the fault as a client may read it: what was seen on the wire, else what the server said."""
        seen = self._transport.reason()
        cause = _first(error)
        said = isinstance(cause, MCPError) and self._transport.fault is None and self._transport.status == 400
        if seen is not None and not said:
            return ServerFault("http_error", *seen)
        if isinstance(cause, MCPError):
            return ServerFault("mcp_protocol_error", cause.code, cause.message[:2_000])
        return ServerFault("mcp_protocol_error", -32603, "The server did not answer as the protocol asks.")


def _first(error: BaseException | None) -> BaseException | None:
    """Return the first cause inside groups of errors."""
    current = error
    while isinstance(current, BaseExceptionGroup):
        current = cast("BaseExceptionGroup[BaseException]", current).exceptions[0]
    return current
