"""How many background turns run at once, and whose turn is next: one project after another, whoever asked for more."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from onward.core.errors import RateLimitError


class FairGate:
    """So many slots; who waits is let in project by project. `waiting` bounds each project's queue."""

    def __init__(self, slots: int, *, waiting: int) -> None:
        self._free = slots
        self._limit = waiting
        self._queues: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    def check(self, project: int) -> None:
        """Raise RateLimitError where a project's queue is full."""
        if len(self._queues.get(project, ())) >= self._limit:
            raise RateLimitError(
                f"Too many background responses are waiting (limit {self._limit}). Please retry later.",
                code="background_queue_full",
            )

    @asynccontextmanager
    async def slot(self, project: int) -> AsyncGenerator[None]:
        """Hold a slot for the length of a block, once it is the project's turn."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(project)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, project: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(project, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._queues:
            project, queue = self._queues.popitem(last=False)
            while queue:
                turn = queue.popleft()
                if turn.done():
                    continue
                if queue:
                    self._queues[project] = queue
                turn.set_result(None)
                return
        self._free += 1
