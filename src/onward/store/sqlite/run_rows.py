"""Rows of runs: one turn each, seen as a response or as a run."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Literal

import apsw
from msgspec import Struct

from onward.core.errors import ConflictError
from onward.core.ids import suffix_of
from onward.core.items import Item
from onward.core.lineage import Lineage
from onward.core.turns import AfterResponse, Dialect, RunStatus
from onward.ports.runs import NewRun, Run
from onward.store.sqlite.cursor import Bindings, Cursor, Value, first, scalar
from onward.store.sqlite.encoding import (
    DIALECT_NUMBER,
    DIALECTS,
    STATUS_NUMBER,
    STATUSES,
    pack_id,
    pack_names,
    pack_object,
    unpack_error,
    unpack_id,
    unpack_names,
    unpack_object,
    unpack_usage,
)
from onward.store.sqlite.items import COLUMNS as ITEM_COLUMNS
from onward.store.sqlite.items import item_of
from onward.store.sqlite.logs import Log, get_log

RUN: Final = 1
CONVERSATION: Final = 2
BACKGROUND: Final = 1
STREAM: Final = 2

Side = Literal[0, 1, 2]
INPUT: Final = 0
OUTPUT: Final = 1
SUBMITTED: Final = 2

_ALIAS = "INSERT INTO aliases (project, kind, id, log, key) VALUES (?, ?, ?, ?, ?)"
_RESOLVE = "SELECT log, key FROM aliases WHERE project = ? AND kind = ? AND id = ?"
_COLUMNS = (
    "key, suffix, dialect, status, model, config, extra, metadata, created_at, completed_at, flags, parent,"
    ' conversation, log, start, start_version, "end", end_version, tokens, items, end_tokens, end_items,'
    " base_calls, open_calls, usage, error, incomplete_reason"
)
_NEW_COLUMNS = (
    "project, key, suffix, dialect, status, model, config, extra, metadata, created_at, flags, parent, conversation,"
    " log, start, start_version, tokens, items, base_calls"
)
_INSERT = f"INSERT INTO runs ({_NEW_COLUMNS}) VALUES (?{', ?' * 18})"
_INSERT_ENDED = f"""
INSERT INTO runs ({_NEW_COLUMNS}, completed_at, open_calls, usage, error, incomplete_reason, context_plan, "end",
  end_version, end_tokens, end_items) VALUES (?{", ?" * 28})
"""
_GET = f"SELECT {_COLUMNS} FROM runs WHERE project = ? AND log = ? AND key = ?"
_CONFIG = "SELECT body FROM configs WHERE key = ? AND project = ?"
_FIND_CONFIG = "SELECT key, condemned FROM configs WHERE project = ? AND digest = ?"
_REVIVE = "UPDATE configs SET condemned = 0 WHERE key = ?"
_ADD_CONFIG = "INSERT INTO configs (project, digest, body) VALUES (?, ?, ?) RETURNING key"
_ADD_ITEMS = "INSERT INTO run_items (project, run, ordinal, side, item) VALUES (?, ?, ?, ?, ?)"
_ITEMS = f"""
SELECT r.ordinal, r.side, i.key, {ITEM_COLUMNS} FROM run_items r JOIN items i ON i.key = r.item
WHERE r.project = ? AND r.run = ? ORDER BY r.ordinal
"""
_SIDE = f"""
SELECT {ITEM_COLUMNS} FROM run_items r JOIN items i ON i.key = r.item
WHERE r.project = ? AND r.run = ? AND r.side = ? ORDER BY r.ordinal
"""


class RunRow(Struct, frozen=True):
    """A row of `runs`, decoded."""

    key: int
    suffix: str
    dialect: Dialect
    status: RunStatus
    model: str
    config: int | None
    extra: bytes | None
    metadata: bytes | None
    created_at: float
    completed_at: float | None
    flags: int
    parent: bytes | str | None
    conversation: bytes | str | None
    log: int
    start: int
    start_version: int
    end: int | None
    end_version: int | None
    tokens: int
    items: int
    end_tokens: int | None
    end_items: int | None
    base_calls: tuple[str, ...]
    open_calls: tuple[str, ...]
    usage: bytes | None
    error: bytes | None
    incomplete_reason: str | None

    def starts(self, log: Log) -> Lineage:
        """Return the lineage that the run continued."""
        return log.lineage(self.start, self.start_version)

    def ends(self, log: Log) -> Lineage:
        """Return the lineage of a context that continues the run."""
        if self.end is None:
            return self.starts(log)
        return log.lineage(self.end, self.end_version or 0)


class RunItem(Struct, frozen=True):
    """An item of a run, with its place in the run."""

    ordinal: int
    side: int
    key: int
    item: Item


def claim_alias(cursor: Cursor, project: int, kind: int, public_id: str, log: int, key: int = 0) -> bool:
    """Let `public_id` name a conversation's log or a run on it; False where it names something already."""
    try:
        cursor.execute(_ALIAS, (project, kind, pack_id(public_id), log, key))
    except apsw.ConstraintError:
        return False
    return True


def resolve_alias(cursor: Cursor, project: int, kind: int, public_id: str) -> tuple[int, int] | None:
    """Return log and key behind a public id: by the suffix that dialects share, or as it is (imported ids)."""
    row = first(cursor, _RESOLVE, (project, kind, pack_id(suffix_of(public_id))))
    if row is None:
        row = first(cursor, _RESOLVE, (project, kind, pack_id(public_id)))
    return row


def insert_run(
    cursor: Cursor,
    project: int,
    key: int,
    new: NewRun,
    log: Log,
    *,
    status: RunStatus,
    conversation: str | None,
    ended: Bindings = (),
) -> None:
    """Insert the row of a run that starts at the head of `log`; `ended` are the columns of its end, where it has ended.

    Raises ConflictError for a suffix that exists.
    """
    if not claim_alias(cursor, project, RUN, new.suffix, log.key, key):
        raise ConflictError(f"A response with the id suffix '{new.suffix}' exists already.")
    parent = new.parent.response_id if isinstance(new.parent, AfterResponse) else None
    row: tuple[Value, ...] = (
        project,
        key,
        pack_id(new.suffix),
        DIALECT_NUMBER[new.dialect],
        STATUS_NUMBER[status],
        new.model,
        config_key(cursor, project, new.config),
        pack_object(new.extra),
        pack_object(new.metadata),
        new.created_at,
        BACKGROUND * new.background + STREAM * new.stream,
        None if parent is None else pack_id(parent),
        None if conversation is None else pack_id(conversation),
        log.key,
        log.head,
        log.version,
        new.base.tokens,
        new.base.items,
        pack_names(new.base.open_calls),
    )
    cursor.execute(_INSERT_ENDED if ended else _INSERT, (*row, *ended))


def get_row(cursor: Cursor, project: int, log: int, key: int) -> RunRow | None:
    """Return the run `key` of a log."""
    row: Sequence[Any] | None = first(cursor, _GET, (project, log, key))
    if row is None:
        return None
    values = list(row)
    values[1] = unpack_id(row[1])
    values[2] = DIALECTS[row[2]]
    values[3] = STATUSES[row[3]]
    values[22] = unpack_names(row[22])
    values[23] = unpack_names(row[23])
    return RunRow(*values)


def find_row(cursor: Cursor, project: int, public_id: str) -> RunRow | None:
    """Return the run behind a response or run id, or their suffix."""
    found = resolve_alias(cursor, project, RUN, public_id)
    return None if found is None else get_row(cursor, project, *found)


def run_of(cursor: Cursor, project: int, row: RunRow) -> Run:
    """Return the run of a row, with its config and its lineages."""
    log = get_log(cursor, project, row.log)
    assert log is not None, "a run's log lives as long as the run"
    config = b"{}" if row.config is None else scalar(cursor, _CONFIG, (row.config, project))
    return Run(
        key=row.key,
        suffix=row.suffix,
        dialect=row.dialect,
        status=row.status,
        model=row.model,
        config=config,
        extra=unpack_object(row.extra),
        metadata=unpack_object(row.metadata),
        created_at=row.created_at,
        completed_at=row.completed_at,
        background=bool(row.flags & BACKGROUND),
        stream=bool(row.flags & STREAM),
        parent_response=None if row.parent is None else unpack_id(row.parent),
        conversation=None if row.conversation is None else "conv_" + unpack_id(row.conversation),
        usage=unpack_usage(row.usage),
        error=unpack_error(row.error),
        incomplete_reason=row.incomplete_reason,
        lineage=row.starts(log),
        end=row.ends(log),
    )


def config_key(cursor: Cursor, project: int, body: bytes) -> int | None:
    """Return the key of a configuration, stored once per project; None for the empty one."""
    if body == b"{}":
        return None
    digest = hashlib.sha256(body).digest()
    row = first(cursor, _FIND_CONFIG, (project, digest))
    if row is None:
        return scalar(cursor, _ADD_CONFIG, (project, digest, body))
    if row[1]:
        cursor.execute(_REVIVE, (row[0],))
    return row[0]


def add_run_items(cursor: Cursor, project: int, run: int, keys: Sequence[int], *, ordinal: int, side: Side) -> None:
    """Note items as those of a run, from `ordinal` on."""
    cursor.executemany(_ADD_ITEMS, [(project, run, place, side, key) for place, key in enumerate(keys, ordinal)])


def run_items(cursor: Cursor, project: int, run: int) -> list[RunItem]:
    """Return all items of a run in the order in which they came."""
    rows = cursor.execute(_ITEMS, (project, run)).fetchall()
    return [RunItem(row[0], row[1], row[2], item_of(row[3:])) for row in rows]


def side_items(cursor: Cursor, project: int, run: int, side: Side) -> list[Item]:
    """Return the items of one side of a run, in order."""
    return [item_of(row) for row in cursor.execute(_SIDE, (project, run, side)).fetchall()]
