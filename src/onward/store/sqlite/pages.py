"""Pages by cursor over rows ordered by (created_at, key): built once for files, stores, store files and batches."""

from collections.abc import Callable
from typing import TypeVar

from onward.core.errors import NotFoundError
from onward.ports.runs import Page
from onward.store.sqlite.cursor import Cursor, Value

T = TypeVar("T")
Place = tuple[float, int]
"""Where a row stands: its creation and its key."""


def select_page(
    cursor: Cursor,
    page: Page,
    *,
    select: str,
    order_by: tuple[str, str],
    values: tuple[Value, ...],
    find: Callable[[str], Place | None],
    read: Callable[..., T],
) -> tuple[list[T], bool]:
    """Return the rows of one page, and whether more follow in its direction.

    `select` ends in an open WHERE clause that `values` fill; `order_by` names its columns of creation and key; `find`
    returns the place of a public id, also of a deleted row. With `before` alone, the page ends at the cursor. Raises
    NotFoundError for a cursor that never was, as pages of items do.
    """
    ascending = page.order == "asc"
    backwards = page.before is not None and page.after is None
    place = f"({order_by[0]}, {order_by[1]})"
    clauses: list[str] = []
    bound: list[Value] = list(values)
    for public_id, name, forward in ((page.after, "after", True), (page.before, "before", False)):
        if public_id is not None:
            found = find(public_id)
            if found is None:
                raise NotFoundError(f"No object found with id '{public_id[:200]}'.", param=name)
            clauses.append(f" AND {place} {'>' if forward == ascending else '<'} (?, ?)")
            bound += found
    direction = "ASC" if ascending != backwards else "DESC"
    query = f"{select}{''.join(clauses)} ORDER BY {order_by[0]} {direction}, {order_by[1]} {direction} LIMIT ?"
    rows = [read(*row) for row in cursor.execute(query, (*bound, page.limit + 1))]
    has_more = len(rows) > page.limit
    rows = rows[: page.limit]
    return (rows[::-1] if backwards else rows), has_more
