"""Forks of conversations: named logs that build on the lineage of another, and copy nothing.

What a fork inherits belongs to other logs and cannot be edited there. The first deletion of an inherited item therefore
moves the conversation to a log of its own, a copy of the entries (never of the items).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from onward.core.errors import NotFoundError
from onward.core.items import CALL_TYPES, OUTPUT_OF
from onward.core.lineage import Lineage, Segment
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import pack_names
from onward.store.sqlite.garbage import LOG, add_garbage
from onward.store.sqlite.keyspace import KeySpace
from onward.store.sqlite.logs import Log, insert_log, locate, measure, new_log, newest_calls
from onward.store.sqlite.run_rows import CONVERSATION

TAIL: Final = 128
"""How far back a fork from the midst is searched for calls that wait for an output."""

_HEAD: Final = "SELECT head FROM logs WHERE project = ? AND key = ?"
_NAME: Final = """
UPDATE logs SET named = 1, base_hash = NULL, tokens = ?3, items = ?4, open_calls = ?5, version = 1
WHERE project = ?1 AND key = ?2
"""
_TAKE_OUT: Final = "DELETE FROM conversations WHERE project = ? AND log = ? RETURNING suffix, created_at, metadata"
_PUT_IN: Final = "INSERT INTO conversations (project, log, suffix, created_at, metadata) VALUES (?, ?, ?, ?, ?)"
_POINT: Final = "UPDATE aliases SET log = ?4 WHERE project = ?1 AND kind = ?2 AND id = ?3"


class Part(Struct, frozen=True):
    """What a fork inherits: a lineage and what is known of its items."""

    lineage: Lineage
    tokens: int
    items: int
    open_calls: tuple[str, ...]


def whole(log: Log) -> Part:
    """Return all that a conversation shows."""
    return Part(log.lineage(log.head, log.version), log.tokens, log.items, log.open_calls)


def part_up_to(cursor: Cursor, project: int, log: Log, item_id: str) -> Part:
    """Return what a conversation shows up to an item, with it. Raises NotFoundError."""
    lineage = log.lineage(log.head, log.version)
    stand = locate(cursor, project, lineage, item_id)
    if stand is None:
        raise NotFoundError(f"Item with id '{item_id}' not found in the conversation.", param="up_to")
    cut = lineage[stand.segment]
    kept = (*lineage[: stand.segment], Segment(cut.log, stand.position, cut.version))
    tokens, items = measure(cursor, project, kept)
    return Part(kept, tokens, items, calls_after((), newest_calls(cursor, project, kept, limit=TAIL)))


def calls_after(waiting: Sequence[str], steps: Sequence[tuple[str, str | None]]) -> tuple[str, ...]:
    """Return the calls that wait for an output after items of these types and call ids."""
    calls = dict.fromkeys(waiting)
    for kind, call_id in steps:
        if call_id is None:
            continue
        if kind in CALL_TYPES:
            calls[call_id] = None
        elif kind in OUTPUT_OF:
            calls.pop(call_id, None)
    return tuple(calls)


def insert_fork(cursor: Cursor, keys: KeySpace, project: int, part: Part) -> Log:
    """Insert the log of a conversation that builds on `part`. Raises NotFoundError where that was removed meanwhile."""
    for segment in part.lineage:
        row = first(cursor, _HEAD, (project, segment.log))
        if row is None or row[0] < segment.upto:
            raise NotFoundError("The conversation was deleted meanwhile.")
    empty = new_log(cursor, keys, named=True, base=part.lineage, base_hash=None, tokens=part.tokens, items=part.items)
    log = msgspec.structs.replace(empty, open_calls=part.open_calls)
    insert_log(cursor, project, log)
    return log


def move(cursor: Cursor, project: int, log: Log, copy: int) -> None:
    """Let the conversation of `log` go on as the log `copy`; runs on the old one keep what they reach of it."""
    ((suffix, created_at, metadata),) = cursor.execute(_TAKE_OUT, (project, log.key)).fetchall()
    cursor.execute(_NAME, (project, copy, log.tokens, log.items, pack_names(log.open_calls)))
    cursor.execute(_PUT_IN, (project, copy, suffix, created_at, metadata))
    cursor.execute(_POINT, (project, CONVERSATION, suffix, copy))
    add_garbage(cursor, project, LOG, log.key)
