"""Notes of what may have become unreachable; only the sweep decides whether it has."""

from collections.abc import Sequence
from typing import Final

from onward.store.sqlite.cursor import Cursor

LOG: Final = 1
ITEM: Final = 2
CONFIGS: Final = 3

_ADD = """
INSERT INTO garbage (project, kind, key, due) VALUES (?, ?, ?, unixepoch('subsec') + ?)
ON CONFLICT (project, kind, key) DO UPDATE SET due = min(due, excluded.due)
"""
_DUE = "SELECT project, kind, key FROM garbage WHERE due <= unixepoch('subsec') LIMIT ?"
_DROP = "DELETE FROM garbage WHERE project = ? AND kind = ? AND key = ?"


def add_garbage(cursor: Cursor, project: int, kind: int, key: int, *, after: float = 0.0) -> None:
    """Let the sweep look at a row, not before `after` seconds from now."""
    cursor.execute(_ADD, (project, kind, key, after))


def add_garbage_items(cursor: Cursor, project: int, keys: Sequence[int]) -> None:
    """Let the sweep look at items."""
    cursor.executemany(_ADD, [(project, ITEM, key, 0.0) for key in keys])


def due_garbage(cursor: Cursor, limit: int) -> list[tuple[int, int, int]]:
    """Return project, kind and key of what is due."""
    return [(row[0], row[1], row[2]) for row in cursor.execute(_DUE, (limit,)).fetchall()]


def drop_garbage(cursor: Cursor, project: int, kind: int, key: int) -> None:
    """Note that a row was looked at."""
    cursor.execute(_DROP, (project, kind, key))
