"""Where a turn's events go: what must not be lost is kept first, then whoever listens is told.

A foreground stream is told at once and kept now and then; of a background run nothing is told that is not kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from onward.core import compose
from onward.core.events import Event, ItemClosed, ItemOpened, ToolStarted
from onward.core.items import Item
from onward.core.recording import pack_events
from onward.core.turns import TurnRequest
from onward.engine.live import LiveRun
from onward.engine.run_state import RunState

Emit = Callable[[Sequence[Event]], Awaitable[None]]
"""Takes the events of a turn as they happen, a batch at a time."""

FLUSH_SECONDS: Final = 0.5
MAX_UNKEPT: Final = 4096
"""Events that a foreground stream may be ahead of what is kept of it."""
FRAMES_AHEAD: Final = 2**16
"""More frames than MAX_UNKEPT events and a batch make: numbering goes on so far on where a foreground stream died."""


class Telling:
    """The events of one turn. `live` is None for a turn that nobody can ask for again."""

    def __init__(self, request: TurnRequest, state: RunState, live: LiveRun | None, emit: Emit) -> None:
        self._state = state
        self._live = live
        self._emit = emit
        self._background = request.background
        self._stream = request.stream
        self._opened: dict[int, ItemOpened] = {}
        self._recorded = 0
        self._rows: set[str] = set()
        self._kept = 0
        self._batches = 0
        self._flushed_at = 0.0
        self._flushing: asyncio.Future[None] | None = None

    def resume(self, events: Sequence[Event], *, batches: int, recorded: int, rows: Iterable[str]) -> None:
        """Go on after what an earlier owner told in so many batches; `recorded` indexes are done, as items `rows`."""
        assert self._live is not None
        self._live.tell(events)
        self._kept = len(events)
        self._batches = batches
        self._recorded = recorded
        self._rows = set(rows)

    async def tell(self, events: Sequence[Event]) -> None:
        """Tell events of a turn that goes on. Raises LeaseLost."""
        live = self._live
        if live is None:
            await self._emit(events)
        elif self._background:
            await self._record(events)
            if self._stream:
                await self._state.append(self._batches, pack_events(events))
                self._batches += 1
            live.tell(events)
        else:
            live.tell(events)
            await self._emit(events)
            await self._keep_up(live)

    async def tell_end(self, events: Sequence[Event]) -> None:
        """Tell the events of the end, once it is stored, and forget what a recording has taken the place of."""
        await self.tell_only(events)
        if self._batches:
            await self._state.drop_events()

    async def tell_only(self, events: Sequence[Event]) -> None:
        """Tell events that are kept already, or that no store of ours keeps."""
        if self._live is not None:
            self._live.tell(events)
        if not self._background:
            await self._emit(events)

    async def recording(self, output: Sequence[Item], last: Sequence[Event] = ()) -> bytes | None:
        """Return what was told, with `last` after it, to be kept with the end; None for a turn without a stream."""
        if self._flushing is not None:
            await asyncio.wait((self._flushing,))
        if self._live is None or not self._stream:
            return None
        return pack_events([*self._live.events, *last], items=output)

    async def _record(self, events: Sequence[Event]) -> None:
        """Keep closed items, and the attempts of tools before they run, in the order of the output."""
        kept: list[Item] = []
        for event in events:
            if isinstance(event, ItemOpened):
                self._opened[event.index] = event
            elif isinstance(event, ItemClosed):
                kept += self._attempts(event.index)
                kept.append(event.item)
                self._recorded = max(self._recorded, event.index + 1)
            elif isinstance(event, ToolStarted):
                kept += self._attempts(event.index)
                kept.append(self._attempt(self._opened[event.index], event.arguments))
                self._recorded = max(self._recorded, event.index + 1)
        if kept:
            await self._state.record(kept, first_index=len(self._rows))
            self._rows.update(item.id for item in kept)

    def _attempts(self, end: int) -> list[Item]:
        """Return stand-ins for items before `end` that were not recorded yet: hosted calls that are still open."""
        made = [self._attempt(self._opened[index]) for index in range(self._recorded, end) if index in self._opened]
        self._recorded = max(self._recorded, end)
        return made

    def _attempt(self, opened: ItemOpened, arguments: str = "") -> Item:
        body = compose.hosted_members(opened.type, name=opened.name or "", label=opened.label, arguments=arguments)
        return compose.hosted_call(opened.id, opened.type, body=body, status="in_progress")

    async def _keep_up(self, live: LiveRun) -> None:
        """Keep what a foreground stream has told, so that a reader elsewhere, or after a crash, finds most of it."""
        now = asyncio.get_running_loop().time()
        if not self._flushed_at:
            self._flushed_at = now
        ahead = len(live.events) - self._kept
        if (now - self._flushed_at < FLUSH_SECONDS and ahead < MAX_UNKEPT) or self._state.lease is None:
            return
        if self._flushing is not None:
            if not self._flushing.done() and ahead < MAX_UNKEPT:
                return
            await self._flushing
        batch = live.events[self._kept :]
        self._kept = len(live.events)
        self._flushed_at = now
        self._flushing = asyncio.ensure_future(self._state.append(self._batches, pack_events(batch)))
        self._batches += 1
