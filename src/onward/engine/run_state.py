"""The stored side of one turn: its run row, lease, records and end. A turn with `store=false` has none of it."""

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
from onward.ports.runs import Base, Ending, Lease, ModelCall, NewRun, Runs

LEASE_SECONDS: Final = 30.0


class Ended(Struct, frozen=True, kw_only=True):
    """How a turn ended, as the loop knows it."""

    status: RunStatus
    usage: Usage
    error: RunError | None = None
    incomplete_reason: str | None = None


class RunState:
    """Begins, renews and ends the run of one turn. `adopted` is the lease of a run that another process began."""

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
        adopted: Lease | None = None,
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
        self.lost = False
        self.ending = False
        """The end is being stored, or is: a lease that is gone now means nothing."""
        if adopted is not None:
            self._beginning = asyncio.get_running_loop().create_future()
            self._beginning.set_result(adopted)

    async def begin(self) -> None:
        """Insert the run; awaited where the answer decides whether the model is asked at all: on a conversation, for
        its lock, under an idempotency key, and in the background, where the client is told that the run exists.

        A run whose id nobody learns before it has ended, and that locks nothing, is inserted with its end.
        """
        if not self._request.store or not self._is_named_early() or self._beginning is not None:
            return
        self._beginning = asyncio.ensure_future(self._runs.begin(self._new_run()))
        request = self._request
        if isinstance(request.parent, OnConversation) or request.background or request.claim is not None:
            await self.begun()

    async def begun(self) -> None:
        """Return once the run is durable. Raises what the insert raised."""
        if self._beginning is not None:
            # Shielded: an insert that was under way when the turn was cancelled must leave a lease to end it with.
            await asyncio.shield(self._beginning)

    @property
    def lease(self) -> Lease | None:
        """The lease, once the run is durable."""
        beginning = self._beginning
        if beginning is None or not beginning.done() or beginning.cancelled() or beginning.exception() is not None:
            return None
        return beginning.result()

    async def start(self) -> None:
        """Note that a queued run is in progress. Raises LeaseLost."""
        await self._runs.transition(self._held(), "in_progress")

    async def record(self, items: Sequence[Item], *, first_index: int) -> None:
        """Keep output items of a run that goes on. Raises LeaseLost."""
        await self._runs.record(self._held(), items, first_index=first_index)

    async def append(self, ordinal: int, batch: bytes) -> None:
        """Keep a batch of events of a run that goes on. Raises LeaseLost."""
        await self._runs.append_events(self._held(), ordinal, batch)

    async def drop_events(self) -> None:
        """Forget the batches of a run that has ended."""
        await self._runs.drop_events(self._held().run)

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost."""
        if self.lease is not None:
            await self._runs.renew(self.lease, seconds=LEASE_SECONDS)

    async def end(
        self,
        ended: Ended,
        output: Sequence[Item],
        *,
        ended_at: float,
        open_calls: tuple[str, ...] = (),
        recording: bytes | None = None,
    ) -> Lineage | None:
        """End the run and publish it; return the lineage that continues it.

        Raises what the insert raised, LeaseLost.
        """
        if not self._request.store:
            return None
        self.ending = True
        ending = Ending(
            status=ended.status,
            output=output,
            usage=ended.usage,
            ended_at=ended_at,
            error=ended.error,
            incomplete_reason=ended.incomplete_reason,
            open_calls=open_calls,
            model_calls=self.calls,
            recording=recording,
        )
        if self._beginning is None:
            return await self._runs.complete(self._new_run(), ending)
        lease = await asyncio.shield(self._beginning)
        return await self._runs.end(lease, ending)

    def _held(self) -> Lease:
        lease = self.lease
        if lease is None:
            raise InternalError("A run was written to before it was stored.")
        return lease

    def _is_named_early(self) -> bool:
        request = self._request
        early = request.stream or request.background or isinstance(request.parent, OnConversation)
        return early or request.claim is not None

    def _new_run(self) -> NewRun:
        request = self._request
        return NewRun(
            suffix=self._suffix,
            dialect=request.dialect,
            status="queued" if request.background else "in_progress",
            model=request.model,
            base=self._base,
            parent=request.parent,
            input=self._supplied,
            config=request.config,
            extra=request.extra,
            metadata=request.metadata,
            background=request.background,
            stream=request.stream,
            claim=request.claim,
            created_at=self._created_at,
            owner=self._owner,
            lease_seconds=LEASE_SECONDS,
        )
