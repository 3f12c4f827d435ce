"""The runs of one project: reads on the loop, writes in the group commit, and nothing that grows with the history."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from onward.core.errors import RequestError
from onward.core.items import Item
from onward.core.lineage import Lineage
from onward.core.turns import TERMINAL, AfterResponse, OnConversation, Parent, RunStatus
from onward.ports.runs import Base, Ending, ItemPage, Lease, NewRun, Page, Run
from onward.store.sqlite import turns
from onward.store.sqlite.bases import Lost, base_after, base_of_history, base_on
from onward.store.sqlite.complete import complete
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id
from onward.store.sqlite.flatten import MAX_SEGMENTS, flatten
from onward.store.sqlite.garbage import CONFIGS, LOG, add_garbage, add_garbage_items
from onward.store.sqlite.items import newest_published
from onward.store.sqlite.leases import (
    MAX_OWNERS,
    ask_to_cancel,
    liveness,
    release,
    renew_lease,
    settle_cancelled,
    settle_if_lost,
)
from onward.store.sqlite.logs import is_visible, read_lineage, read_newest
from onward.store.sqlite.owners import Owners
from onward.store.sqlite.paging import Span, read_page, spans_of
from onward.store.sqlite.run_events import add_batch, drop_batches, raise_fence, read_batches
from onward.store.sqlite.run_rows import OUTPUT, RUN, find_row, run_of, side_items

LONG_CONTEXT: Final = 256
"""A context that may have more items is read in a thread."""

T = TypeVar("T")

_GET_RECORDING = "SELECT body FROM recordings WHERE run = ?2 AND project = ?1"
_DROP_RECORDING = "DELETE FROM recordings WHERE run = ?2 AND project = ?1"
_DROP_ALIAS = "DELETE FROM aliases WHERE project = ? AND kind = ? AND id = ? AND key = ?"
_ITEM_KEYS = "SELECT item FROM run_items WHERE project = ? AND run = ?"
_DROP_RUN = tuple(
    f"DELETE FROM {table} WHERE project = ? AND run = ?" for table in ("run_items", "model_calls", "steps")
)
_DROP_ROW = "DELETE FROM runs WHERE project = ? AND log = ? AND key = ?"


class SqliteRuns:
    """Runs of one project."""

    def __init__(self, state: Database, events: Database, project: int, owners: Owners) -> None:
        self._state = state
        self._events = events
        self._owners = owners
        self._project = project

    async def base(self, parent: Parent | None, *, input_hashes: Sequence[bytes] = ()) -> Base:
        """Return what a turn continues. Without a parent, the longest prefix of `input_hashes` that is stored is used.

        Raises PreviousResponseNotFound, NotFoundError (conversation), ConversationLocked, RequestError (unfinished).
        """
        match parent:
            case None:
                find = partial(base_of_history, project=self._project, hashes=tuple(input_hashes))
            case AfterResponse(response_id):
                find = partial(base_after, project=self._project, response_id=response_id)
            case OnConversation(conversation_id):
                find = partial(base_on, project=self._project, conversation_id=conversation_id)
        return await self._settling(find)

    async def _settling(self, find: Callable[[Cursor], T]) -> T:
        while True:
            try:
                return await self._state.read(find)
            except Lost as lost:
                settle = partial(settle_if_lost, project=self._project, log=lost.log, run=lost.run)
            await self._state.write(settle)

    async def context(self, lineage: Lineage, *, token_budget: int | None = None) -> Sequence[Item]:
        """Return the visible items of a lineage, oldest first; with a budget, the newest ones that fit it."""
        long = sum(part.upto for part in lineage) > LONG_CONTEXT
        if token_budget is None:
            return await self._state.read(lambda cursor: read_lineage(cursor, self._project, lineage), long=long)
        budget = token_budget
        return await self._state.read(
            lambda cursor: read_newest(cursor, self._project, lineage, token_budget=budget), long=long
        )

    async def of_types(self, lineage: Lineage, types: Sequence[str]) -> Sequence[Item]:
        """Return the visible items of a lineage that are of one of `types`, oldest first."""
        long = sum(part.upto for part in lineage) > LONG_CONTEXT
        return await self._state.read(
            lambda cursor: read_lineage(cursor, self._project, lineage, types=types), long=long
        )

    async def contains(self, lineage: Lineage, item_ids: Sequence[str]) -> str | None:
        """Return the first of `item_ids` that is visible in the lineage."""

        def find(cursor: Cursor) -> str | None:
            return next((name for name in item_ids if is_visible(cursor, self._project, lineage, name)), None)

        return await self._state.read(find)

    async def begin(self, new: NewRun) -> Lease:
        """Insert the run with its input in one transaction, on the tip of its log or on a new one where that is taken.

        Raises ConversationLocked where another run is active on the conversation, PreviousResponseNotFound where the
        history was deleted since `base`.
        """
        flat = await self._flattened(new)
        return await self._state.write(lambda cursor: turns.begin(cursor, self._state.keys, self._project, flat))

    async def complete(self, new: NewRun, ending: Ending) -> Lineage:
        """Insert a run and end it in one transaction; return the lineage that continues it. Raises as `begin` does."""
        flat = await self._flattened(new)
        keys, project = self._state.keys, self._project

        def insert_and_end(cursor: Cursor) -> Lineage:
            if new.dialect != "assistants":
                return complete(cursor, keys, project, flat, ending)
            return turns.end(cursor, keys, project, turns.begin(cursor, keys, project, flat), ending)

        return await self._state.write(insert_and_end)

    async def _flattened(self, new: NewRun) -> NewRun:
        self._owners.show(new.owner)
        if new.base.log is not None or len(new.base.lineage) <= MAX_SEGMENTS:
            return new
        lineage = await flatten(self._state, self._project, new.base)
        return msgspec.structs.replace(new, base=msgspec.structs.replace(new.base, lineage=lineage))

    async def renew(self, lease: Lease, *, seconds: float) -> None:
        """Extend the lease by the store's clock. Raises LeaseLost."""
        await self._state.write(lambda cursor: renew_lease(cursor, self._project, lease, seconds))

    async def record(self, lease: Lease, items: Sequence[Item], *, first_index: int) -> None:
        """Write output items of a run that goes on; an item recorded before takes its new body. Raises LeaseLost.

        `first_index` is the output index of the first item.
        """
        await self._state.write(
            lambda cursor: turns.record(cursor, self._state.keys, self._project, lease, items, first_index)
        )

    async def transition(self, lease: Lease, status: RunStatus) -> None:
        """Move a run that goes on to another state (requires_action drops the lease). Raises LeaseLost."""
        await self._state.write(lambda cursor: turns.transition(cursor, self._project, lease, status))

    async def resume(self, suffix: str, *, outputs: Sequence[Item], owner: str, lease_seconds: float) -> Lease:
        """Append tool outputs to a run in requires_action and lease it again, in one transaction.

        Raises RequestError, NotFoundError.
        """
        keys, project = self._state.keys, self._project
        self._owners.show(owner)
        lease = await self._state.write(
            lambda cursor: turns.resume(cursor, keys, project, suffix, outputs, owner=owner, seconds=lease_seconds)
        )
        if lease is None:
            raise RequestError('Runs in status "expired" do not accept tool outputs.')
        return lease

    async def end(self, lease: Lease, ending: Ending) -> Lineage:
        """End the run, publish what its dialect publishes, release its claim; return the lineage of its continuation.

        Items recorded before may be in `ending.output` again. Raises LeaseLost.
        """
        return await self._state.write(lambda cursor: turns.end(cursor, self._state.keys, self._project, lease, ending))

    async def ask_to_cancel(self, suffix: str) -> None:
        """Ask the process that has a run under way to cancel it."""

        def ask(cursor: Cursor) -> None:
            row = find_row(cursor, self._project, suffix)
            if row is not None:
                ask_to_cancel(cursor, self._project, row.log, row.key)

        await self._state.write(ask)

    async def cancel(self, suffix: str) -> None:
        """End a run that another process has under way as cancelled, so that its owner can write no more."""

        def end(cursor: Cursor) -> int | None:
            row = find_row(cursor, self._project, suffix)
            if row is None or row.status in TERMINAL:
                return None
            settle_cancelled(cursor, self._project, row.log, row.key)
            return row.key

        run = await self._state.write(end)
        if run is not None:
            shut = Lease(run, MAX_OWNERS + 1, 0)
            await self._events.write(lambda cursor: raise_fence(cursor, self._project, shut))

    async def get(self, suffix: str) -> Run | None:
        """Return the run behind a response or run id, or their suffix; None where it was deleted or never stored."""

        def find(cursor: Cursor) -> Run | None:
            row = find_row(cursor, self._project, suffix)
            if row is None:
                return None
            if row.status not in TERMINAL and liveness(cursor, self._project, row.log, row.key) != "alive":
                raise Lost(row.log, row.key)
            return run_of(cursor, self._project, row)

        return await self._settling(find)

    async def output(self, run: Run) -> Sequence[Item]:
        """Return the output items of a run in order of output index."""
        return await self._state.read(lambda cursor: side_items(cursor, self._project, run.key, OUTPUT))

    async def recording(self, run: Run) -> bytes | None:
        """Return the recorded events of a streamed run that has ended; None where it has none."""
        row = await self._state.read(lambda cursor: first(cursor, _GET_RECORDING, (self._project, run.key)))
        return None if row is None else row[0]

    async def append_events(self, lease: Lease, ordinal: int, batch: bytes) -> None:
        """Keep the batch `ordinal` (dense from 0) of a run under way. Raises LeaseLost."""
        await self._events.write(lambda cursor: add_batch(cursor, self._project, lease, ordinal, batch))

    async def events(self, run_key: int, *, start: int = 0) -> Sequence[bytes]:
        """Return the batches of a run under way, or of one that died, from ordinal `start` on."""
        return await self._events.read(lambda cursor: read_batches(cursor, self._project, run_key, start))

    async def drop_events(self, run_key: int) -> None:
        """Forget the batches of a run that has ended and has a recording."""
        await self._events.write(lambda cursor: drop_batches(cursor, self._project, run_key))

    async def input_page(self, run: Run, page: Page) -> ItemPage:
        """Return a page of the items that the run was given: its context, then its own input.

        Raises NotFoundError for a cursor that never was among them.
        """
        spans = [*spans_of(run.lineage), Span(2**31, run=run.key)]
        return await self._state.read(lambda cursor: read_page(cursor, self._project, spans, page))

    async def delete(self, suffix: str) -> bool:
        """Remove the handle of a run; descendants keep their context. Returns False for an unknown id."""
        key = await self._state.write(lambda cursor: _delete(cursor, self._project, suffix))
        if key is None:
            return False
        await self.drop_events(key)
        return True

    async def item(self, item_id: str) -> Item | None:
        """Resolve an item reference within the project, newest first; items of unpublished runs are not found."""
        return await self._state.read(lambda cursor: newest_published(cursor, self._project, item_id))


def _delete(cursor: Cursor, project: int, suffix: str) -> int | None:
    row = find_row(cursor, project, suffix)
    if row is None:
        return None
    items = [found[0] for found in cursor.execute(_ITEM_KEYS, (project, row.key)).fetchall()]
    add_garbage_items(cursor, project, items)
    add_garbage(cursor, project, LOG, row.log)
    if row.config is not None:
        add_garbage(cursor, project, CONFIGS, 0)
    for name in {row.suffix, suffix}:
        cursor.execute(_DROP_ALIAS, (project, RUN, pack_id(name), row.key))
    release(cursor, project, row.log, row.key)
    for sql in _DROP_RUN:
        cursor.execute(sql, (project, row.key))
    cursor.execute(_DROP_RECORDING, (project, row.key))
    cursor.execute(_DROP_ROW, (project, row.log, row.key))
    return row.key
