"""Turns under way in this process, with what they have told so far: any number of readers, each at its own pace."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from onward.core.events import Event


class LiveRun:
    """One turn under way. A reader that lags only lags: what was told stays until the turn is forgotten."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.cancelled = False
        """Somebody asked for this turn to be cancelled, which is not the same as a server that shuts down."""
        self._task: asyncio.Task[object] | None = None
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def run_in(self, task: "asyncio.Task[object] | None") -> None:
        """Name the task that cancelling this turn cancels."""
        self._task = task
        if self.cancelled and task is not None:
            task.cancel()

    def tell(self, events: Sequence[Event]) -> None:
        """Add events and wake the readers."""
        self.events.extend(events)
        self._wake()

    def end(self) -> None:
        """Nothing more will be told."""
        self._ended = True
        self._wake()

    def cancel(self) -> None:
        """Cancel the turn; it tells its end by itself."""
        if not self._ended and not self.cancelled:
            self.cancelled = True
            if self._task is not None:
                self._task.cancel()

    async def follow(self, start: int = 0) -> AsyncGenerator[Sequence[Event]]:
        """Yield what was told from event `start` on, then what is told, until the turn has ended."""
        while True:
            batch = self.events[start:]
            if batch:
                start += len(batch)
                yield batch
                continue
            if self._ended:
                return
            await self.changed()

    async def ended(self) -> None:
        """Return once the turn has ended."""
        while not self._ended:
            await self.changed()

    async def changed(self) -> None:
        """Return when something was told after this call."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class LiveRuns:
    """The turns under way in this process, by project and suffix."""

    def __init__(self) -> None:
        self._runs: dict[tuple[int, str], LiveRun] = {}

    def open(self, project: int, suffix: str) -> LiveRun:
        """Return a new live run."""
        live = self._runs[project, suffix] = LiveRun()
        return live

    def close(self, project: int, suffix: str) -> None:
        """End and forget a run; readers that have it keep what it told."""
        live = self._runs.pop((project, suffix), None)
        if live is not None:
            live.end()

    def get(self, project: int, suffix: str) -> LiveRun | None:
        """Return a run that is under way here."""
        return self._runs.get((project, suffix))
