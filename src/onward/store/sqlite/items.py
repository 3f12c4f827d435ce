"""Rows of items: immutable atoms, found by key or by public id."""

from collections.abc import Sequence
from typing import Any, Final

from onward.core.items import Item
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import pack_id, pack_role, pack_type, unpack_id, unpack_role, unpack_type
from onward.store.sqlite.keyspace import KeySpace

COLUMNS: Final = "i.id, i.type, i.body, i.role, i.call_id, i.tokens"

_INSERT = (
    "INSERT INTO items (key, project, run, id, type, role, call_id, tokens, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REPLACE = "UPDATE items SET body = ?3, tokens = ?4 WHERE key = ?2 AND project = ?1"
_KEYS_OF_ID = "SELECT key FROM items WHERE project = ? AND id = ? ORDER BY key DESC"
_NEWEST_PUBLISHED = f"""
SELECT {COLUMNS} FROM items i WHERE i.project = ?1 AND i.id = ?2 AND EXISTS (
  SELECT 1 FROM entries e WHERE e.project = ?1 AND e.item = i.key AND e.deleted_version IS NULL
) ORDER BY i.key DESC LIMIT 1
"""


def item_of(row: Sequence[Any]) -> Item:
    """Return the item of a row of COLUMNS."""
    public_id, kind, body, role, call_id, tokens = row
    return Item(unpack_id(public_id), unpack_type(kind), body, unpack_role(role), call_id, tokens)


def insert_items(cursor: Cursor, keys: KeySpace, project: int, items: Sequence[Item], *, run: int | None) -> int:
    """Insert `items` under consecutive keys and return the first key."""
    if not items:
        return 0
    start = keys.take(cursor, "items", len(items))
    cursor.executemany(
        _INSERT,
        [
            (
                key,
                project,
                run,
                pack_id(item.id),
                pack_type(item.type),
                pack_role(item.role),
                item.call_id,
                item.tokens,
                item.body,
            )
            for key, item in enumerate(items, start)
        ],
    )
    return start


def replace_body(cursor: Cursor, project: int, key: int, item: Item) -> None:
    """Put the final form of an item in the place of the attempt that was recorded before it."""
    cursor.execute(_REPLACE, (project, key, item.body, item.tokens))


def keys_of_id(cursor: Cursor, project: int, item_id: str) -> list[int]:
    """Return the keys of all items with a public id, newest first."""
    return [row[0] for row in cursor.execute(_KEYS_OF_ID, (project, pack_id(item_id))).fetchall()]


def newest_published(cursor: Cursor, project: int, item_id: str) -> Item | None:
    """Return the newest item with this public id that stands in a log."""
    row = first(cursor, _NEWEST_PUBLISHED, (project, pack_id(item_id)))
    return None if row is None else item_of(row)
