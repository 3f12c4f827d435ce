"""What a new turn continues, found by point reads alone: never proportional to the length of the history."""

from collections.abc import Sequence
from typing import Final

from onward.core.errors import ConversationLocked, NotFoundError, PreviousResponseNotFound, RequestError
from onward.core.items import CALL_TYPES, OUTPUT_OF
from onward.core.turns import TERMINAL
from onward.ports.runs import Base
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import unpack_id, unpack_role, unpack_type
from onward.store.sqlite.leases import liveness
from onward.store.sqlite.logs import Log, get_log, hash_at
from onward.store.sqlite.run_rows import CONVERSATION, RunRow, find_row, resolve_alias

TAIL: Final = 128
"""How far back a re-sent history is searched for calls that its rest may answer; a turn's calls stand closer."""

_CONVERSATION_SUFFIX = "SELECT suffix FROM conversations WHERE project = ? AND log = ?"
_BY_HASH = """
SELECT log, position, total FROM entries INDEXED BY entries_by_hash
WHERE project = ? AND hash = ? ORDER BY log DESC LIMIT 1
"""
_TAIL = """
SELECT i.type, i.role, i.call_id FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ? AND e.log = ? AND e.position <= ? AND e.deleted_version IS NULL ORDER BY e.position DESC LIMIT ?
"""


class Lost(Exception):
    """The run in the way has no owner any more: settle it and look again."""

    def __init__(self, log: int, run: int) -> None:
        self.log = log
        self.run = run


def base_after(cursor: Cursor, project: int, response_id: str) -> Base:
    """Return what a turn after a response continues. Raises PreviousResponseNotFound, RequestError, Lost."""
    row = find_row(cursor, project, response_id)
    if row is None or row.dialect == "chat":
        raise PreviousResponseNotFound(response_id)
    if row.status not in TERMINAL:
        if liveness(cursor, project, row.log, row.key) != "alive":
            raise Lost(row.log, row.key)
        if row.status != "requires_action":
            raise RequestError(
                f"Previous response with id '{response_id}' is not finished yet (status: {row.status})."
                " Wait until it is, or cancel it.",
                param="previous_response_id",
            )
    log = get_log(cursor, project, row.log)
    if log is None:
        raise PreviousResponseNotFound(response_id)
    return _base_of_run(cursor, project, row, log)


def _base_of_run(cursor: Cursor, project: int, row: RunRow, log: Log) -> Base:
    waiting = row.status == "requires_action"
    published = row.end is not None
    upto = row.start if row.end is None else row.end
    return Base(
        lineage=row.ends(log),
        log=log.key if _can_grow(cursor, project, log, upto) else None,
        open_calls=row.open_calls if published or waiting else row.base_calls,
        hash=hash_at(cursor, project, log, upto) or b"",
        tokens=row.tokens if row.end_tokens is None else row.end_tokens,
        items=row.items if row.end_items is None else row.end_items,
        waiting_run=row.suffix if waiting else None,
    )


def _can_grow(cursor: Cursor, project: int, log: Log, upto: int) -> bool:
    if log.named or log.head != upto:
        return False
    return log.active is None or liveness(cursor, project, log.key, log.active) != "alive"


def base_on(cursor: Cursor, project: int, conversation_id: str) -> Base:
    """Return what a turn on a conversation continues. Raises NotFoundError, ConversationLocked, Lost."""
    log, suffix = open_conversation(cursor, project, conversation_id)
    if log.active is not None:
        if liveness(cursor, project, log.key, log.active) == "alive":
            raise ConversationLocked
        raise Lost(log.key, log.active)
    return Base(
        lineage=log.lineage(log.head, log.version),
        log=log.key,
        open_calls=log.open_calls,
        hash=b"",
        tokens=log.tokens,
        items=log.items,
        conversation="conv_" + suffix,
    )


def open_conversation(cursor: Cursor, project: int, conversation_id: str) -> tuple[Log, str]:
    """Return the log of an open conversation and its suffix. Raises NotFoundError."""
    found = resolve_alias(cursor, project, CONVERSATION, conversation_id)
    log = None if found is None else get_log(cursor, project, found[0])
    row = None if log is None else first(cursor, _CONVERSATION_SUFFIX, (project, log.key))
    if log is None or row is None:
        raise NotFoundError(f"Conversation with id '{conversation_id}' not found.")
    return log, unpack_id(row[0])


def base_of_history(cursor: Cursor, project: int, hashes: Sequence[bytes]) -> Base:
    """Return the longest stored history that `hashes` begin with, in O(log n) probes; an empty Base where none does.

    A stored history has all its beginnings stored too, which is what makes the search for the longest one a bisection.
    """
    if not hashes:
        return Base()
    found = first(cursor, _BY_HASH, (project, hashes[-1]))
    matched = len(hashes)
    if found is None:
        matched, known, missing = 0, 0, len(hashes)
        while missing - known > 1:
            middle = (known + missing) // 2
            row = first(cursor, _BY_HASH, (project, hashes[middle - 1]))
            if row is None:
                missing = middle
            else:
                matched, known, found = middle, middle, row
    if found is None:
        return Base()
    key, position, total = found
    log = get_log(cursor, project, key)
    if log is None:
        return Base()
    return Base(
        lineage=log.lineage(position, 0),
        log=log.key if _can_grow(cursor, project, log, position) else None,
        open_calls=_open_calls(cursor, project, log.key, position),
        matched=matched,
        hash=hashes[matched - 1],
        tokens=total,
        items=matched,
    )


def _open_calls(cursor: Cursor, project: int, log: int, position: int) -> tuple[str, ...]:
    answered: set[str] = set()
    calls: list[str] = []
    for kind, role, call_id in cursor.execute(_TAIL, (project, log, position, TAIL)).fetchall():
        name = unpack_type(kind)
        if unpack_role(role) == "user":
            break
        if name in OUTPUT_OF:
            answered.add(call_id)
        elif name in CALL_TYPES and call_id is not None and call_id not in answered:
            calls.append(call_id)
    return tuple(reversed(calls))
