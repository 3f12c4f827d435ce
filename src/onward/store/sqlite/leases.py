"""Rows of leases: who may write to a run, by the store's clock, and what becomes of runs whose owner died."""

from collections.abc import Iterable
from typing import Final, Literal

from onward.core.turns import RunError
from onward.ports.runs import Lease, LeaseLost
from onward.store.sqlite.cursor import Cursor, first
from onward.store.sqlite.encoding import STATUS_NUMBER, pack_error

Liveness = Literal["alive", "dead", "expired"]

OWNER_DIED: Final = RunError("server_error", "The server stopped before the response was complete.")
RUN_EXPIRED: Final = RunError("run_expired", "The run was not continued before its expiry time.")

_INSERT = (
    "INSERT INTO leases (project, log, run, fence, owner, until, expires_at)"
    " VALUES (?, ?, ?, 1, ?, unixepoch('subsec') + ?, ?)"
)
MAX_OWNERS: Final = 10
"""A run that so many owners died on is not begun again: it may be what they died of."""

_RECOVERABLE = f"""
(fence < {MAX_OWNERS} AND EXISTS (
  SELECT 1 FROM runs r WHERE r.project = l.project AND r.log = l.log AND r.key = l.run AND r.flags & 1
))
"""
"""Background runs go on in another process; who looks at them meanwhile sees a run under way."""

_STATE = f"""
SELECT until IS NOT NULL AND until <= unixepoch('subsec') AND NOT {_RECOVERABLE},
       until IS NULL AND expires_at IS NOT NULL AND expires_at <= unixepoch('subsec')
FROM leases l WHERE project = ? AND log = ? AND run = ?
"""
_HOLDS = "SELECT 1 FROM leases WHERE project = ? AND log = ? AND run = ? AND fence = ? AND owner IS NOT NULL"
_RENEW = """
UPDATE leases SET until = unixepoch('subsec') + ?5
WHERE project = ?1 AND log = ?2 AND run = ?3 AND fence = ?4 AND owner IS NOT NULL RETURNING fence
"""
_DROP = "UPDATE leases SET owner = NULL, until = NULL WHERE project = ? AND log = ? AND run = ?"
_TAKE = """
UPDATE leases SET owner = ?4, until = unixepoch('subsec') + ?5, fence = fence + 1
WHERE project = ?1 AND log = ?2 AND run = ?3 RETURNING fence
"""
_DELETE = "DELETE FROM leases WHERE project = ? AND log = ? AND run = ?"
_SETTLE = """
UPDATE runs SET status = ?4, completed_at = unixepoch('subsec'), error = ?5, open_calls = NULL
WHERE project = ?1 AND log = ?2 AND key = ?3
"""
_OWNERS = "SELECT DISTINCT owner FROM leases WHERE owner IS NOT NULL"
_HELD = "SELECT run, fence, log, cancel FROM leases WHERE owner = ?"
_ASK = "UPDATE leases SET cancel = 1 WHERE project = ? AND log = ? AND run = ?"
_EXPIRE = "UPDATE leases SET until = unixepoch('subsec') WHERE owner = ?"
_LOST = f"""
SELECT project, log, run FROM leases l
WHERE (until <= unixepoch('subsec') AND NOT {_RECOVERABLE})
  OR (until IS NULL AND expires_at <= unixepoch('subsec')) LIMIT ?
"""
_CLAIM = f"""
UPDATE leases SET owner = ?1, until = unixepoch('subsec') + ?2, fence = fence + 1
WHERE (project, log) IN (
  SELECT project, log FROM leases l WHERE until <= unixepoch('subsec') AND {_RECOVERABLE} LIMIT ?3
) RETURNING project, log, run, fence
"""


def insert_lease(
    cursor: Cursor, project: int, log: int, run: int, *, owner: str, seconds: float, expires_at: float | None
) -> Lease:
    """Lease a new run to `owner`; the run holds the tip of `log` from now on."""
    cursor.execute(_INSERT, (project, log, run, owner, seconds, expires_at))
    return Lease(run, 1, log)


def liveness(cursor: Cursor, project: int, log: int, run: int) -> Liveness:
    """Tell whether a run that has not ended can still go on; a waiting one ends by its expiry time."""
    row = first(cursor, _STATE, (project, log, run))
    if row is None or row[0]:
        return "dead"
    return "expired" if row[1] else "alive"


def check_lease(cursor: Cursor, project: int, lease: Lease) -> None:
    """Raise LeaseLost unless the lease still has its run."""
    if first(cursor, _HOLDS, (project, lease.log, lease.run, lease.fence)) is None:
        raise LeaseLost


def renew_lease(cursor: Cursor, project: int, lease: Lease, seconds: float) -> None:
    """Extend a lease from now. Raises LeaseLost."""
    if first(cursor, _RENEW, (project, lease.log, lease.run, lease.fence, seconds)) is None:
        raise LeaseLost


def drop_lease(cursor: Cursor, project: int, log: int, run: int) -> None:
    """Leave a waiting run without an owner."""
    cursor.execute(_DROP, (project, log, run))


def take_lease(cursor: Cursor, project: int, log: int, run: int, *, owner: str, seconds: float) -> Lease:
    """Give a run to a new owner, raising the fence."""
    row = first(cursor, _TAKE, (project, log, run, owner, seconds))
    if row is None:
        raise LeaseLost
    return Lease(run, row[0], log)


def release(cursor: Cursor, project: int, log: int, run: int) -> None:
    """Forget the lease of a run that has ended, and with it the hold on its log."""
    cursor.execute(_DELETE, (project, log, run))


def settle(cursor: Cursor, project: int, log: int, run: int, *, state: Liveness) -> None:
    """End a run that nobody can continue: failed, or expired where it waited too long. What it published stays."""
    expired = state == "expired"
    error = pack_error(RUN_EXPIRED if expired else OWNER_DIED)
    cursor.execute(_SETTLE, (project, log, run, STATUS_NUMBER["expired" if expired else "failed"], error))
    release(cursor, project, log, run)


def settle_cancelled(cursor: Cursor, project: int, log: int, run: int) -> None:
    """End a run as cancelled, whoever holds it."""
    cursor.execute(_SETTLE, (project, log, run, STATUS_NUMBER["cancelled"], None))
    release(cursor, project, log, run)


def settle_if_lost(cursor: Cursor, project: int, log: int, run: int) -> bool:
    """Settle a run that nobody can continue; True where it has ended by that."""
    state = liveness(cursor, project, log, run)
    if state == "alive":
        return False
    settle(cursor, project, log, run, state=state)
    return True


def lease_owners(cursor: Cursor) -> list[str]:
    """Return who holds leases, across projects."""
    return [row[0] for row in cursor.execute(_OWNERS).fetchall()]


def expire_leases(cursor: Cursor, owners: Iterable[str]) -> None:
    """End the leases of owners that are known to be dead."""
    cursor.executemany(_EXPIRE, [(owner,) for owner in owners])


def lost_runs(cursor: Cursor, limit: int) -> list[tuple[int, int, int]]:
    """Return project, log and key of runs of all projects that nobody can continue."""
    return [(row[0], row[1], row[2]) for row in cursor.execute(_LOST, (limit,)).fetchall()]


def claim_lost(cursor: Cursor, owner: str, seconds: float, limit: int) -> list[tuple[int, Lease]]:
    """Take over runs of all projects that can go on and whose owner died; return project and lease of each."""
    rows = cursor.execute(_CLAIM, (owner, seconds, limit)).fetchall()
    return [(row[0], Lease(row[2], row[3], row[1])) for row in rows]


def leases_of(cursor: Cursor, owner: str) -> dict[Lease, bool]:
    """Return the leases that `owner` holds, and whether their runs are to be cancelled."""
    rows = cursor.execute(_HELD, (owner,)).fetchall()
    return {Lease(run, fence, log): bool(cancel) for run, fence, log, cancel in rows}


def ask_to_cancel(cursor: Cursor, project: int, log: int, run: int) -> None:
    """Ask the owner of a run to cancel it."""
    cursor.execute(_ASK, (project, log, run))
