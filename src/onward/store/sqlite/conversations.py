"""Conversations of one project: named logs, which threads are too."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from onward.core import clock
from onward.core.errors import ConversationLocked, NotFoundError, RequestError
from onward.core.ids import new_suffix
from onward.core.items import CALL_TYPES, OUTPUT_OF, Item
from onward.ports.conversations import Conversation
from onward.ports.runs import ItemPage, Page
from onward.store.sqlite.bases import open_conversation
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import pack_id, pack_names, pack_object, unpack_id, unpack_object
from onward.store.sqlite.garbage import ITEM, LOG, add_garbage
from onward.store.sqlite.items import COLUMNS, insert_items, item_of, keys_of_id
from onward.store.sqlite.leases import settle_if_lost
from onward.store.sqlite.logs import Log, get_log, insert_log, new_log, places, publish
from onward.store.sqlite.paging import Span, read_page
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
        for item in items:
            if item.id in seen or self._visible(cursor, log, item.id) is not None:
                raise RequestError(
                    f"Duplicate item found with id {item.id}. Remove duplicate items from your input and try again.",
                    param="items",
                )
            seen.add(item.id)
        start = insert_items(cursor, self._state.keys, self._project, items, run=None)
        numbered = list(enumerate(items, start))
        calls = _calls_after(log.open_calls, items)
        publish(cursor, self._project, log, numbered, open_calls=calls, total=log.tokens, count=log.items)

    def _visible(self, cursor: Cursor, log: Log, item_id: str) -> tuple[int, int] | None:
        """Return key and position of the visible item with this id."""
        for key in keys_of_id(cursor, self._project, item_id):
            for stands, position, _, deleted in places(cursor, self._project, key):
                if stands == log.key and deleted is None:
                    return key, position
        return None

    async def page(self, conversation_id: str, page: Page, *, messages_only: bool = False) -> ItemPage:
        """Return a page of visible items; cursors stay valid after their item was deleted.

        Raises NotFoundError for a cursor that never was in the conversation.
        """

        def find(cursor: Cursor) -> ItemPage:
            log, _ = open_conversation(cursor, self._project, conversation_id)
            span = Span(log.head, log=log.key, version=log.version, messages_only=messages_only)
            return read_page(cursor, self._project, [span], page)

        return await self._state.read(find)

    async def item(self, conversation_id: str, item_id: str) -> Item:
        """Return one visible item. Raises NotFoundError."""

        def find(cursor: Cursor) -> Item:
            log, _ = open_conversation(cursor, self._project, conversation_id)
            return self._find(cursor, log, conversation_id, item_id)[2]

        return await self._state.read(find)

    def _find(self, cursor: Cursor, log: Log, conversation_id: str, item_id: str) -> tuple[int, int, Item]:
        found = self._visible(cursor, log, item_id)
        row = None if found is None else first(cursor, _ITEM, (self._project, found[0]))
        if found is None or row is None:
            raise NotFoundError(f"Item with id '{item_id}' not found in conversation with id '{conversation_id}'.")
        return (*found, item_of(row))

    async def remove(self, conversation_id: str, item_id: str) -> Conversation:
        """Delete one item from the log; branches taken before keep it. Raises NotFoundError, ConversationLocked."""

        def hide(cursor: Cursor) -> Conversation:
            log = self._unlocked(cursor, conversation_id)
            key, position, item = self._find(cursor, log, conversation_id, item_id)
            version = log.version + 1
            calls = tuple(call for call in log.open_calls if item.type not in CALL_TYPES or call != item.call_id)
            cursor.execute(_HIDE, (self._project, log.key, position, version))
            cursor.execute(_SHRINK, (self._project, log.key, version, item.tokens, pack_names(calls)))
            add_garbage(cursor, self._project, ITEM, key)
            return _conversation(cursor, self._project, log)

        return await self._state.write(hide)


def _conversation(cursor: Cursor, project: int, log: Log) -> Conversation:
    row = first(cursor, _GET, (project, log.key))
    assert row is not None
    return Conversation(unpack_id(row[0]), row[1], unpack_object(row[2]))


def _calls_after(waiting: tuple[str, ...], items: Sequence[Item]) -> tuple[str, ...]:
    calls = dict.fromkeys(waiting)
    for item in items:
        if item.call_id is None:
            continue
        if item.type in CALL_TYPES:
            calls[item.call_id] = None
        elif item.type in OUTPUT_OF:
            calls.pop(item.call_id, None)
    return tuple(calls)
