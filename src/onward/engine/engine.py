"""Runs turns: prepares what a turn continues, leases its run, and hands it to the loop. Knows ports and core only."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from onward.core.events import Event
from onward.core.turns import TurnRequest, TurnResult
from onward.engine.context import ContextCache
from onward.engine.loop import Turn
from onward.engine.preparation import input_tokens, prepare
from onward.engine.project import TurnProject
from onward.engine.run_state import RunState
from onward.ports.model import Models
from onward.ports.runs import LeaseLost

log = logging.getLogger("onward.engine")

Emit = Callable[[Sequence[Event]], Awaitable[None]]
"""Takes the events of a turn as they happen, a batch at a time."""

HEARTBEAT_SECONDS: Final = 10.0


class Engine:
    """One turn loop for every dialect. `node` names this process as the owner of leases."""

    def __init__(self, *, models: Models, node: str, cache: ContextCache | None = None) -> None:
        self._models = models
        self._node = node
        self._cache = cache or ContextCache()
        self._active: set[RunState] = set()

    async def run(
        self, project: TurnProject, request: TurnRequest, *, suffix: str, created_at: float, emit: Emit
    ) -> TurnResult:
        """Run one turn to its end and return how it ended.

        Raises OnwardError where the turn fails before its first event; later faults are events and a result.
        """
        model = await self._models.resolve(request.model)
        prepared = await prepare(project, request, model, self._cache)
        base, dispatch = prepared.base, prepared.dispatch
        state = RunState(
            project.runs,
            request,
            base,
            prepared.supplied,
            suffix=suffix,
            created_at=created_at,
            owner=self._node,
            model=model,
        )
        recalled, assembly = prepared.recalled, prepared.assembly
        turn = Turn(project, request, model, dispatch, recalled, assembly, base, state, self._cache, emit)
        self._active.add(state)
        try:
            async with dispatch.session() as session:
                return await turn.run(session)
        finally:
            self._active.discard(state)

    async def count_input(self, project: TurnProject, request: TurnRequest) -> int:
        """Return the estimated tokens that a turn would send first. Raises what `run` raises before it begins."""
        model = await self._models.resolve(request.model)
        return input_tokens(request, await prepare(project, request, model, self._cache))

    async def heartbeat(self) -> None:
        """Renew the leases of all turns of this process until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for state in tuple(self._active):
                try:
                    await state.renew()
                except LeaseLost:
                    pass  # its turn learns of it when it ends
                except Exception:  # a passing fault must not cost the other turns their leases
                    log.exception("a lease was not renewed")
