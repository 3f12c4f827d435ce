"""Stored chat completions of one project: runs of the chat dialect by creation, read through an index of their own."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from onward.core.errors import NotFoundError
from onward.ports.completions import CompletionPage, StoredCompletion
from onward.ports.runs import Page
from onward.store.sqlite.cursor import Cursor, Value, first
from onward.store.sqlite.database import Database
from onward.store.sqlite.encoding import DIALECT_NUMBER, STATUS_NUMBER, pack_id, pack_object
from onward.store.sqlite.run_rows import OUTPUT, RunRow, find_row, get_row, run_of, side_items
from onward.store.sqlite.runs import SqliteRuns
from onward.store.sqlite.turns import PUBLISHING

SHORT_PAGE: Final = 20
"""A page of more elements, or one that a filter has to search for, is read in a thread."""

_FINISHED: Final = ", ".join(str(STATUS_NUMBER[status]) for status in sorted(PUBLISHING))
_LIST: Final = f"""
SELECT log, key FROM runs INDEXED BY runs_completions
WHERE project = ? AND dialect = {DIALECT_NUMBER["chat"]} AND status IN ({_FINISHED})
"""
_LABELLED: Final = """
 AND EXISTS (SELECT 1 FROM json_each(CAST(runs.metadata AS TEXT)) WHERE json_each.key = ? AND json_each.value = ?)
"""
_UPDATE: Final = "UPDATE runs SET metadata = ?4 WHERE project = ?1 AND log = ?2 AND key = ?3"
_BURY: Final = "INSERT OR IGNORE INTO deleted_completions (project, suffix) VALUES (?, ?)"
_BURIED: Final = "SELECT 1 FROM deleted_completions WHERE project = ? AND suffix = ?"


class SqliteCompletions:
    """Completions of one project; see the port."""

    def __init__(self, state: Database, project: int, runs: SqliteRuns) -> None:
        self._state = state
        self._project = project
        self._runs = runs

    async def get(self, suffix: str) -> StoredCompletion | None:
        """Return a completion; None where there is none."""
        return await self._state.read(partial(_get, self._project, suffix))

    async def page(
        self, page: Page, *, model: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> CompletionPage:
        """Return a page by creation. Raises NotFoundError for a cursor that never was."""
        wanted = metadata or {}
        slow = bool(model or wanted) or page.limit > SHORT_PAGE
        return await self._state.read(partial(_page, self._project, page, model, wanted), long=slow)

    async def update(self, suffix: str, *, metadata: bytes) -> StoredCompletion | None:
        """Replace the metadata and return the completion; None where there is none."""
        return await self._state.write(partial(_update, self._project, suffix, metadata))

    async def delete(self, suffix: str) -> bool:
        """Remove a completion; returns False for an unknown one."""
        if not await self._state.write(partial(_bury, self._project, suffix)):
            return False
        return await self._runs.delete(suffix)


def _find(cursor: Cursor, project: int, suffix: str) -> RunRow | None:
    row = find_row(cursor, project, suffix)
    return row if row is not None and row.dialect == "chat" and row.status in PUBLISHING else None


def _read(cursor: Cursor, project: int, row: RunRow) -> StoredCompletion:
    return StoredCompletion(run_of(cursor, project, row), side_items(cursor, project, row.key, OUTPUT))


def _get(project: int, suffix: str, cursor: Cursor) -> StoredCompletion | None:
    row = _find(cursor, project, suffix)
    return None if row is None else _read(cursor, project, row)


def _page(project: int, page: Page, model: str | None, metadata: Mapping[str, str], cursor: Cursor) -> CompletionPage:
    up = page.order == "asc"
    query, bound = _LIST, list[Value]([project])
    if page.after is not None:
        _check_cursor(cursor, project, page.after)
        query += f" AND suffix {'>' if up else '<'} ?"
        bound.append(pack_id(page.after))
    if model is not None:
        query += " AND model = ?"
        bound.append(model)
    for name, value in metadata.items():
        query += _LABELLED
        bound += [name, value]
    query += f" ORDER BY suffix {'ASC' if up else 'DESC'} LIMIT ?"
    places = cursor.execute(query, (*bound, page.limit + 1)).fetchall()
    rows = [get_row(cursor, project, log, key) for log, key in places[: page.limit]]
    found = [_read(cursor, project, row) for row in rows if row is not None]
    return CompletionPage(found, len(places) > page.limit)


def _check_cursor(cursor: Cursor, project: int, suffix: str) -> None:
    row = find_row(cursor, project, suffix)
    if (row is None or row.dialect != "chat") and first(cursor, _BURIED, (project, pack_id(suffix))) is None:
        raise NotFoundError("No chat completion found with the id in 'after'.", param="after")


def _update(project: int, suffix: str, metadata: bytes, cursor: Cursor) -> StoredCompletion | None:
    row = _find(cursor, project, suffix)
    if row is None:
        return None
    cursor.execute(_UPDATE, (project, row.log, row.key, pack_object(metadata)))
    return _get(project, suffix, cursor)


def _bury(project: int, suffix: str, cursor: Cursor) -> bool:
    row = _find(cursor, project, suffix)
    if row is None:
        return False
    cursor.execute(_BURY, (project, pack_id(row.suffix)))
    return True
