"""Copying a lineage of many segments into one log, so that reading a context never visits more than a few logs."""

from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from onward.core.errors import ConflictError
from onward.core.lineage import EMPTY_HASH, Lineage, Segment
from onward.ports.runs import Base
from onward.store.sqlite.cursor import Cursor
from onward.store.sqlite.database import Database
from onward.store.sqlite.garbage import LOG, add_garbage
from onward.store.sqlite.logs import insert_log, new_log

MAX_SEGMENTS: Final = 16
BATCH: Final = 256
GRACE: Final = 3600.0
"""Seconds until a copy that no run came to use may be swept."""

_READ = """
SELECT e.position, e.item, e.hash, i.tokens, e.is_message, e.deleted_version <= ?5 AS gone
FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND e.position > ?3 AND e.position <= ?4 AND e.added_version <= ?5
  AND (?7 OR e.deleted_version IS NULL OR e.deleted_version > ?5) ORDER BY e.position LIMIT ?6
"""
_ADD = (
    "INSERT INTO entries (project, log, position, item, added_version, deleted_version, is_message, total, hash)"
    " VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?)"
)
_HEAD = "UPDATE logs SET head = ?3, tokens = ?4, items = ?5, version = ?6 WHERE project = ?1 AND key = ?2"


class Copied(Struct, frozen=True):
    """How far a copy is: positions read of the segment, written, their tokens, and items that are visible."""

    done: int = 0
    head: int = 0
    tokens: int = 0
    items: int = 0


async def flatten(state: Database, project: int, base: Base) -> Lineage:
    """Return a lineage of one segment with the same items. Raises ConflictError where some were deleted meanwhile."""
    key, head = await copy_log(state, project, base)
    return (Segment(key, head, 0),)


async def copy_log(state: Database, project: int, base: Base, *, keep_deleted: bool = False) -> tuple[int, int]:
    """Copy the entries of a lineage into a new log; return its key and head.

    With `keep_deleted`, entries of the last segment that were deleted come too, as deleted at version 1: cursors go on
    to find them. Raises ConflictError where items were deleted meanwhile.
    """
    key = await state.write(partial(_open, state, project, bool(base.hash)))
    at = Copied()
    for part in base.lineage:
        deleted = keep_deleted and part is base.lineage[-1]
        at = msgspec.structs.replace(at, done=0)
        while (copied := await state.write(partial(_copy, project, key, part, at, deleted))) is not None:
            at = copied
    if at.items != base.items:
        raise ConflictError("The history that this request continues was deleted meanwhile.")
    return key, at.head


def _open(state: Database, project: int, hashed: bool, cursor: Cursor) -> int:
    log = new_log(cursor, state.keys, base_hash=EMPTY_HASH if hashed else None)
    insert_log(cursor, project, log)
    add_garbage(cursor, project, LOG, log.key, after=GRACE)
    return log.key


def _copy(project: int, key: int, part: Segment, at: Copied, deleted: bool, cursor: Cursor) -> Copied | None:
    bindings = (project, part.log, at.done, part.upto, part.version, BATCH, int(deleted))
    found = cursor.execute(_READ, bindings).fetchall()
    if not found:
        return None
    rows: list[tuple[Any, ...]] = []
    head, tokens, items = at.head, at.tokens, at.items
    for _, item, digest, count, is_message, gone in found:
        head += 1
        if not gone:
            tokens += count
            items += 1
        rows.append((project, key, head, item, 1 if gone else None, is_message, tokens, digest))
    cursor.executemany(_ADD, rows)
    cursor.execute(_HEAD, (project, key, head, tokens, items, int(deleted)))
    return Copied(found[-1][0], head, tokens, items)
