"""Pages of items over a list of spans, with cursors that stay valid after their item was deleted."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from onward.core.errors import NotFoundError
from onward.core.items import Item
from onward.core.lineage import Lineage
from onward.ports.runs import ItemPage, Page
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.items import COLUMNS, item_of, keys_of_id
from onward.store.sqlite.logs import places


class Span(Struct, frozen=True):
    """Visible entries of a log up to a position; with `run`, the input items of that run instead."""

    upto: int
    log: int = 0
    version: int = 0
    run: int | None = None
    messages_only: bool = False


class Place(Struct, frozen=True):
    """A position within a span."""

    span: int
    position: int


_ENTRIES: Final = f"""
SELECT {COLUMNS} FROM entries e {{index}} JOIN items i ON i.key = e.item
WHERE e.project = ?1 AND e.log = ?2 AND e.position > ?3 AND e.position < ?4 AND e.added_version <= ?5
  AND (e.deleted_version IS NULL OR e.deleted_version > ?5) {{only}} ORDER BY e.position {{order}} LIMIT ?6
"""
_INPUT: Final = f"""
SELECT {COLUMNS} FROM run_items r JOIN items i ON i.key = r.item
WHERE r.project = ?1 AND r.run = ?2 AND r.ordinal > ?3 AND r.ordinal < ?4 AND r.side = 0
ORDER BY r.ordinal {{order}} LIMIT ?5
"""
_ORDERS: Final = {False: "ASC", True: "DESC"}
_ENTRY_SQL: Final = {
    (only, down): _ENTRIES.format(
        index="INDEXED BY entries_messages" if only else "",
        only="AND e.is_message = 1" if only else "",
        order=_ORDERS[down],
    )
    for only in (False, True)
    for down in (False, True)
}
_INPUT_SQL: Final = {down: _INPUT.format(order=_ORDERS[down]) for down in (False, True)}
_INPUT_ORDINAL: Final = "SELECT ordinal FROM run_items WHERE project = ? AND run = ? AND item = ? AND side = 0"


def spans_of(lineage: Lineage, *, messages_only: bool = False) -> list[Span]:
    """Return the spans of a lineage."""
    return [Span(part.upto, log=part.log, version=part.version, messages_only=messages_only) for part in lineage]


def read_page(cursor: Cursor, project: int, spans: Sequence[Span], page: Page) -> ItemPage:
    """Return one page. Raises NotFoundError for a cursor that never was in the list."""
    after = _locate(cursor, project, spans, page.after, "after")
    before = _locate(cursor, project, spans, page.before, "before")
    down = page.order == "desc"
    low, high = (before, after) if down else (after, before)
    backwards = before is not None and after is None
    rows = _walk(cursor, project, spans, low, high, down=down != backwards, limit=page.limit + 1)
    items = rows[: page.limit]
    return ItemPage(items[::-1] if backwards else items, len(rows) > page.limit)


def _walk(
    cursor: Cursor,
    project: int,
    spans: Sequence[Span],
    low: Place | None,
    high: Place | None,
    *,
    down: bool,
    limit: int,
) -> list[Item]:
    found: list[Item] = []
    for index in range(len(spans) - 1, -1, -1) if down else range(len(spans)):
        if (low is not None and index < low.span) or (high is not None and index > high.span):
            continue
        span = spans[index]
        bottom = low.position if low is not None and low.span == index else -1
        top = high.position if high is not None and high.span == index else span.upto + 1
        found.extend(_fetch(cursor, project, span, bottom, top, down, limit - len(found)))
        if len(found) >= limit:
            break
    return found


def _fetch(cursor: Cursor, project: int, span: Span, bottom: int, top: int, down: bool, limit: int) -> list[Item]:
    if span.run is not None:
        rows = cursor.execute(_INPUT_SQL[down], (project, span.run, bottom, top, limit)).fetchall()
    else:
        sql = _ENTRY_SQL[span.messages_only, down]
        rows = cursor.execute(sql, (project, span.log, bottom, top, span.version, limit)).fetchall()
    return list(map(item_of, rows))


def _locate(cursor: Cursor, project: int, spans: Sequence[Span], item_id: str | None, param: str) -> Place | None:
    if item_id is None:
        return None
    for key in keys_of_id(cursor, project, item_id):
        place = _place_of(cursor, project, spans, key)
        if place is not None:
            return place
    raise NotFoundError(f"No item found with id '{item_id}'.", param=param)


def _place_of(cursor: Cursor, project: int, spans: Sequence[Span], key: int) -> Place | None:
    stands = {log: position for log, position, _, _ in places(cursor, project, key)}
    for index, span in enumerate(spans):
        if span.run is not None:
            row = first(cursor, _INPUT_ORDINAL, (project, span.run, key))
            if row is not None:
                return Place(index, row[0])
        elif stands.get(span.log, span.upto + 1) <= span.upto:
            return Place(index, stands[span.log])
    return None
