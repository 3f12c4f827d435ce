"""Rows of leases: who may write to a run, by the store's clock, and what becomes of runs whose owner died."""

from typing import Final, Literal

from onward.core.turns import RunError
from onward.ports.runs import Lease, LeaseLost
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import STATUS_NUMBER, pack_error

Liveness = Literal["alive", "dead", "expired"]

OWNER_DIED: Final = RunError("server_error", "The server stopped before the response was complete.")
RUN_EXPIRED: Final = RunError("run_expired", "The run was not continued before its expiry time.")

_INSERT = (
    "INSERT INTO leases (project, run, fence, owner, until, expires_at) VALUES (?, ?, 1, ?, unixepoch('subsec') + ?, ?)"
)
_STATE = """
SELECT until IS NOT NULL AND until <= unixepoch('subsec'),
       until IS NULL AND expires_at IS NOT NULL AND expires_at <= unixepoch('subsec')
FROM leases WHERE project = ? AND run = ?
"""
_HOLDS = "SELECT 1 FROM leases WHERE project = ? AND run = ? AND fence = ? AND owner IS NOT NULL"
_RENEW = """
UPDATE leases SET until = unixepoch('subsec') + ?4
WHERE project = ?1 AND run = ?2 AND fence = ?3 AND owner IS NOT NULL RETURNING fence
"""
_DROP = "UPDATE leases SET owner = NULL, until = NULL WHERE project = ? AND run = ?"
_TAKE = """
UPDATE leases SET owner = ?3, until = unixepoch('subsec') + ?4, fence = fence + 1
WHERE project = ?1 AND run = ?2 RETURNING fence
"""
_DELETE = "DELETE FROM leases WHERE project = ? AND run = ?"
_SETTLE = """
UPDATE runs SET status = ?3, completed_at = unixepoch('subsec'), error = ?4, open_calls = NULL
WHERE project = ?1 AND key = ?2 RETURNING log
"""
_RELEASE = "UPDATE logs SET active = NULL WHERE project = ?1 AND key = ?2 AND active = ?3"
_LOST = """
SELECT project, run, until IS NULL FROM leases
WHERE until <= unixepoch('subsec') OR (until IS NULL AND expires_at <= unixepoch('subsec')) LIMIT ?
"""


def insert_lease(
    cursor: Cursor, project: int, run: int, *, owner: str, seconds: float, expires_at: float | None
) -> int:
    """Lease a new run to `owner` and return the fence."""
    cursor.execute(_INSERT, (project, run, owner, seconds, expires_at))
    return 1


def liveness(cursor: Cursor, project: int, run: int) -> Liveness:
    """Tell whether a run that has not ended can still go on; a waiting one ends by its expiry time."""
    row = first(cursor, _STATE, (project, run))
    if row is None or row[0]:
        return "dead"
    return "expired" if row[1] else "alive"


def check_lease(cursor: Cursor, project: int, lease: Lease) -> None:
    """Raise LeaseLost unless the lease still has its run."""
    if first(cursor, _HOLDS, (project, lease.run, lease.fence)) is None:
        raise LeaseLost


def renew_lease(cursor: Cursor, project: int, lease: Lease, seconds: float) -> None:
    """Extend a lease from now. Raises LeaseLost."""
    if first(cursor, _RENEW, (project, lease.run, lease.fence, seconds)) is None:
        raise LeaseLost


def drop_lease(cursor: Cursor, project: int, run: int) -> None:
    """Leave a waiting run without an owner."""
    cursor.execute(_DROP, (project, run))


def take_lease(cursor: Cursor, project: int, run: int, *, owner: str, seconds: float) -> int:
    """Give a run to a new owner and return the raised fence."""
    row = first(cursor, _TAKE, (project, run, owner, seconds))
    if row is None:
        raise LeaseLost
    return row[0]


def delete_lease(cursor: Cursor, project: int, run: int) -> None:
    """Forget the lease of a run that has ended."""
    cursor.execute(_DELETE, (project, run))


def release(cursor: Cursor, project: int, log: int, run: int) -> None:
    """Give up the run's claim on its log."""
    cursor.execute(_RELEASE, (project, log, run))


def settle(cursor: Cursor, project: int, run: int, *, state: Liveness) -> None:
    """End a run that nobody can continue: failed, or expired where it waited too long. What it published stays."""
    expired = state == "expired"
    error = RUN_EXPIRED if expired else OWNER_DIED
    row = first(cursor, _SETTLE, (project, run, STATUS_NUMBER["expired" if expired else "failed"], pack_error(error)))
    delete_lease(cursor, project, run)
    if row is not None:
        release(cursor, project, row[0], run)


def settle_if_lost(cursor: Cursor, project: int, run: int) -> bool:
    """Settle a run that nobody can continue; True where it has ended by that."""
    state = liveness(cursor, project, run)
    if state == "alive":
        return False
    settle(cursor, project, run, state=state)
    return True


def lost_runs(cursor: Cursor, limit: int) -> list[tuple[int, int]]:
    """Return project and key of runs of all projects that nobody can continue."""
    return [(row[0], row[1]) for row in cursor.execute(_LOST, (limit,)).fetchall()]
