"""Rows of logs and their entries: opening, claiming, publishing, and what a lineage makes visible."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from onward.core.items import Item
from onward.core.lineage import EMPTY_HASH, Lineage, Segment, extend_hash
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import (
    pack_lineage,
    pack_names,
    pack_type,
    unpack_lineage,
    unpack_names,
    unpack_type,
)
from onward.store.sqlite.items import COLUMNS, item_of, keys_of_id
from onward.store.sqlite.keyspace import KeySpace

CONTEXT_PAGE: Final = 64

_COLUMNS = "key, named, head, version, base, base_hash, tokens, items, open_calls"
_GET = f"""
SELECT {_COLUMNS}, (SELECT run FROM leases WHERE project = ?1 AND log = ?2) FROM logs WHERE project = ?1 AND key = ?2
"""
_INSERT = f"INSERT INTO logs (project, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BRANCH = "INSERT OR REPLACE INTO branches (project, parent, child, upto, version) VALUES (?, ?, ?, ?, ?)"
_ADVANCE = "UPDATE logs SET head = ?3, tokens = ?4, items = ?5, open_calls = ?6 WHERE project = ?1 AND key = ?2"
_ADD = (
    "INSERT INTO entries (project, log, position, item, added_version, is_message, total, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_HASH = "SELECT hash, total FROM entries WHERE project = ? AND log = ? AND position = ?"
_VISIBLE = "e.position <= ?3 AND e.added_version <= ?4 AND (e.deleted_version IS NULL OR e.deleted_version > ?4)"
_SEGMENT = f"""
SELECT {COLUMNS} FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND {_VISIBLE} AND %s ORDER BY e.position
"""
_SEGMENT_BACK = f"""
SELECT e.position, {COLUMNS} FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND {_VISIBLE} ORDER BY e.position DESC LIMIT ?5
"""
_MEASURE = f"""
SELECT coalesce(sum(i.tokens), 0), count(*) FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND {_VISIBLE}
"""
_NEWEST_CALLS = f"""
SELECT i.type, i.call_id FROM entries e JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND {_VISIBLE} ORDER BY e.position DESC LIMIT ?5
"""
_PLACES = "SELECT log, position, added_version, deleted_version FROM entries WHERE project = ? AND item = ?"


class Log(Struct, frozen=True):
    """A row of `logs`. `hash` is that of the history before position 1, None where there is none.

    `active` is the run that holds the tip, dead or alive.
    """

    key: int
    named: bool
    head: int
    version: int
    active: int | None
    base: Lineage
    hash: bytes | None
    tokens: int
    items: int
    open_calls: tuple[str, ...]

    def lineage(self, upto: int, version: int) -> Lineage:
        """Return the lineage of a context that ends at `upto` of this log."""
        return (*self.base, Segment(self.key, upto, version)) if upto else self.base


def get_log(cursor: Cursor, project: int, key: int) -> Log | None:
    """Return the log `key`."""
    row = first(cursor, _GET, (project, key))
    if row is None:
        return None
    key, named, head, version, base, base_hash, tokens, items, open_calls, active = row
    return Log(
        key,
        bool(named),
        head,
        version,
        active,
        unpack_lineage(base),
        base_hash,
        tokens,
        items,
        unpack_names(open_calls),
    )


def new_log(
    cursor: Cursor,
    keys: KeySpace,
    *,
    named: bool = False,
    base: Lineage = (),
    base_hash: bytes | None = EMPTY_HASH,
    tokens: int = 0,
    items: int = 0,
) -> Log:
    """Return an empty log that builds on `base`, to be inserted."""
    return Log(keys.take(cursor, "logs"), named, 0, 0, None, base, base_hash, tokens, items, ())


def insert_log(cursor: Cursor, project: int, log: Log) -> None:
    """Insert a log as it stands."""
    row = (
        project,
        log.key,
        int(log.named),
        log.head,
        log.version,
        pack_lineage(log.base),
        log.hash,
        log.tokens,
        log.items,
        pack_names(log.open_calls),
    )
    cursor.execute(_INSERT, row)
    if log.base:
        cursor.executemany(_BRANCH, [(project, part.log, log.key, part.upto, part.version) for part in log.base])


def publish(
    cursor: Cursor,
    project: int,
    log: Log,
    items: Sequence[tuple[int, Item]],
    *,
    open_calls: tuple[str, ...],
    total: int,
    count: int,
) -> Log:
    """Give `items` (key, item) the next positions of the log and move its head.

    `total` and `count` are the tokens and the number of items of the history so far.
    """
    running = None if log.named else hash_at(cursor, project, log, log.head)
    grown = add_entries(cursor, project, log, items, running=running, open_calls=open_calls, total=total, count=count)
    advance_log(cursor, project, grown)
    return grown


def advance_log(cursor: Cursor, project: int, log: Log) -> None:
    """Store the head of a log that has grown."""
    cursor.execute(_ADVANCE, (project, log.key, log.head, log.tokens, log.items, pack_names(log.open_calls)))


def add_entries(
    cursor: Cursor,
    project: int,
    log: Log,
    items: Sequence[tuple[int, Item]],
    *,
    running: bytes | None,
    open_calls: tuple[str, ...],
    total: int,
    count: int,
) -> Log:
    """Insert the next entries of a log and return the log as its row is to become. `running`: hash of its history."""
    rows: list[tuple[Any, ...]] = []
    position = log.head
    for key, item in items:
        position += 1
        total += item.tokens
        if running is not None:
            running = extend_hash(running, item)
        listed = log.named and item.type == "message" and item.role in ("user", "assistant")
        rows.append((project, log.key, position, key, log.version, int(listed), total if not log.named else 0, running))
    cursor.executemany(_ADD, rows)
    calls = open_calls if log.named else ()
    count += len(rows)
    return Log(log.key, log.named, position, log.version, log.active, log.base, log.hash, total, count, calls)


def hash_at(cursor: Cursor, project: int, log: Log, position: int) -> bytes | None:
    """Return the hash of the history that ends at `position`, None where it has none."""
    if position == 0 or log.hash is None or log.named:
        return None if log.named else log.hash
    row = first(cursor, _HASH, (project, log.key, position))
    return None if row is None else row[0]


def read_lineage(cursor: Cursor, project: int, lineage: Lineage, *, types: Sequence[str] | None = None) -> list[Item]:
    """Return all visible items of a lineage, or those of `types`, oldest first."""
    found: list[Item] = []
    wanted = tuple(pack_type(name) for name in types) if types is not None else ()
    among = f"i.type IN ({','.join('?' * len(wanted))})" if types is not None else "1"
    for part in lineage:
        bindings = (project, part.log, part.upto, part.version, *wanted)
        found.extend(map(item_of, cursor.execute(_SEGMENT % among, bindings).fetchall()))
    return found


def read_newest(cursor: Cursor, project: int, lineage: Lineage, *, token_budget: int) -> list[Item]:
    """Return the newest visible items of a lineage whose token counts fit the budget, oldest first."""
    found: list[Item] = []
    left = token_budget
    for part in reversed(lineage):
        upto = part.upto
        while upto > 0:
            bindings = (project, part.log, upto, part.version, CONTEXT_PAGE)
            rows = cursor.execute(_SEGMENT_BACK, bindings).fetchall()
            for position, *columns in rows:
                item = item_of(columns)
                if item.tokens > left:
                    return found[::-1]
                left -= item.tokens
                found.append(item)
                upto = position - 1
            if len(rows) < CONTEXT_PAGE:
                break
    return found[::-1]


def places(cursor: Cursor, project: int, item: int) -> list[tuple[int, int, int, int | None]]:
    """Return where an item stands: log, position, added and deleted version."""
    return cursor.execute(_PLACES, (project, item)).fetchall()


class Stand(Struct, frozen=True):
    """Where an item is visible in a lineage: its key, the segment by its index, and the position there."""

    key: int
    segment: int
    position: int


def locate(cursor: Cursor, project: int, lineage: Lineage, item_id: str) -> Stand | None:
    """Return where the item with this public id is visible in a lineage."""
    for key in keys_of_id(cursor, project, item_id):
        for log, position, added, deleted in places(cursor, project, key):
            for index, part in enumerate(lineage):
                stands = part.log == log and position <= part.upto and added <= part.version
                if stands and (deleted is None or deleted > part.version):
                    return Stand(key, index, position)
    return None


def is_visible(cursor: Cursor, project: int, lineage: Lineage, item_id: str) -> bool:
    """Tell whether an item with this public id is visible in a lineage."""
    return locate(cursor, project, lineage, item_id) is not None


def measure(cursor: Cursor, project: int, lineage: Lineage) -> tuple[int, int]:
    """Return tokens and number of the visible items of a lineage, counted one by one."""
    tokens = items = 0
    for part in lineage:
        row = first(cursor, _MEASURE, (project, part.log, part.upto, part.version))
        assert row is not None
        tokens, items = tokens + row[0], items + row[1]
    return tokens, items


def newest_calls(cursor: Cursor, project: int, lineage: Lineage, *, limit: int) -> list[tuple[str, str | None]]:
    """Return type and call id of the last `limit` visible items of a lineage, oldest first."""
    found: list[tuple[str, str | None]] = []
    for part in reversed(lineage):
        bindings = (project, part.log, part.upto, part.version, limit - len(found))
        found += [(unpack_type(row[0]), row[1]) for row in cursor.execute(_NEWEST_CALLS, bindings).fetchall()]
        if len(found) >= limit:
            break
    return found[::-1]
