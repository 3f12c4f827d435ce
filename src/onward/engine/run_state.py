"""The stored side of one turn: its run row, lease and end. A turn with `store=false` has none of it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from onward.core.errors import InternalError
from onward.core.items import Item
from onward.core.lineage import Lineage
from onward.core.turns import OnConversation, RunError, RunStatus, TurnRequest
from onward.core.usage import Usage
from onward.ports.model import Model
from onward.ports.runs import Base, Ending, Lease, LeaseLost, ModelCall, NewRun, Runs

LEASE_SECONDS: Final = 30.0


class Ended(Struct, frozen=True, kw_only=True):
    """How a turn ended, as the loop knows it."""

    status: RunStatus
    usage: Usage
    error: RunError | None = None
    incomplete_reason: str | None = None


class RunState:
    """Begins, renews and ends the run of one turn."""

    def __init__(
        self,
        runs: Runs,
        request: TurnRequest,
        base: Base,
        supplied: Sequence[Item],
        *,
        suffix: str,
        created_at: float,
        owner: str,
        model: Model,
    ) -> None:
        self._runs = runs
        self._request = request
        self._base = base
        self._supplied = supplied
        self._suffix = suffix
        self._created_at = created_at
        self._owner = owner
        self._model = model
        self._beginning: asyncio.Future[Lease] | None = None
        self.calls: list[ModelCall] = []

    async def begin(self) -> None:
        """Insert the run; awaited on a conversation, because the lock decides whether the model is asked at all.

        A run whose id nobody learns before it has ended, and that locks nothing, is inserted with its end.
        """
        if not self._request.store or not self._is_named_early():
            return
        self._beginning = asyncio.ensure_future(self._insert())
        if isinstance(self._request.parent, OnConversation):
            await self.begun()

    async def begun(self) -> None:
        """Return once the run is durable. Raises what the insert raised."""
        if self._beginning is not None:
            # Shielded: an insert that was under way when the turn was cancelled must leave a lease to end it with.
            await asyncio.shield(self._beginning)

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost."""
        beginning = self._beginning
        if beginning is not None and beginning.done() and beginning.exception() is None:
            await self._runs.renew(beginning.result(), seconds=LEASE_SECONDS)

    async def end(
        self, ended: Ended, output: Sequence[Item], *, ended_at: float, open_calls: tuple[str, ...] = ()
    ) -> Lineage | None:
        """End the run and publish it; return the lineage that continues it.

        Raises what the insert raised, InternalError for a lost lease.
        """
        if not self._request.store:
            return None
        ending = Ending(
            status=ended.status,
            output=output,
            usage=ended.usage,
            ended_at=ended_at,
            error=ended.error,
            incomplete_reason=ended.incomplete_reason,
            open_calls=open_calls,
            model_calls=self.calls,
        )
        if self._beginning is None:
            return await self._runs.complete(self._new_run(), ending)
        lease = await asyncio.shield(self._beginning)
        try:
            return await self._runs.end(lease, ending)
        except LeaseLost as lost:
            raise InternalError("The run was taken over by another process.") from lost

    def _is_named_early(self) -> bool:
        request = self._request
        return request.stream or request.background or isinstance(request.parent, OnConversation)

    async def _insert(self) -> Lease:
        return await self._runs.begin(self._new_run())

    def _new_run(self) -> NewRun:
        request = self._request
        return NewRun(
            suffix=self._suffix,
            dialect=request.dialect,
            status="in_progress",
            model=request.model,
            base=self._base,
            parent=request.parent,
            input=self._supplied,
            config=request.config,
            extra=request.extra,
            metadata=request.metadata,
            background=request.background,
            stream=request.stream,
            created_at=self._created_at,
            owner=self._owner,
            lease_seconds=LEASE_SECONDS,
        )
