"""Whole conversations in batches, out and in: short reads and short writes, whatever their length."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from onward.core.errors import ConflictError
from onward.core.ids import new_suffix
from onward.core.items import Item
from onward.core.lineage import Segment
from onward.ports.conversations import Conversation
from onward.store.sqlite.cursor import Cursor
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id, pack_object
from onward.store.sqlite.flatten import BATCH, GRACE
from onward.store.sqlite.forks import calls_after
from onward.store.sqlite.garbage import LOG, add_garbage
from onward.store.sqlite.items import COLUMNS, insert_items, item_of
from onward.store.sqlite.logs import Log, get_log, insert_log, new_log, publish
from onward.store.sqlite.run_rows import CONVERSATION, claim_alias

_READ: Final = f"""
SELECT e.position, {COLUMNS} FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND e.position > ?3 AND e.position <= ?4 AND e.added_version <= ?5
  AND (e.deleted_version IS NULL OR e.deleted_version > ?5) ORDER BY e.position LIMIT {BATCH}
"""
_INSERT: Final = "INSERT INTO conversations (project, log, suffix, created_at, metadata) VALUES (?, ?, ?, ?, ?)"


def read_batch(project: int, part: Segment, done: int, cursor: Cursor) -> list[tuple[int, Item]]:
    """Return the next visible items of a segment after position `done`, each with its position."""
    rows = cursor.execute(_READ, (project, part.log, done, part.upto, part.version)).fetchall()
    return [(row[0], item_of(row[1:])) for row in rows]


class SqliteIncomingConversation:
    """A log that no name leads to yet; the sweep takes it where nobody finishes it."""

    def __init__(self, state: Database, project: int, log: Log, *, metadata: bytes, created_at: float) -> None:
        self._state = state
        self._project = project
        self._log = log
        self._metadata = metadata
        self._created_at = created_at
        self.finished = False

    async def add(self, items: Sequence[Item]) -> None:
        """Append a batch of items; durable when it returns."""

        def append(cursor: Cursor) -> Log:
            log = self._log
            start = insert_items(cursor, self._state.keys, self._project, items, run=None)
            calls = calls_after(log.open_calls, [(item.type, item.call_id) for item in items])
            numbered = list(enumerate(items, start))
            return publish(cursor, self._project, log, numbered, open_calls=calls, total=log.tokens, count=log.items)

        self._log = await self._state.write(append)

    async def finish(self, suffix: str | None) -> Conversation:
        """Open the conversation. Raises ConflictError for a suffix that exists, or where this took too long."""
        conversation = Conversation(suffix or new_suffix(), self._created_at, self._metadata)

        def name(cursor: Cursor) -> None:
            stored = get_log(cursor, self._project, self._log.key)
            if stored is None or stored.head != self._log.head:
                raise ConflictError("The import took too long.")
            if not claim_alias(cursor, self._project, CONVERSATION, conversation.suffix, stored.key):
                raise ConflictError(
                    f"A conversation with the id 'conv_{conversation.suffix}' exists already.", param="id"
                )
            row = (
                self._project,
                stored.key,
                pack_id(conversation.suffix),
                conversation.created_at,
                pack_object(conversation.metadata),
            )
            cursor.execute(_INSERT, row)

        await self._state.write(name)
        self.finished = True
        return conversation


@asynccontextmanager
async def incoming(
    state: Database, project: int, *, metadata: bytes, created_at: float
) -> AsyncGenerator[SqliteIncomingConversation]:
    """Open a log for a conversation that comes in; leaving the context without `finish` leaves it to the sweep."""

    def open_log(cursor: Cursor) -> Log:
        log = new_log(cursor, state.keys, named=True, base_hash=None)
        insert_log(cursor, project, log)
        add_garbage(cursor, project, LOG, log.key, after=GRACE)
        return log

    log = await state.write(open_log)
    conversation = SqliteIncomingConversation(state, project, log, metadata=metadata, created_at=created_at)
    try:
        yield conversation
    finally:
        if not conversation.finished:
            await state.write(lambda cursor: add_garbage(cursor, project, LOG, log.key))
