"""Runs turns: in the foreground for a caller that waits, in the background for one that asks again later."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Final

from onward.core.errors import OnwardError
from onward.core.events import Event, TurnQueued
from onward.core.turns import TERMINAL, TurnRequest, TurnResult
from onward.engine.adoption import Revive, resume
from onward.engine.context import ContextCache
from onward.engine.gate import FairGate
from onward.engine.live import LiveRun, LiveRuns
from onward.engine.loop import Turn
from onward.engine.preparation import Prepared, input_tokens, prepare
from onward.engine.project import TurnProject
from onward.engine.run_state import LEASE_SECONDS, RunState
from onward.engine.telling import Emit, Telling
from onward.ports.model import Model, Models
from onward.ports.runs import Adopted, LeaseLost, Recovery, Run

log = logging.getLogger("onward.engine")

HEARTBEAT_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 0.5
"""How soon a turn learns that another process has taken its run, or asks to cancel it."""
CANCEL_SECONDS: Final = 5.0
"""How long the process that has a run may take to cancel it, before it is ended without it."""
MAX_WAITING: Final = 10_000


class Engine:
    """One turn loop for every dialect. `node` names this process as the owner of leases."""

    def __init__(
        self,
        *,
        models: Models,
        node: str,
        cache: ContextCache | None = None,
        background_slots: int = 64,
    ) -> None:
        self.live = LiveRuns()
        self._models = models
        self._node = node
        self._cache = cache or ContextCache()
        self._gate = FairGate(background_slots, waiting=MAX_WAITING)
        self._active: dict[RunState, tuple[asyncio.Task[object] | None, LiveRun | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, project: TurnProject, request: TurnRequest, *, suffix: str, created_at: float, emit: Emit
    ) -> TurnResult:
        """Run one turn to its end and return how it ended.

        Raises OnwardError where the turn fails before its first event; later faults are events and a result.
        """
        told_again = request.store and request.stream and request.told_again
        async with self._open(project, suffix, named=told_again) as live:
            model = await self._models.resolve(request.model)
            prepared = await prepare(project, request, model, self._cache)
            state = self._state(project, request, model, prepared, suffix=suffix, created_at=created_at)
            telling = Telling(request, state, live, emit)
            turn = Turn(project, request, model, prepared, state, self._cache, telling, live)
            return await self._run(turn, state, prepared, live)

    async def start(self, project: TurnProject, request: TurnRequest, *, suffix: str, created_at: float) -> LiveRun:
        """Store a background run as queued, let it run when it is its turn, and return it.

        Raises OnwardError for what is wrong with the request, RateLimitError where too many wait.
        """
        self._gate.check(project.key)
        live = self.live.open(project.key, suffix)
        try:
            model = await self._models.resolve(request.model)
            prepared = await prepare(project, request, model, self._cache)
            state = self._state(project, request, model, prepared, suffix=suffix, created_at=created_at)
            telling = Telling(request, state, live, _to_nobody)
            await state.begin()
            await telling.tell((TurnQueued(),))
        except BaseException:
            self.live.close(project.key, suffix)
            raise
        turn = Turn(
            project, request, model, prepared, state, self._cache, telling, live, slot=self._gate.slot(project.key)
        )
        self._keep(self._run_in_background(turn, state, prepared, live, (project.key, suffix)))
        return live

    async def cancel(self, project: TurnProject, run: Run) -> None:
        """Cancel a run that has not ended, wherever it is under way; return once its end is stored."""
        live = self.live.get(project.key, run.suffix)
        if live is not None:
            live.cancel()
            await live.ended()
        elif run.status not in TERMINAL:
            await self._cancel_elsewhere(project, run)

    async def _cancel_elsewhere(self, project: TurnProject, run: Run) -> None:
        await project.runs.ask_to_cancel(run.suffix)
        deadline = asyncio.get_running_loop().time() + CANCEL_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(WATCH_SECONDS / 5)
            found = await project.runs.get(run.suffix)
            if found is None or found.status in TERMINAL:
                return
        await project.runs.cancel(run.suffix)

    async def count_input(self, project: TurnProject, request: TurnRequest) -> int:
        """Return the estimated tokens that a turn would send first. Raises what `run` raises before it begins."""
        model = await self._models.resolve(request.model)
        return input_tokens(request, (await prepare(project, request, model, self._cache)).assembly)

    async def adopt(self, recovery: Recovery, projects: Callable[[int], TurnProject], revive: Revive) -> None:
        """Go on with the background runs of processes that died; returns once their turns are under way."""
        for adopted in await recovery.adopt(self._node, seconds=LEASE_SECONDS):
            self._keep(self._go_on(projects(adopted.project), adopted, revive))

    async def heartbeat(self, recovery: Recovery) -> None:
        """Renew the leases of all turns of this process, and stop turns that lost theirs, until cancelled."""
        renewed = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._stop_lost(recovery)
            except Exception:  # a passing fault must not end the heartbeat
                log.exception("leases could not be read")
            now = asyncio.get_running_loop().time()
            if now - renewed >= HEARTBEAT_SECONDS:
                renewed = now
                await self._renew()

    async def aclose(self) -> None:
        """Stop the background turns of this process; another one, or the next start, goes on with them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _renew(self) -> None:
        for state in tuple(self._active):
            try:
                await state.renew()
            except LeaseLost:
                pass  # its turn is stopped by the watch
            except Exception:  # a passing fault must not cost the other turns their leases
                log.exception("a lease was not renewed")

    async def _stop_lost(self, recovery: Recovery) -> None:
        """Stop turns whose run was taken, and cancel those that another process was asked to cancel."""
        if not any(state.lease is not None for state in self._active):
            return
        held = await recovery.held(self._node)
        for state, (task, live) in tuple(self._active.items()):
            lease = state.lease
            if lease is None or state.ending or state.lost or task is None:
                continue
            if lease not in held:
                state.lost = True
                task.cancel()
            elif held[lease] and live is not None:
                live.cancel()

    @asynccontextmanager
    async def _open(self, project: TurnProject, suffix: str, *, named: bool) -> AsyncGenerator[LiveRun | None]:
        if not named:
            yield None
            return
        try:
            yield self.live.open(project.key, suffix)
        finally:
            self.live.close(project.key, suffix)

    def _state(
        self,
        project: TurnProject,
        request: TurnRequest,
        model: Model,
        prepared: Prepared,
        *,
        suffix: str,
        created_at: float,
    ) -> RunState:
        return RunState(
            project.runs,
            request,
            prepared.base,
            prepared.supplied,
            suffix=suffix,
            created_at=created_at,
            owner=self._node,
            model=model,
        )

    async def _run(self, turn: Turn, state: RunState, prepared: Prepared, live: LiveRun | None) -> TurnResult:
        task = asyncio.current_task()
        self._active[state] = (task, live)
        try:
            async with prepared.dispatch.session() as session:
                if live is not None:
                    live.run_in(task)
                return await turn.run(session)
        finally:
            del self._active[state]

    async def _run_in_background(
        self, turn: Turn, state: RunState, prepared: Prepared, live: LiveRun, name: tuple[int, str]
    ) -> None:
        try:
            await self._run(turn, state, prepared, live)
        except Exception as error:  # the run keeps its lease until that expires; then another owner looks at it
            log.warning("a background turn was left: %s", error, exc_info=not isinstance(error, OnwardError))
        finally:
            self.live.close(*name)

    async def _go_on(self, project: TurnProject, adopted: Adopted, revive: Revive) -> None:
        live = self.live.open(project.key, adopted.run.suffix)
        slot = self._gate.slot(project.key)
        try:
            resumed = await resume(
                project, adopted, revive, self._models, self._cache, live, owner=self._node, slot=slot
            )
        except BaseException:
            self.live.close(project.key, adopted.run.suffix)
            raise
        if resumed is None:
            self.live.close(project.key, adopted.run.suffix)
            return
        turn, state, prepared = resumed
        await self._run_in_background(turn, state, prepared, live, (project.key, adopted.run.suffix))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _to_nobody(_events: Sequence[Event]) -> None:
    return None
