"""The line before a busy conversation: tickets in the store, first come first served over all processes."""

from typing import Final

from onward.core.errors import RateLimitError
from onward.store.sqlite.bases import open_conversation
from onward.store.sqlite.cursor import Cursor, first, scalar
from onward.store.sqlite.encoding import pack_id
from onward.store.sqlite.leases import liveness

_CLEAN: Final = "DELETE FROM conversation_lines WHERE project = ? AND suffix = ? AND until <= unixepoch('subsec')"
_COUNT: Final = "SELECT count(*) FROM conversation_lines WHERE project = ? AND suffix = ?"
_ENTER: Final = """
INSERT INTO conversation_lines (project, suffix, ticket, until)
SELECT ?1, ?2, coalesce(max(ticket), 0) + 1, unixepoch('subsec') + ?3 FROM conversation_lines
WHERE project = ?1 AND suffix = ?2 RETURNING ticket
"""
_RENEW: Final = """
UPDATE conversation_lines SET until = unixepoch('subsec') + ?4 WHERE project = ?1 AND suffix = ?2 AND ticket = ?3
"""
_BEFORE: Final = """
SELECT 1 FROM conversation_lines WHERE project = ? AND suffix = ? AND ticket < ? AND until > unixepoch('subsec') LIMIT 1
"""
_LEAVE: Final = "DELETE FROM conversation_lines WHERE project = ? AND suffix = ? AND ticket = ?"


def enter_line(cursor: Cursor, project: int, conversation_id: str, *, limit: int, seconds: float) -> tuple[str, int]:
    """Take the last place of a line; return the conversation's suffix and the ticket. Raises RateLimitError."""
    _, suffix = open_conversation(cursor, project, conversation_id)
    packed = pack_id(suffix)
    cursor.execute(_CLEAN, (project, packed))
    if scalar(cursor, _COUNT, (project, packed)) >= limit:
        raise RateLimitError(
            f"Too many requests are waiting for this conversation (limit {limit}). Please retry later.",
            param="conversation",
            code="conversation_queue_full",
            retry_after=1,
        )
    ((ticket,),) = cursor.execute(_ENTER, (project, packed, seconds)).fetchall()
    return suffix, ticket


def is_next(cursor: Cursor, project: int, suffix: str, ticket: int) -> bool:
    """Tell whether nobody stands before a ticket and the conversation is free. Raises NotFoundError."""
    log, _ = open_conversation(cursor, project, f"conv_{suffix}")
    if log.active is not None and liveness(cursor, project, log.key, log.active) == "alive":
        return False
    return first(cursor, _BEFORE, (project, pack_id(suffix), ticket)) is None


def renew_place(cursor: Cursor, project: int, suffix: str, ticket: int, *, seconds: float) -> None:
    """Keep a place for so much longer."""
    cursor.execute(_RENEW, (project, pack_id(suffix), ticket, seconds))


def leave_line(cursor: Cursor, project: int, suffix: str, ticket: int) -> None:
    """Give up a place."""
    cursor.execute(_LEAVE, (project, pack_id(suffix), ticket))
