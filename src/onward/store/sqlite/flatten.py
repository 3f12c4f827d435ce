"""Copying a lineage of many segments into one log, so that reading a context never visits more than a few logs."""

from functools import partial
from typing import Any, Final

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
SELECT e.position, e.item, e.hash, i.tokens FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND e.position > ?3 AND e.position <= ?4 AND e.added_version <= ?5
  AND (e.deleted_version IS NULL OR e.deleted_version > ?5) ORDER BY e.position LIMIT ?6
"""
_ADD = (
    "INSERT INTO entries (project, log, position, item, added_version, is_message, total, hash)"
    " VALUES (?, ?, ?, ?, 0, 0, ?, ?)"
)
_HEAD = "UPDATE logs SET head = ?3, tokens = ?4, items = ?3 WHERE project = ?1 AND key = ?2"


async def flatten(state: Database, project: int, base: Base) -> Lineage:
    """Return a lineage of one segment with the same items. Raises ConflictError where some were deleted meanwhile."""
    key = await state.write(partial(_open, state, project, bool(base.hash)))
    head, tokens = 0, 0
    for part in base.lineage:
        done = 0
        while True:
            copied = await state.write(partial(_copy, project, key, part, done, head, tokens))
            if copied is None:
                break
            done, head, tokens = copied
    if head != base.items:
        raise ConflictError("The history that this request continues was deleted meanwhile.")
    return (Segment(key, head, 0),)


def _open(state: Database, project: int, hashed: bool, cursor: Cursor) -> int:
    log = new_log(cursor, state.keys, base_hash=EMPTY_HASH if hashed else None)
    insert_log(cursor, project, log)
    add_garbage(cursor, project, LOG, log.key, after=GRACE)
    return log.key


def _copy(
    project: int, key: int, part: Segment, done: int, head: int, tokens: int, cursor: Cursor
) -> tuple[int, int, int] | None:
    found = cursor.execute(_READ, (project, part.log, done, part.upto, part.version, BATCH)).fetchall()
    if not found:
        return None
    rows: list[tuple[Any, ...]] = []
    for position, item, digest, count in found:
        head += 1
        tokens += count
        done = position
        rows.append((project, key, head, item, tokens, digest))
    cursor.executemany(_ADD, rows)
    cursor.execute(_HEAD, (project, key, head, tokens))
    return done, head, tokens
