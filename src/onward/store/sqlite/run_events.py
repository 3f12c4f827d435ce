"""Rows of events: batches of runs under way, in a file of their own, where a turn's commits do not wait for them."""

from collections.abc import Sequence
from typing import Final

from onward.ports.runs import Lease, LeaseLost
from onward.store.sqlite.cursor import Cursor, first

_ADD: Final = """
INSERT INTO batches (project, run, ordinal, body) SELECT ?1, ?2, ?3, ?5
WHERE NOT EXISTS (SELECT 1 FROM fences WHERE project = ?1 AND run = ?2 AND fence > ?4) RETURNING ordinal
"""
_READ: Final = "SELECT body FROM batches WHERE project = ? AND run = ? AND ordinal >= ? ORDER BY ordinal"
_FENCE: Final = """
INSERT INTO fences (project, run, fence) VALUES (?1, ?2, ?3)
ON CONFLICT (project, run) DO UPDATE SET fence = max(fence, ?3)
"""
_DROP: Final = tuple(f"DELETE FROM {table} WHERE project = ? AND run = ?" for table in ("batches", "fences"))
_RUNS: Final = "SELECT DISTINCT project, run FROM batches UNION SELECT project, run FROM fences"


def add_batch(cursor: Cursor, project: int, lease: Lease, ordinal: int, body: bytes) -> None:
    """Add the next batch of a run. Raises LeaseLost where another owner has taken the run."""
    if first(cursor, _ADD, (project, lease.run, ordinal, lease.fence, body)) is None:
        raise LeaseLost


def read_batches(cursor: Cursor, project: int, run: int, start: int) -> Sequence[bytes]:
    """Return the batches of a run from ordinal `start` on."""
    return [row[0] for row in cursor.execute(_READ, (project, run, start)).fetchall()]


def raise_fence(cursor: Cursor, project: int, lease: Lease) -> None:
    """Shut out earlier owners of a run."""
    cursor.execute(_FENCE, (project, lease.run, lease.fence))


def drop_batches(cursor: Cursor, project: int, run: int) -> None:
    """Forget the batches of a run."""
    for sql in _DROP:
        cursor.execute(sql, (project, run))


def runs_with_batches(cursor: Cursor) -> list[tuple[int, int]]:
    """Return project and key of all runs that have batches."""
    return [(row[0], row[1]) for row in cursor.execute(_RUNS).fetchall()]
