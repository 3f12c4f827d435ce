"""Which log a new run grows: the conversation that it locks, the free tip that it continues, or a fork."""

from typing import Final

from msgspec import Struct

from onward.core.errors import ConflictError, ConversationLocked, PreviousResponseNotFound
from onward.core.turns import AfterResponse, OnConversation
from onward.ports.runs import NewRun
from onward.store.sqlite.bases import open_conversation
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.keyspace import KeySpace
from onward.store.sqlite.leases import settle_if_lost
from onward.store.sqlite.logs import Log, get_log, new_log

_HEAD: Final = "SELECT head FROM logs WHERE project = ? AND key = ?"


class Claim(Struct, frozen=True):
    """The log of a new run. `fresh`: its row is still to be inserted. `conversation`: suffix of its public id."""

    log: Log
    fresh: bool = False
    conversation: str | None = None


def claim_log(cursor: Cursor, keys: KeySpace, project: int, new: NewRun) -> Claim:
    """Return the log that a run is to grow.

    Raises ConversationLocked, NotFoundError (conversation), PreviousResponseNotFound, ConflictError.
    """
    if isinstance(new.parent, OnConversation):
        return _claim_conversation(cursor, project, new)
    tip = _claim_tip(cursor, project, new)
    return Claim(tip) if tip is not None else Claim(_fork(cursor, keys, project, new), fresh=True)


def _claim_conversation(cursor: Cursor, project: int, new: NewRun) -> Claim:
    assert isinstance(new.parent, OnConversation)
    log, suffix = open_conversation(cursor, project, new.parent.conversation_id)
    if log.active is not None and not settle_if_lost(cursor, project, log.key, log.active):
        raise ConversationLocked
    if log.lineage(log.head, log.version) != new.base.lineage:
        # Another turn or edit came between reading the context and this claim.
        raise ConversationLocked
    return Claim(log, conversation=suffix)


def _claim_tip(cursor: Cursor, project: int, new: NewRun) -> Log | None:
    if new.base.log is None:
        return None
    log = get_log(cursor, project, new.base.log)
    if log is None or log.named or log.lineage(log.head, log.version) != new.base.lineage:
        return None
    if log.active is not None and not settle_if_lost(cursor, project, log.key, log.active):
        return None
    return log


def _fork(cursor: Cursor, keys: KeySpace, project: int, new: NewRun) -> Log:
    for part in new.base.lineage:
        row = first(cursor, _HEAD, (project, part.log))
        if row is None or row[0] < part.upto:
            if isinstance(new.parent, AfterResponse):
                raise PreviousResponseNotFound(new.parent.response_id)
            raise ConflictError("The history that this request continues was deleted meanwhile.")
    return new_log(
        cursor,
        keys,
        base=new.base.lineage,
        base_hash=new.base.hash or None,
        tokens=new.base.tokens,
        items=new.base.items,
    )
