"""Conversations of one project: named logs, which threads are too."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

import msgspec

from onward.core import clock
from onward.core.errors import ConflictError, ConversationLocked, NotFoundError, RequestError
from onward.core.ids import new_suffix
from onward.core.items import CALL_TYPES, Item
from onward.ports.conversations import Conversation, ConversationPage, IncomingConversation
from onward.ports.runs import Base, ItemPage, Page
from onward.store.sqlite.bases import open_conversation
from onward.store.sqlite.conversation_lines import enter_line, is_next, leave_line, renew_place
from onward.store.sqlite.conversation_lists import find_conversations
from onward.store.sqlite.conversation_transfer import incoming, read_batch
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id, pack_names, pack_object, unpack_id, unpack_object
from onward.store.sqlite.flatten import MAX_SEGMENTS, copy_log, flatten
from onward.store.sqlite.forks import Part, calls_after, insert_fork, move, part_up_to, whole
from onward.store.sqlite.garbage import ITEM, LOG, add_garbage
from onward.store.sqlite.items import COLUMNS, insert_items, item_of
from onward.store.sqlite.leases import settle_if_lost
from onward.store.sqlite.logs import Log, Stand, get_log, insert_log, is_visible, locate, new_log, publish
from onward.store.sqlite.paging import read_page, spans_of
from onward.store.sqlite.run_rows import CONVERSATION, claim_alias

_INSERT: Final = "INSERT INTO conversations (project, log, suffix, created_at, metadata) VALUES (?, ?, ?, ?, ?)"
_GET: Final = "SELECT suffix, created_at, metadata FROM conversations WHERE project = ? AND log = ?"
_UPDATE: Final = "UPDATE conversations SET metadata = ?3 WHERE project = ?1 AND log = ?2"
_DELETE: Final = "DELETE FROM conversations WHERE project = ? AND log = ?"
_DROP_ALIAS: Final = "DELETE FROM aliases WHERE project = ? AND kind = ? AND id = ?"
_ITEM: Final = f"SELECT {COLUMNS} FROM items i WHERE i.key = ?2 AND i.project = ?1"
_HIDE: Final = "UPDATE entries SET deleted_version = ?4 WHERE project = ?1 AND log = ?2 AND position = ?3"
_SHRINK: Final = """
UPDATE logs SET version = ?3, tokens = tokens - ?4, items = items - 1, open_calls = ?5 WHERE project = ?1 AND key = ?2
"""


class SqliteConversations:
    """Named logs of one project. Every call on an unknown or deleted conversation raises NotFoundError."""

    def __init__(self, state: Database, project: int) -> None:
        self._state = state
        self._project = project

    async def create(self, *, metadata: bytes, items: Sequence[Item]) -> Conversation:
        """Create a conversation that begins with `items`. Raises RequestError for an id that comes twice."""
        conversation = Conversation(new_suffix(), clock.now(), metadata)

        def insert(cursor: Cursor) -> Conversation:
            log = new_log(cursor, self._state.keys, named=True, base_hash=None)
            insert_log(cursor, self._project, log)
            claim_alias(cursor, self._project, CONVERSATION, conversation.suffix, log.key)
            row = (
                self._project,
                log.key,
                pack_id(conversation.suffix),
                conversation.created_at,
                pack_object(metadata),
            )
            cursor.execute(_INSERT, row)
            self._append(cursor, log, items)
            return conversation

        return await self._state.write(insert)

    async def get(self, conversation_id: str) -> Conversation:
        """Return a conversation."""
        return await self._state.read(partial(self._get, conversation_id))

    def _get(self, conversation_id: str, cursor: Cursor) -> Conversation:
        log, _ = open_conversation(cursor, self._project, conversation_id)
        return _conversation(cursor, self._project, log)

    async def update(self, conversation_id: str, *, metadata: bytes) -> Conversation:
        """Replace the metadata."""

        def replace(cursor: Cursor) -> Conversation:
            log, _ = open_conversation(cursor, self._project, conversation_id)
            cursor.execute(_UPDATE, (self._project, log.key, pack_object(metadata)))
            return _conversation(cursor, self._project, log)

        return await self._state.write(replace)

    async def delete(self, conversation_id: str) -> None:
        """Close the name in both dialects; items that responses reach stay.

        Raises ConversationLocked while a run is active.
        """

        def close(cursor: Cursor) -> None:
            log = self._unlocked(cursor, conversation_id)
            suffix = _conversation(cursor, self._project, log).suffix
            cursor.execute(_DELETE, (self._project, log.key))
            for name in {suffix, conversation_id}:
                cursor.execute(_DROP_ALIAS, (self._project, CONVERSATION, pack_id(name)))
            add_garbage(cursor, self._project, LOG, log.key)

        await self._state.write(close)

    async def append(self, conversation_id: str, items: Sequence[Item]) -> None:
        """Append items. Raises ConversationLocked while a run is active, RequestError for a duplicate id."""
        await self._state.write(lambda cursor: self._append(cursor, self._unlocked(cursor, conversation_id), items))

    def _unlocked(self, cursor: Cursor, conversation_id: str) -> Log:
        log, _ = open_conversation(cursor, self._project, conversation_id)
        if log.active is None:
            return log
        if not settle_if_lost(cursor, self._project, log.key, log.active):
            raise ConversationLocked
        settled = get_log(cursor, self._project, log.key)
        assert settled is not None
        return settled

    def _append(self, cursor: Cursor, log: Log, items: Sequence[Item]) -> None:
        if not items:
            return
        seen: set[str] = set()
        lineage = log.lineage(log.head, log.version)
        for item in items:
            if item.id in seen or is_visible(cursor, self._project, lineage, item.id):
                raise RequestError(
                    f"Duplicate item found with id {item.id}. Remove duplicate items from your input and try again.",
                    param="items",
                )
            seen.add(item.id)
        start = insert_items(cursor, self._state.keys, self._project, items, run=None)
        numbered = list(enumerate(items, start))
        calls = calls_after(log.open_calls, [(item.type, item.call_id) for item in items])
        publish(cursor, self._project, log, numbered, open_calls=calls, total=log.tokens, count=log.items)

    async def page(self, conversation_id: str, page: Page, *, messages_only: bool = False) -> ItemPage:
        """Return a page of visible items; cursors stay valid after their item was deleted.

        Raises NotFoundError for a cursor that never was in the conversation.
        """

        def find(cursor: Cursor) -> ItemPage:
            log, _ = open_conversation(cursor, self._project, conversation_id)
            spans = spans_of(log.lineage(log.head, log.version), messages_only=messages_only)
            return read_page(cursor, self._project, spans, page)

        return await self._state.read(find)

    async def item(self, conversation_id: str, item_id: str) -> Item:
        """Return one visible item. Raises NotFoundError."""

        def find(cursor: Cursor) -> Item:
            log, _ = open_conversation(cursor, self._project, conversation_id)
            return self._find(cursor, log, conversation_id, item_id)[1]

        return await self._state.read(find)

    def _find(self, cursor: Cursor, log: Log, conversation_id: str, item_id: str) -> tuple[Stand, Item]:
        found = locate(cursor, self._project, log.lineage(log.head, log.version), item_id)
        row = None if found is None else first(cursor, _ITEM, (self._project, found.key))
        if found is None or row is None:
            raise NotFoundError(f"Item with id '{item_id}' not found in conversation with id '{conversation_id}'.")
        return found, item_of(row)

    async def remove(self, conversation_id: str, item_id: str) -> Conversation:
        """Delete one item from the log; branches taken before keep it. Raises NotFoundError, ConversationLocked."""

        def hide(cursor: Cursor) -> Conversation | Log:
            log = self._unlocked(cursor, conversation_id)
            found, item = self._find(cursor, log, conversation_id, item_id)
            if found.segment < len(log.base):
                return log
            version = log.version + 1
            calls = tuple(call for call in log.open_calls if item.type not in CALL_TYPES or call != item.call_id)
            cursor.execute(_HIDE, (self._project, log.key, found.position, version))
            cursor.execute(_SHRINK, (self._project, log.key, version, item.tokens, pack_names(calls)))
            add_garbage(cursor, self._project, ITEM, found.key)
            return _conversation(cursor, self._project, log)

        while isinstance(outcome := await self._state.write(hide), Log):
            # The item stands in what a fork inherited: the conversation needs entries of its own first.
            await self._detach(conversation_id, outcome)
        return outcome

    async def _detach(self, conversation_id: str, log: Log) -> None:
        """Let a conversation go on as a copy of its entries, unless it changes meanwhile."""
        base = Base(lineage=log.lineage(log.head, log.version), tokens=log.tokens, items=log.items)
        copy, _ = await copy_log(self._state, self._project, base, keep_deleted=True)

        def replace(cursor: Cursor) -> None:
            now = self._unlocked(cursor, conversation_id)
            if (now.key, now.head, now.version) == (log.key, log.head, log.version):
                move(cursor, self._project, now, copy)

        await self._state.write(replace)

    async def find(self, page: Page, *, metadata: Mapping[str, str] | None = None) -> ConversationPage:
        """Return a page of conversations whose metadata has all the given pairs.

        Raises NotFoundError for a cursor that never was.
        """
        return await self._state.read(lambda cursor: find_conversations(cursor, self._project, page, metadata or {}))

    async def fork(
        self, conversation_id: str, *, up_to: str | None = None, metadata: bytes | None = None
    ) -> Conversation:
        """Return a new conversation that begins with what this one shows, up to an item and with it, if given.

        Without `metadata` it takes over that of its origin. A run that is active on the origin is no part of it. Raises
        NotFoundError.
        """
        keys, project = self._state.keys, self._project

        def look(cursor: Cursor) -> Part:
            log, _ = open_conversation(cursor, project, conversation_id)
            return whole(log) if up_to is None else part_up_to(cursor, project, log, up_to)

        def insert(cursor: Cursor, part: Part) -> Conversation:
            origin, _ = open_conversation(cursor, project, conversation_id)
            known = _conversation(cursor, project, origin).metadata
            log = insert_fork(cursor, keys, project, part)
            fork = Conversation(new_suffix(), clock.now(), known if metadata is None else metadata)
            claim_alias(cursor, project, CONVERSATION, fork.suffix, log.key)
            row = (project, log.key, pack_id(fork.suffix), fork.created_at, pack_object(fork.metadata))
            cursor.execute(_INSERT, row)
            return fork

        def fork_at_once(cursor: Cursor) -> Conversation | Part:
            part = look(cursor)
            return part if len(part.lineage) > MAX_SEGMENTS else insert(cursor, part)

        made = await self._state.write(fork_at_once)
        if isinstance(made, Conversation):
            return made
        base = Base(lineage=made.lineage, tokens=made.tokens, items=made.items)
        flat = msgspec.structs.replace(made, lineage=await flatten(self._state, project, base))
        return await self._state.write(lambda cursor: insert(cursor, flat))

    async def items(self, conversation_id: str) -> AsyncGenerator[Sequence[Item]]:
        """Yield the items of a conversation, oldest first, in batches, as they were when the first was asked for.

        Raises NotFoundError, ConflictError where items went meanwhile.
        """

        def start(cursor: Cursor) -> Log:
            return open_conversation(cursor, self._project, conversation_id)[0]

        log = await self._state.read(start)
        left = log.items
        for part in log.lineage(log.head, log.version):
            done = 0
            while rows := await self._state.read(partial(read_batch, self._project, part, done), long=True):
                done = rows[-1][0]
                left -= len(rows)
                yield [item for _, item in rows]
        if left:
            raise ConflictError("The conversation was deleted meanwhile.")

    async def enter_line(self, conversation_id: str, *, limit: int, seconds: float) -> tuple[str, int]:
        """Take the last place of the line before a conversation; return its suffix and a ticket.

        Raises NotFoundError, RateLimitError.
        """
        return await self._state.write(
            lambda cursor: enter_line(cursor, self._project, conversation_id, limit=limit, seconds=seconds)
        )

    async def is_next(self, suffix: str, ticket: int) -> bool:
        """Tell whether nobody stands before a ticket and the conversation is free. Raises NotFoundError."""
        return await self._state.read(lambda cursor: is_next(cursor, self._project, suffix, ticket))

    async def renew_place(self, suffix: str, ticket: int, *, seconds: float) -> None:
        """Keep a place for so much longer."""
        await self._state.write(lambda cursor: renew_place(cursor, self._project, suffix, ticket, seconds=seconds))

    async def leave_line(self, suffix: str, ticket: int) -> None:
        """Give up a place."""
        await self._state.write(lambda cursor: leave_line(cursor, self._project, suffix, ticket))

    def receive(self, *, metadata: bytes, created_at: float) -> AbstractAsyncContextManager[IncomingConversation]:
        """Open a conversation that comes in by batches; leaving the context without `finish` leaves nothing."""
        return incoming(self._state, self._project, metadata=metadata, created_at=created_at)


def _conversation(cursor: Cursor, project: int, log: Log) -> Conversation:
    row = first(cursor, _GET, (project, log.key))
    assert row is not None
    return Conversation(unpack_id(row[0]), row[1], unpack_object(row[2]))
