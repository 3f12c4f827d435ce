"""The stored side of one turn: its run row, lease and end. A turn with `store=false` has none of it."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from onward.core.clock import now
from onward.core.errors import InternalError
from onward.core.items import Item
from onward.core.lineage import Lineage
from onward.core.turns import OnConversation, RunError, RunStatus, TurnRequest
from onward.core.usage import Usage
from onward.engine.pairs import unanswered
from onward.ports.model import Model
from onward.ports.runs import Base, Ending, Lease, LeaseLost, ModelCall, NewRun, Runs


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
        """Insert the run; awaited on a conversation, because the lock decides whether the model is asked at all."""
        if not self._request.store:
            return
        self._beginning = asyncio.ensure_future(self._insert())
        if isinstance(self._request.parent, OnConversation):
            await self._beginning

    async def begun(self) -> None:
        """Return once the run is durable. Raises what the insert raised."""
        if self._beginning is not None:
            await asyncio.shield(self._beginning)

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost."""
        if self._beginning is not None and self._beginning.done():
            await self._runs.renew(self._beginning.result(), seconds=30.0)

    async def end(self, ended: Ended, output: Sequence[Item]) -> Lineage | None:
        """End the run and publish it; return the lineage that continues it. Raises InternalError for a lost lease."""
        if self._beginning is None:
            return None
        lease = await asyncio.shield(self._beginning)
        ending = Ending(
            status=ended.status,
            output=output,
            usage=ended.usage,
            ended_at=now(),
            error=ended.error,
            incomplete_reason=ended.incomplete_reason,
            open_calls=unanswered([*self._supplied, *output]),
            model_calls=self.calls,
        )
        try:
            return await self._runs.end(lease, ending)
        except LeaseLost as lost:
            raise InternalError("The run was taken over by another process.") from lost

    async def _insert(self) -> Lease:
        request = self._request
        return await self._runs.begin(
            NewRun(
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
            )
        )
