"""Removing what no run, conversation or branch reaches any more, in short transactions that each decide by themselves.

References form no cycles (a log builds only on older ones), and every reference to a log is a row: its runs, its
branches, its name. So each step asks exactly those rows, in the transaction that deletes: work is proportional to the
garbage, never to the store.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.garbage import CONFIGS, LOG, add_garbage, drop_garbage, due_garbage
from onward.store.sqlite.logs import Log, get_log, places

BATCH: Final = 256

Reach = tuple[int, int]
"""A position and a version up to which somebody reads a log."""

_RUN_REACHES = 'SELECT start, start_version, "end", end_version FROM runs WHERE project = ? AND log = ?'
_BRANCH_REACHES = "SELECT upto, version FROM branches WHERE project = ? AND parent = ?"
_OPEN = "SELECT 1 FROM conversations WHERE project = ? AND log = ?"
_TOP = (
    "SELECT position, item FROM entries WHERE project = ? AND log = ? AND position > ? ORDER BY position DESC LIMIT ?"
)
_DELETED = """
SELECT position, item, deleted_version FROM entries INDEXED BY entries_deleted
WHERE project = ?1 AND log = ?2 AND deleted_version IS NOT NULL AND position > ?3 ORDER BY position LIMIT ?4
"""
_DROP_ENTRY = "DELETE FROM entries WHERE project = ? AND log = ? AND position = ?"
_CUT = "UPDATE logs SET head = ?3 WHERE project = ?1 AND key = ?2"
_DROP_LOG = "DELETE FROM logs WHERE project = ? AND key = ?"
_DROP_BRANCH = "DELETE FROM branches WHERE project = ? AND parent = ? AND child = ?"
_HELD_BY_RUN = """
SELECT 1 FROM items i JOIN run_items r ON r.project = i.project AND r.run = i.run
WHERE i.key = ?2 AND i.project = ?1 LIMIT 1
"""
_DROP_ITEM = "DELETE FROM items WHERE key = ?2 AND project = ?1"
_STRIP_ITEM = (
    "UPDATE items SET body = NULL, call_id = NULL, run = NULL WHERE key = ?2 AND project = ?1 AND body IS NOT NULL"
)
_USED_CONFIGS = """
SELECT config FROM runs WHERE project = ?1 UNION SELECT config FROM prompt_versions WHERE project = ?1
"""
_ALL_CONFIGS = "SELECT key FROM configs WHERE project = ?"
_CONDEMN = "UPDATE configs SET condemned = 1 WHERE key = ? AND project = ?"
_DROP_CONFIG = "DELETE FROM configs WHERE key = ? AND project = ? AND condemned = 1"


async def sweep(state: Database) -> int:
    """Remove all garbage that is due and return how many entries and items went."""
    removed = 0
    while batch := await state.read(lambda cursor: due_garbage(cursor, BATCH)):
        for project, kind, key in batch:
            if kind == CONFIGS:
                removed += await _sweep_configs(state, project)
                continue
            step = _sweep_log if kind == LOG else _sweep_item
            count = BATCH
            while count >= BATCH:
                count = await state.write(partial(step, project, key))
                removed += count
    return removed


def _sweep_item(project: int, key: int, cursor: Cursor) -> int:
    drop_garbage(cursor, project, 2, key)
    return _drop_unreached(cursor, project, key)


def _drop_unreached(cursor: Cursor, project: int, key: int) -> int:
    """Drop an item that stands in no log and belongs to no run."""
    if first(cursor, _HELD_BY_RUN, (project, key)) is not None:
        return 0
    stands = places(cursor, project, key)
    for log, _, _, deleted in stands:
        if deleted is not None:
            add_garbage(cursor, project, LOG, log)
    if stands:
        return 0
    cursor.execute(_DROP_ITEM, (project, key))
    return 1


def _sweep_log(project: int, key: int, cursor: Cursor) -> int:
    """Take at most BATCH rows off a log; fewer mean that it is done."""
    log = get_log(cursor, project, key)
    if log is None:
        drop_garbage(cursor, project, LOG, key)
        return 0
    is_open = first(cursor, _OPEN, (project, key)) is not None
    reaches = _reaches(cursor, project, log, is_open)
    keep = max((upto for upto, _ in reaches), default=0)
    removed = _cut(cursor, project, log, keep)
    if removed >= BATCH:
        return removed
    removed += _drop_deleted(cursor, project, log, reaches, is_open, keep)
    if not reaches and not is_open:
        _drop_log(cursor, project, log)
    drop_garbage(cursor, project, LOG, key)
    return min(removed, BATCH - 1)


def _reaches(cursor: Cursor, project: int, log: Log, is_open: bool) -> list[Reach]:
    found: list[Reach] = [(log.head, log.version)] if is_open else []
    for start, start_version, end, end_version in cursor.execute(_RUN_REACHES, (project, log.key)).fetchall():
        found.append((start, start_version))
        if end is not None:
            found.append((end, end_version))
    found.extend(cursor.execute(_BRANCH_REACHES, (project, log.key)).fetchall())
    return found


def _cut(cursor: Cursor, project: int, log: Log, keep: int) -> int:
    if log.head <= keep:
        return 0
    rows = cursor.execute(_TOP, (project, log.key, keep, BATCH)).fetchall()
    for position, item in rows:
        cursor.execute(_DROP_ENTRY, (project, log.key, position))
        _drop_unreached(cursor, project, item)
    head = rows[-1][0] - 1 if len(rows) == BATCH else keep
    cursor.execute(_CUT, (project, log.key, head))
    return len(rows)


def _drop_deleted(cursor: Cursor, project: int, log: Log, reaches: Sequence[Reach], is_open: bool, keep: int) -> int:
    """Drop deleted entries that no branch sees; an open conversation keeps their place and id, for cursors."""
    removed, after = 0, 0
    while rows := cursor.execute(_DELETED, (project, log.key, after, BATCH)).fetchall():
        for position, item, deleted in rows:
            after = position
            if any(upto >= position and version < deleted for upto, version in reaches):
                continue
            removed += 1
            if not is_open:
                cursor.execute(_DROP_ENTRY, (project, log.key, position))
                _drop_unreached(cursor, project, item)
            elif first(cursor, _HELD_BY_RUN, (project, item)) is None and len(places(cursor, project, item)) == 1:
                cursor.execute(_STRIP_ITEM, (project, item))
    return removed


def _drop_log(cursor: Cursor, project: int, log: Log) -> None:
    cursor.execute(_DROP_LOG, (project, log.key))
    for part in log.base:
        cursor.execute(_DROP_BRANCH, (project, part.log, log.key))
        add_garbage(cursor, project, LOG, part.log)


async def _sweep_configs(state: Database, project: int) -> int:
    """Drop configurations that no run or prompt has. A new one takes a condemned one back, so none is lost."""
    unused = await state.read(partial(_unused_configs, project), long=True)

    def condemn(cursor: Cursor) -> None:
        drop_garbage(cursor, project, CONFIGS, 0)
        cursor.executemany(_CONDEMN, [(key, project) for key in unused])

    await state.write(condemn)
    if not unused:
        return 0
    still_unused = unused & await state.read(partial(_unused_configs, project), long=True)
    await state.write(lambda cursor: bool(cursor.executemany(_DROP_CONFIG, [(key, project) for key in still_unused])))
    return len(still_unused)


def _unused_configs(project: int, cursor: Cursor) -> set[int]:
    used = {row[0] for row in cursor.execute(_USED_CONFIGS, (project,)).fetchall()}
    return {row[0] for row in cursor.execute(_ALL_CONFIGS, (project,)).fetchall()} - used
