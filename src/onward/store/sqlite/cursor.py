"""The few cursor operations that the store uses, typed, and always run to their end.

A statement that was not stepped to its end keeps its transaction from committing; `first` therefore reads all rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import apsw

Value = None | int | float | bytes | str
Bindings = Sequence[Value]


class Cursor(Protocol):
    """What a read or write function may do with its transaction."""

    def execute(self, statements: str, bindings: Bindings | None = None, /) -> "Cursor":
        """Run a statement with its bindings."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Bindings], /) -> "Cursor":
        """Run a statement once for each sequence of bindings."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


def cursor_of(connection: apsw.Connection) -> Cursor:
    """Return a new cursor of `connection`."""
    return cast("Cursor", connection.cursor())


def first(cursor: Cursor, sql: str, bindings: Bindings = ()) -> Any | None:
    """Return the first row of a query, None where there is none."""
    rows = cursor.execute(sql, bindings).fetchall()
    return rows[0] if rows else None


def scalar(cursor: Cursor, sql: str, bindings: Bindings = ()) -> Any:
    """Return the first value of the first row of a query that always has one."""
    return cursor.execute(sql, bindings).fetchall()[0][0]
