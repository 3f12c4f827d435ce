"""The lanes of a WebSocket: first in, first out within one; side by side among them, up to a limit.

Messages without a lane of their own share one. What waits is bounded in number and in bytes; it must not know turns.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from onward.api.responses.socket_wire import Create
from onward.core.errors import RateLimitError, RequestError


class Limits(Struct, frozen=True, kw_only=True):
    """What one connection may ask for."""

    seconds: float = 3600.0
    """How long it may last."""
    in_flight: int = 16
    lanes: int = 32
    """Lanes that have a name."""
    waiting: int = 1024
    waiting_bytes: int = 64 * 1024 * 1024
    stalled_seconds: float = 60.0
    """How long a client may take no message that waits for it."""


class Lanes:
    """Turns in the order of their lanes, as tasks of `tasks`. `answer` sees to its own faults: it raises none."""

    def __init__(self, tasks: asyncio.TaskGroup, answer: Callable[[Create], Awaitable[None]], limits: Limits) -> None:
        self._tasks = tasks
        self._answer = answer
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.in_flight)
        self._lanes: dict[str | None, deque[Create]] = {}
        self._working: dict[str | None, asyncio.Task[None]] = {}
        self._waiting = 0
        self._bytes = 0

    def put(self, message: Create) -> None:
        """Put a message at the end of its lane. Raises RequestError, RateLimitError beyond a limit."""
        lane = message.stream_id
        if lane not in self._lanes:
            named = len(self._lanes) - (None in self._lanes)
            if lane is not None and named >= self._limits.lanes:
                raise RequestError(
                    f"This connection has {named} streams already, the most that one may have.",
                    param="stream_id",
                    code="websocket_stream_limit_reached",
                )
            self._lanes[lane] = deque()
        self._check_room(len(message.body))
        self._waiting += 1
        self._bytes += len(message.body)
        self._lanes[lane].append(message)
        if lane not in self._working:
            self._working[lane] = self._tasks.create_task(self._work(lane))

    def _check_room(self, size: int) -> None:
        limits = self._limits
        if self._waiting >= limits.waiting or (self._waiting and self._bytes + size > limits.waiting_bytes):
            raise RateLimitError(
                "Too many messages wait on this connection. Send the next one when a response has ended.",
                code="websocket_queue_limit_reached",
            )

    async def end(self, grace: float | None) -> None:
        """Drop what waits; end the turns under way after so many seconds, or never where it is None."""
        for waiting in self._lanes.values():
            waiting.clear()
        working = tuple(self._working.values())
        if not working:
            return
        await asyncio.wait(working, timeout=grace)
        for task in working:
            task.cancel()

    async def _work(self, lane: str | None) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting:
                async with self._slots:
                    if not waiting:
                        return  # dropped meanwhile
                    message = waiting.popleft()
                    self._waiting -= 1
                    self._bytes -= len(message.body)
                    await self._answer(message)
        finally:
            del self._working[lane]
