"""Runs turns: prepares what a turn continues, leases its run, and hands it to the loop. Knows ports and core only."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from onward.core.errors import RequestError
from onward.core.events import Event
from onward.core.items import Item
from onward.core.lineage import EMPTY_HASH, extend_hash
from onward.core.turns import TurnRequest, TurnResult
from onward.engine.assembly import assemble
from onward.engine.context import ContextCache
from onward.engine.dispatch import Dispatch
from onward.engine.loop import Turn
from onward.engine.pairs import check_duplicates, check_pairs, duplicate
from onward.engine.project import TurnProject
from onward.engine.run_state import RunState
from onward.engine.servers import recall
from onward.ports.model import Models
from onward.ports.runs import Base, LeaseLost

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
        base = await self._base(project, request)
        dispatch = Dispatch(request, project.toolset)
        await dispatch.check()
        supplied = request.input[base.matched :]
        if not supplied and not base.lineage:
            raise RequestError("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
        check_duplicates(supplied)
        check_pairs(base.open_calls, supplied)
        await _check_fresh(project, request, base, supplied)
        recalled = await recall(project.runs, request, dispatch, base, supplied)
        tool_tokens = dispatch.tokens(model.capabilities)
        readable = recalled.readable
        assembly = await assemble(project, model, request, base, readable, self._cache, tool_tokens=tool_tokens)
        state = RunState(
            project.runs, request, base, supplied, suffix=suffix, created_at=created_at, owner=self._node, model=model
        )
        turn = Turn(project, request, model, dispatch, recalled, assembly, base, state, self._cache, emit)
        self._active.add(state)
        try:
            async with dispatch.session() as session:
                return await turn.run(session)
        finally:
            self._active.discard(state)

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

    async def _base(self, project: TurnProject, request: TurnRequest) -> Base:
        if request.parent is not None:
            return await project.runs.base(request.parent)
        if not request.store or len(request.input) < 2 or not any(item.role == "assistant" for item in request.input):
            return Base()
        hashes: list[bytes] = []
        running = EMPTY_HASH
        for item in request.input[:-1]:
            running = extend_hash(running, item)
            hashes.append(running)
        return await project.runs.base(None, input_hashes=hashes)


async def _check_fresh(project: TurnProject, request: TurnRequest, base: Base, supplied: Sequence[Item]) -> None:
    named = [item.id for item in supplied if item.id in request.named_ids] if base.lineage else []
    if named:
        found = await project.runs.contains(base.lineage, named)
        if found is not None:
            raise duplicate(found)
